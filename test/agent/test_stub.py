# SPDX-License-Identifier: MIT
"""The embedded agent as a stand-in for tests: no programs, faults, log of calls."""
import http.server
import json
import threading
import time
import uuid

import pytest
import requests

from conftest import wait_until


@pytest.fixture
def service():
    """Something to call back to; calls are in .calls."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.calls.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.calls = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def upload_run(agent, url):
    run = str(uuid.uuid4())
    path = f"/tmp/automation-{run}.tar.gz"
    assert agent.upload(path, b"tarball").json() == {"success": True, "file_size": 7}
    env = (
        f"export AUTOMATION_RUN_ID='{run}'\n"
        f"export AUTOMATION_CALLBACK_URL='{url}/v1/runs/{run}/complete'\n"
        "export AUTOMATION_CALLBACK_API_KEY='it'\\''s'\n"
    )
    assert agent.upload(path + ".env", env.encode()).status_code == 200
    return run, path


def test_stub_calls_back_and_forgets_the_files(agents, service, tmp_path):
    log = tmp_path / "log.jsonl"
    agent = agents("--stub", "--stub-log", str(log))
    run, path = upload_run(agent, service.url)
    assert agent.download(path).content == b"tarball"
    before = time.time()
    command = agent.start(f"chmod 600 '{path}.env' && . '{path}.env' && tar xzf '{path}'")
    end = agent.ended(command)
    assert (end["exit_code"], end["stdout"]) == (0, None)
    assert service.calls == [
        (f"/v1/runs/{run}/complete", "Bearer it's", {"status": "COMPLETED", "run_id": run})
    ]
    assert agent.download(path).status_code == 404
    lines = wait_until(lambda: [json.loads(l) for l in log.read_text().splitlines()], lambda l: len(l) >= 5)
    assert all(line["run_id"] == run for line in lines if "path=" in line["path"])
    started = [line for line in lines if line["path"].endswith("start_bash_command")][0]
    assert list(started) == ["t_us", "method", "path", "run_id"]
    assert started["run_id"] == run and abs(started["t_us"] / 1e6 - before) < 5
    assert [line["method"] for line in lines].count("CALLBACK") == 1


def test_stub_without_callback_only_ends(agents, service):
    agent = agents("--stub-no-callback")
    _, path = upload_run(agent, service.url)
    assert agent.ended(agent.start(f". '{path}.env'"))["exit_code"] == 0
    assert service.calls == []


def test_stub_runs_nothing(agents, tmp_path):
    agent = agents("--stub")
    assert agent.execute(f": >{tmp_path}/made")["exit_code"] == 0
    assert agent.upload(tmp_path / "up", b"x").status_code == 200
    assert not (tmp_path / "made").exists() and not (tmp_path / "up").exists()


def test_faults_by_status_and_count(agents, tmp_path):
    agent = agents("--fault", "upload:500:3", "--fault", "download:404:*", "--fault", "stop:404:*")
    codes = [agent.upload(tmp_path / "f", b"x").status_code for _ in range(5)]
    assert codes == [500, 500, 500, 200, 200]
    assert [agent.download(tmp_path / "f").status_code for _ in range(3)] == [404] * 3
    command = agent.start("true")
    assert agent.stop(command).json() == {"detail": "Not Found"}
    assert agent.get("/alive").status_code == 200


def test_dropped_start_has_started(agents, tmp_path):
    agent = agents("--fault", "start:drop:1")
    with pytest.raises(requests.ConnectionError):
        agent.post("/api/bash/start_bash_command", json={"command": f": >{tmp_path}/done"})
    wait_until((tmp_path / "done").exists)
    assert len(agent.search(kind__eq="BashCommand")["items"]) == 1
    agent.ended(agent.start("true"))


def test_garbage_and_delay(agents):
    agent = agents("--fault", "search:garbage:1", "--fault", "any:delay=300:1")
    reply = agent.get("/api/bash/bash_events/search")
    assert reply.status_code == 200
    with pytest.raises(ValueError):
        reply.json()
    begin = time.monotonic()
    assert agent.search()["items"] == []
    assert time.monotonic() - begin >= 0.3
    begin = time.monotonic()
    agent.search()
    assert time.monotonic() - begin < 0.3


def test_delayed_request_survives_the_end_of_the_agent(agents):
    agent = agents("--fault", "any:delay=60000:*")
    with pytest.raises(requests.RequestException):
        requests.get(agent.url + "/alive", timeout=0.2)
    assert agent.end() == 0
