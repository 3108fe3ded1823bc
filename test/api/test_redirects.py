# SPDX-License-Identifier: MIT
"""Redirects of a tarball's server: the agent follows none by itself, and each is judged like an address that
a user gave.  A bucket whose host answers with redirects is where they begin."""

import http.server
import os
import threading

import pytest

from conftest import HOST, ROOT, tarball
from test_storage import Host

ALLOWED = "127.0.0.7"  # a loopback address like 127.0.0.1, but listed


class Elsewhere:
    """Answers /code/<name> with the redirect that stands for that name, and /tarball with one."""

    def __init__(self, address):
        self.to, self.asked = {}, []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                path = self.path.partition("?")[0]
                fake.asked.append(path)
                location = fake.to.get(path.rpartition("/")[2])
                body = b"not a tarball" if location else tarball({"main.sh": "echo from elsewhere"})
                self.send_response(302 if location else 200 if path == "/tarball" else 404)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.httpd = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.httpd.daemon_threads = True
        self.port = self.httpd.server_address[1]
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def end(self):
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def inside():
    """What nobody may reach by a redirect."""
    fake = Elsewhere("127.0.0.1")
    yield fake
    fake.end()


@pytest.fixture(scope="module")
def elsewhere():
    """The allowed one."""
    fake = Elsewhere(ALLOWED)
    yield fake
    fake.end()


@pytest.fixture(scope="module")
def host(elsewhere):
    if HOST == "url":
        pytest.skip("needs a server of its own")
    host = Host(os.environ.get("AUTOMATION_BINARY", os.path.join(ROOT, "build", "automation")), {
        "aws_s3_bucket": "bucket", "aws_s3_endpoint": f"http://{ALLOWED}:{elsewhere.port}", "aws_s3_secure": "false",
        "aws_access_key_id": "k", "aws_secret_access_key": "s", "object_sources": "s3://code",
        "allow_private_urls": "false", "allowed_url_hosts": ALLOWED})  # fmt: skip
    try:
        yield host.start()
    finally:
        host.end()


def run_of(host, name):
    made = host.api.create(tarball_path=f"s3://code/{name}")
    return host.api.ended(host.api.dispatch(made["id"])["id"], timeout=60)


def test_redirects__to_an_allowed_host_are_followed(host, elsewhere):
    elsewhere.to.update(one=f"http://{ALLOWED}:{elsewhere.port}/code/two", two="/tarball")
    run = run_of(host, "one")
    assert run["status"] == "COMPLETED", run
    assert "from elsewhere" in host.api.output(run["id"])
    assert elsewhere.asked[-3:] == ["/code/one", "/code/two", "/tarball"]


@pytest.mark.parametrize("to, word", [
    ("http://169.254.169.254/latest/user-data", "169.254.169.254"),
    ("http://2852039166/latest/user-data", "169.254.169.254"),
    ("http://127.0.0.1:{inside}/tarball", "127.0.0.1"),
    ("http://localhost:{inside}/tarball", "localhost"),
    ("http://[::ffff:127.0.0.1]:{inside}/tarball", "127.0.0.1"),
    ("http://u:p@127.0.0.7:{own}/tarball", "user name"),
    ("file:///etc/passwd", "a URL"),
    ("ftp://127.0.0.7:{own}/tarball", "http"),
])  # fmt: skip
def test_redirects__into_the_inside_are_refused(host, elsewhere, inside, to, word):
    # by way of one that is allowed
    elsewhere.to.update(first="/code/bad", bad=to.format(inside=inside.port, own=elsewhere.port))
    run = run_of(host, "first")
    assert run["status"] == "FAILED"
    assert "redirected" in run["error_detail"] and word in run["error_detail"], run["error_detail"]
    assert inside.asked == [] and elsewhere.asked[-1] == "/code/bad"


def test_redirects__without_end_are_given_up(host, elsewhere):
    elsewhere.to["loop"] = "/code/loop"
    before = len(elsewhere.asked)
    run = run_of(host, "loop")
    assert run["status"] == "FAILED" and "redirects" in run["error_detail"]
    assert len(elsewhere.asked) - before == 11
