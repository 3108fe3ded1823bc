# SPDX-License-Identifier: MIT
"""A stand-in for S3 (and for the XML API of GCS): objects in memory, and a verifier of Signature Version 4
written from Amazon's description, for requests signed in headers and for URLs signed in the query.

    with S3() as s3:                 # its own ephemeral port on loopback
        s3.url, s3.objects, s3.requests
        s3.trouble.append("503")     # the next request meets it

Troubles, each for one request: a status code ("500", "503"), "drop" (close without an answer), "garbage"
(bytes that are no HTTP), "hold" (wait until s3.release()), "short" (half of an object's bytes).
"""

import hashlib
import hmac
import http.server
import threading
import time
import urllib.parse


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class S3:
    def __init__(self, key_id="test-key-id", secret="test/secret+key", region="us-east-1",
                 buckets=("bucket",)):
        self.key_id = key_id
        self.secret = secret
        self.region = region
        self.objects = {b: {} for b in buckets}
        self.requests = []  # (method, path, status, how it was signed)
        self.trouble = []
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.held = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                server.handle(self)

            do_PUT = do_DELETE = do_HEAD = do_POST = do_GET

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.port = self.httpd.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.gate.set()
        self.httpd.shutdown()
        self.httpd.server_close()

    def release(self):
        self.gate.set()

    # ---- signatures

    def signature(self, scope, moment, canonical):
        key = ("AWS4" + self.secret).encode()
        for part in scope.split("/"):
            key = mac(key, part)
        text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, sha256(canonical.encode())])
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def canonical_query(pairs):
        quoted = [(urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                  for k, v in pairs]
        return "&".join(f"{k}={v}" for k, v in sorted(quoted))

    def check(self, request, body):
        """None, or the code of what is wrong; and how it was signed."""
        path, _, query = request.path.partition("?")
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        named = dict(pairs)
        if "X-Amz-Signature" in named:
            how, moment = "query", named.get("X-Amz-Date", "")
            credential, signed = named.get("X-Amz-Credential", ""), named.get("X-Amz-SignedHeaders", "")
            given = named["X-Amz-Signature"]
            pairs = [p for p in pairs if p[0] != "X-Amz-Signature"]
            payload = "UNSIGNED-PAYLOAD"
            lifetime = int(named.get("X-Amz-Expires", "0"))
        else:
            how, moment = "header", request.headers.get("X-Amz-Date", "")
            scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
            if scheme != "AWS4-HMAC-SHA256":
                return "AccessDenied", "none"
            parts = dict(p.strip().split("=", 1) for p in rest.split(","))
            credential, signed, given = parts["Credential"], parts["SignedHeaders"], parts["Signature"]
            payload = request.headers.get("X-Amz-Content-Sha256")
            if payload is None:
                return "MissingContentSha256", how
            if payload not in ("UNSIGNED-PAYLOAD", sha256(body)):
                return "XAmzContentSHA256Mismatch", how
            lifetime = 900
        names = signed.split(";")
        if "host" not in names:
            return "AccessDenied", how
        key_id, _, scope = credential.partition("/")
        if key_id != self.key_id:
            return "InvalidAccessKeyId", how
        if scope != f"{moment[:8]}/{self.region}/s3/aws4_request":
            return "AuthorizationHeaderMalformed", how
        made = time.mktime(time.strptime(moment, "%Y%m%dT%H%M%SZ")) - time.timezone
        if not -900 <= time.time() - made <= lifetime:
            return "RequestTimeTooSkewed", how
        for name in request.headers:
            if name.lower().startswith("x-amz-") and name.lower() not in names:
                return "AccessDenied", how
        headers = "".join(f"{n}:{' '.join((request.headers.get(n) or '').split())}\n" for n in names)
        canonical = "\n".join([request.command, path, self.canonical_query(pairs), headers, signed, payload])
        if not hmac.compare_digest(given, self.signature(scope, moment, canonical)):
            return "SignatureDoesNotMatch", how
        return None, how

    # ---- requests

    def handle(self, request):
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        with self.lock:
            trouble = self.trouble.pop(0) if self.trouble else None
        if trouble == "hold":
            self.held.set()
            self.gate.wait(60)
        if trouble == "drop":
            request.close_connection = True
            request.connection.close()
            return
        if trouble == "garbage":
            request.close_connection = True
            request.wfile.write(b"\x00\xff no HTTP at all\r\n\r\n")
            return
        wrong, how = self.check(request, body)
        path = urllib.parse.unquote(request.path.partition("?")[0])
        if trouble is not None and trouble.isdigit():
            status, data = int(trouble), self.error("SlowDown")
        elif wrong is not None:
            status, data = 403, self.error(wrong)
        else:
            status, data = self.serve(request.command, path, body)
        with self.lock:
            self.requests.append((request.command, path, status, how))
        if trouble == "short":
            data = data[:len(data) // 2]
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(data)

    @staticmethod
    def error(code):
        return (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>a &lt;story&gt;'
                "</Message></Error>").encode()

    def serve(self, method, path, body):
        _, bucket, name = (path.split("/", 2) + ["", ""])[:3]
        with self.lock:
            objects = self.objects.get(bucket)
            if objects is None:
                return 404, self.error("NoSuchBucket")
            if method == "PUT":
                objects[name] = body
                return 200, b""
            if method == "DELETE":
                objects.pop(name, None)
                return 204, b""
            if name not in objects:
                return 404, self.error("NoSuchKey")
            return 200, objects[name]
