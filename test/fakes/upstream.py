# SPDX-License-Identifier: MIT
"""A stand-in for the part of the cloud that knows who calls: GET /api/v1/users/me and /api/agent-profiles.

A test registers people under the credential they show ("Bearer KEY", or "COOKIE=VALUE") and may script
what the next questions with a credential get: a status, a body (bytes are sent as they are), a wait for
an event.  All that was asked is in `calls`.

    with Upstream() as cloud:
        cloud.person("Bearer a", permissions=["view_automations"])
        cloud.script("Bearer a", {"status": 429}, {"status": 429})   # then as usual
"""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VIEW = "view_automations"
MANAGE = "manage_automations"


class Upstream:
    def __init__(self):
        self.people = {}
        self.scripts = {}
        self.profiles = {}  # org id -> list of ids
        self.calls = []  # (path, credential, X-Org-Id or None)
        self.lock = threading.Lock()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                upstream.answer(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def person(self, credential, permissions=(VIEW,), org=None, user=None, orgs=(), **more):
        """Somebody, with the organization they are in now and others that X-Org-Id may choose."""
        who = {"id": user or str(uuid.uuid4()), "org_id": org or str(uuid.uuid4()),
               "email": "somebody@example.test", "role": "member", "permissions": list(permissions) if isinstance(permissions, tuple) else permissions,
               "llm_profiles": None, "llm_model": "a-setting", "llm_api_key": "sk-canary-of-the-cloud"}
        who.update(more)
        with self.lock:
            self.people[credential] = (who, set(orgs))
        return who

    def script(self, credential, *answers):
        """What the next questions get: {"status", "body", "hold": threading.Event}."""
        with self.lock:
            self.scripts.setdefault(credential, []).extend(answers)

    def asked(self, credential, path="/api/v1/users/me"):
        with self.lock:
            return sum(1 for call in self.calls if call[0] == path and call[1] == credential)

    def answer(self, request):
        credential = request.headers.get("Authorization") or request.headers.get("Cookie") or ""
        org = request.headers.get("X-Org-Id")
        with self.lock:
            self.calls.append((request.path, credential, org))
            scripted = self.scripts.get(credential)
            step = scripted.pop(0) if scripted else {}
            person = self.people.get(credential)
        if "hold" in step:
            step["hold"].wait(30)
        status, body = self.usual(request.path, person, org)
        status = step.get("status", status)
        body = step.get("body", body)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            request.send_response(status)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            request.close_connection = True

    def usual(self, path, person, org):
        if person is None:
            return 401, {"detail": "Unauthorized"}
        who, orgs = person
        if org is not None and org != who["org_id"]:
            if org not in orgs:
                return 403, {"detail": "not yours"}
            who = {**who, "org_id": org}
        if path == "/api/v1/users/me":
            return 200, who
        if path == "/api/agent-profiles":
            known = self.profiles.get(who["org_id"], [])
            return 200, {"profiles": [{"id": i, "name": f"profile {i}"} for i in known],
                         "active_agent_profile_id": None}
        return 404, {"detail": "Not Found"}
