# SPDX-License-Identifier: MIT
"""An agent server of ours beside the cloud (HYBRID_CLOUD), and the header in which its key is sent.

The agent is a real one behind a proxy that records and asks for its key in a header of its own."""

import http.client
import http.server
import json
import os
import subprocess
import threading

import pytest

from conftest import BINARY, until


class Server:
    """A small HTTP server on loopback; answer(method, path, headers, body) gives (status, headers, bytes)."""

    def __init__(self, answer):
        self.requests = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.requests.append((self.command, self.path, dict(self.headers), body))
                status, headers, data = answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_DELETE = do_PATCH = do_PUT = do_GET

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def end(self):
        self.httpd.shutdown()
        self.httpd.server_close()


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    process = subprocess.Popen([BINARY, "agent", "--port", "0", "--data", str(folder)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = folder / "agent.json"
    until(path.exists, bool, 20, "agent.json")
    state = json.loads(path.read_text())
    yield state
    process.terminate()
    process.wait(20)


def proxy(agent, header, value):
    """Lets through what carries that header, with the agent's own key."""
    host = agent["url"].split("://")[1]

    def answer(method, path, headers, body):
        if headers.get(header) != value:
            return 401, [], b'{"detail":"who are you?"}'
        passed = {k: v for k, v in headers.items() if k.lower() not in (header.lower(), "host", "connection")}
        passed["X-Session-API-Key"] = agent["key"]
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request(method, path, body, passed)
        reply = connection.getresponse()
        data = reply.read()
        keep = [(k, v) for k, v in reply.getheaders() if k.lower() in ("content-type", "content-range")]
        connection.close()
        return reply.status, keep, data

    return Server(answer)


def run(daemon, script):
    api = daemon.api()
    made = api.create(script)
    ended = api.ended(api.dispatch(made["id"])["id"])
    return ended, api.output(ended["id"])


def settings(tmp_path, url, **more):
    return {"AUTOMATION_AGENT_SERVER_URL": url, "AUTOMATION_WORKSPACE_BASE": str(tmp_path / "work"), **more}


@pytest.mark.parametrize("header, value", [("X-Gate", "gate-key"), ("Authorization", "Bearer gate-key")])
def test_auth_header__the_key_goes_where_the_setting_says(daemons, agent, tmp_path, header, value):
    gate = proxy(agent, header, value)
    daemon = daemons(env=settings(tmp_path, gate.url, AUTOMATION_AGENT_SERVER_API_KEY="gate-key",
                                  AUTOMATION_AGENT_SERVER_AUTH_HEADER=header)).start()
    ended, output = run(daemon, "echo key=$SESSION_API_KEY")
    assert ended["status"] == "COMPLETED", ended
    assert "key=gate-key" in output
    assert gate.requests and all(r[2].get(header) == value for r in gate.requests)
    daemon.stop()
    gate.end()


def test_auth_header__a_name_that_is_none_stops_the_start(tmp_path):
    done = subprocess.run([BINARY, "serve", "--data", str(tmp_path / "d"), "--port", "0"], timeout=30,
                          capture_output=True, text=True,
                          env={**os.environ, "AUTOMATION_AGENT_SERVER_AUTH_HEADER": "X: y"})
    assert done.returncode != 0
    assert "AUTOMATION_AGENT_SERVER_AUTH_HEADER must be the name of a header" in done.stderr


SCRIPT = "echo [$OPENHANDS_API_KEY] [$OPENHANDS_CLOUD_API_URL] [${AGENT_SERVER_URL:+local}] [$SANDBOX_ID]"


def test_hybrid__off_tells_runs_nothing_of_the_cloud(daemons, agent, tmp_path):
    daemon = daemons(env=settings(tmp_path, agent["url"], AUTOMATION_AGENT_SERVER_API_KEY=agent["key"],
                                  AUTOMATION_CLOUD_API_KEY="cloud-key")).start()
    assert "[] [] [local] []" in run(daemon, SCRIPT)[1]


def test_hybrid__a_configured_key_is_told(daemons, agent, tmp_path):
    daemon = daemons(env=settings(tmp_path, agent["url"], AUTOMATION_AGENT_SERVER_API_KEY=agent["key"],
                                  AUTOMATION_HYBRID_CLOUD="true", AUTOMATION_CLOUD_API_KEY="cloud-key",
                                  AUTOMATION_OPENHANDS_API_BASE_URL="http://127.0.0.1:9/")).start()
    assert "[cloud-key] [http://127.0.0.1:9] [local] []" in run(daemon, SCRIPT)[1]


def test_hybrid__a_key_is_made_once_for_a_user_and_again_after_a_failure(daemons, agent, tmp_path):
    troubles = [500]

    def cloud(method, path, headers, body):
        if troubles:
            return troubles.pop(), [], b"{}"
        return 200, [("Content-Type", "application/json")], json.dumps({"key": "made-key"}).encode()

    fake = Server(cloud)
    daemon = daemons(env=settings(tmp_path, agent["url"], AUTOMATION_AGENT_SERVER_API_KEY=agent["key"],
                                  AUTOMATION_HYBRID_CLOUD="true", AUTOMATION_SERVICE_KEY="service-key",
                                  AUTOMATION_OPENHANDS_API_BASE_URL=fake.url)).start()
    for _ in range(2):
        assert f"[made-key] [{fake.url}] [local] []" in run(daemon, SCRIPT)[1]
    asked = [r for r in fake.requests if r[1].endswith("/api-keys")]
    assert len(asked) == 2
    assert all(r[0] == "POST" and r[2]["X-Service-API-Key"] == "service-key" for r in asked)
    daemon.stop()
    assert "made-key" not in daemon.log() and "service-key" not in daemon.log()
    fake.end()


def test_hybrid__without_a_key_is_refused_at_the_start(tmp_path):
    done = subprocess.run([BINARY, "serve", "--data", str(tmp_path / "d"), "--port", "0"], timeout=30,
                          capture_output=True, text=True,
                          env={**os.environ, "AUTOMATION_HYBRID_CLOUD": "true",
                               "AUTOMATION_AGENT_SERVER_URL": "http://127.0.0.1:9"})
    assert done.returncode != 0
    assert "AUTOMATION_HYBRID_CLOUD" in done.stderr
