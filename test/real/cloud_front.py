# SPDX-License-Identifier: MIT
"""What the open-source app server does not have, before it: users, and keys of users.

POST /api/service/users/U/orgs/O/api-keys makes a key; /api/v1/... wants one; the answer of /users/me is given
the identity the server leaves out.  Everything else goes to the server as it is, one connection a call.
"""

import http.client
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVICE_KEY = "service-key-of-the-real-suite"


class Front:
    def __init__(self, port):
        self.app_port = port
        self.keys = {}
        self.calls = []  # (time, method, path, status, seconds)
        self.lock = threading.Lock()
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                begun = time.monotonic()
                status, kind, answer, more = front.answer(self.command, self.path, self.headers, body)
                with front.lock:
                    front.calls.append((begun, self.command, self.path, status, time.monotonic() - begun))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_DELETE = handle_one

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def json(status, value):
        return status, "application/json", json.dumps(value).encode(), {}

    def answer(self, method, path, headers, body):
        parts = path.split("?")[0].split("/")
        if path.startswith("/api/service/users/"):
            if headers.get("X-Service-API-Key") != SERVICE_KEY:
                return self.json(401, {"detail": "Unauthorized"})
            key = "key-" + secrets.token_hex(8)
            self.keys[key] = (parts[4], parts[6])
            return self.json(200, {"key": key})
        who = self.keys.get((headers.get("Authorization") or "").removeprefix("Bearer "))
        if path.startswith("/api/v1/") and who is None:
            return self.json(401, {"detail": "Unauthorized"})
        status, kind, answer, more = self.call(method, path, body)
        if path.startswith("/api/v1/users/me") and status == 200:
            about = json.loads(answer)
            about.update(id=who[0], org_id=who[1], email="user@example.com", role="member",
                         permissions=["view_automations", "manage_automations"])
            answer = json.dumps(about).encode()
        return status, kind, answer, more

    def call(self, method, path, body=b""):
        """Straight to the server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.app_port, timeout=120)
        try:
            connection.request(method, path, body, {"Content-Length": str(len(body))})
            reply = connection.getresponse()
            more = {"Retry-After": reply.headers["Retry-After"]} if reply.headers["Retry-After"] else {}
            return reply.status, reply.headers.get("Content-Type", "text/plain"), reply.read(), more
        except OSError as error:
            return 502, "text/plain", f"no app server: {error}".encode(), {}
        finally:
            connection.close()
