# SPDX-License-Identifier: MIT
"""The daemon itself: folder, key, lock, signals, crashes, its agent."""

import os
import signal
import socket
import stat
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import BINARY, Api, Daemon, alive, until
from test_follow import Stream


def refuse(daemon, args=(), env=None):
    """Start it where it must fail; its one line."""
    run = subprocess.run([BINARY, "serve", "--data", daemon.data, "--port", "0", *args],
                         env={**daemon.env, **(env or {})}, capture_output=True, text=True, timeout=30)
    lines = [l for l in run.stderr.splitlines() if l.startswith("automation: ")]
    assert len(lines) == 1, run.stderr
    assert run.returncode in (1, 2), run.stderr
    return run.returncode, lines[0]


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_daemon__folder_and_secrets_are_private(daemons, tmp_path):
    daemon = daemons(data=str(tmp_path / "a" / "b"), args=["--no-agent"])
    os.makedirs(tmp_path / "a")
    os.makedirs(daemon.data, mode=0o700)
    daemon.start()
    assert mode(daemon.data) == 0o700
    for name in ("api.key", "serve.json", "automation.db"):
        assert mode(os.path.join(daemon.data, name)) == 0o600, name
    with open(os.path.join(daemon.data, "api.key")) as f:
        key = f.read().strip()
    assert len(key) == 64 and int(key, 16) >= 0
    state = daemon.state()
    assert state["pid"] == daemon.process.pid and state["port"] == daemon.port
    assert state["url"] == f"http://127.0.0.1:{daemon.port}/api/automation"
    assert state["started_at"].endswith("Z")


def test_daemon__makes_its_default_folder_private(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith("AUTOMATION_")}
    env["XDG_STATE_HOME"] = str(tmp_path / "state")
    process = subprocess.Popen([BINARY, "serve", "--port", "0", "--no-agent"], env=env,
                               stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        while "ready on" not in line:
            assert line, "the daemon ended"
            line = process.stderr.readline()
        assert line.strip().endswith(f"(data {tmp_path}/state/automation)")
        assert mode(tmp_path / "state" / "automation") == 0o700
    finally:
        process.terminate()
        process.communicate(timeout=15)
    assert process.returncode == 0


def test_daemon__sigterm_ends_it_with_0_and_no_trace(daemons):
    daemon = daemons(args=["--no-agent"]).start()
    daemon.api().create()
    assert daemon.stop() == 0
    assert daemon.state() is None
    key = open(os.path.join(daemon.data, "api.key")).read()
    daemon.start()
    assert open(os.path.join(daemon.data, "api.key")).read() == key
    assert daemon.api().get("/v1").json()["total"] == 1


def test_daemon__sigint_ends_a_followed_run_and_the_stream(daemons, gate):
    daemon = daemons().start()
    api = daemon.api()
    run = api.dispatch(api.create(f"echo on; {gate.wait}")["id"])
    stream = Stream(api, run["id"])
    stream.until("on\n")
    daemon.process.send_signal(signal.SIGINT)
    assert all(e["event"] != "end" for e in stream.all())
    assert daemon.process.wait(12) == 0
    gate.open()
    daemon.start()
    assert daemon.api().ended(run["id"])["status"] == "COMPLETED"


def test_daemon__key_from_the_environment_wins(daemons):
    daemon = daemons(args=["--no-agent"], env={"AUTOMATION_LOCAL_API_KEY": "my own key"}).start()
    assert Api(daemon.url, "my own key").get("/v1").status_code == 200
    assert not os.path.exists(os.path.join(daemon.data, "api.key"))


def test_daemon__second_one_on_the_folder_is_refused(daemons):
    daemon = daemons(args=["--no-agent"]).start()
    code, line = refuse(daemon, ["--no-agent"])
    assert code == 1
    assert str(daemon.process.pid) in line and daemon.data in line
    assert daemon.api().get("/health").status_code == 200
    assert daemon.state()["pid"] == daemon.process.pid


def test_daemon__second_one_on_the_database_is_refused(daemons):
    daemon = daemons(args=["--no-agent"]).start()
    other = daemons(args=["--no-agent"])
    code, line = refuse(other, ["--no-agent", "--db", os.path.join(daemon.data, "automation.db")])
    assert code == 1 and "automation.db" in line


def test_daemon__port_in_use_is_one_clear_line(daemons):
    daemon = daemons()
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        code, line = refuse(daemon, ["--port", str(port)])
    assert code == 1 and str(port) in line
    assert daemon.state("agent.json") is None


def test_daemon__folder_that_cannot_be_made(daemons, tmp_path):
    (tmp_path / "file").write_text("x")
    daemon = daemons(data=str(tmp_path / "file"))
    daemon.data = str(tmp_path / "file" / "below")
    try:
        code, line = refuse(daemon)
        assert code == 1 and "file" in line
    finally:
        daemon.data = str(tmp_path)


@pytest.mark.parametrize("args, env, code, words", [
    (["--host", "0.0.0.0"], {}, 1, "AUTOMATION_LOCAL_API_KEY"),
    (["--port", "x"], {}, 2, "--port"),
    (["--port", "70000"], {}, 2, "--port"),
    (["--wat", "1"], {}, 2, "--wat"),
    (["extra"], {}, 2, "extra"),
    (["--log-level", "loud"], {}, 2, "loud"),
    ([], {"AUTOMATION_DB_URL": "postgresql://localhost/x"}, 1, "extension"),
    ([], {"AUTOMATION_DB_URL": "mysql://localhost/x"}, 1, "sqlite:///"),
    ([], {"AUTOMATION_DB_URL": "sqlite:///:memory:"}, 1, "sqlite:///"),
    (["--host", "example.com"], {}, 2, "example.com"),
])
def test_daemon__wrong_settings_are_one_clear_line(daemons, args, env, code, words):
    got, line = refuse(daemons(), args, env)
    assert got == code and words in line, line


@pytest.mark.parametrize("scheme", ["sqlite:///", "sqlite+aiosqlite:///"])
def test_daemon__database_url_of_the_reference_is_understood(daemons, tmp_path, scheme):
    path = tmp_path / "x.db"
    daemons(args=["--no-agent"], env={"AUTOMATION_DB_URL": f"{scheme}{path}?timeout=5"}).start()
    assert path.exists()


def test_daemon__all_addresses_with_a_key(daemons):
    daemon = daemons(args=["--no-agent", "--host", "0.0.0.0"],
                     env={"AUTOMATION_LOCAL_API_KEY": "k" * 20}).start()
    assert daemon.url == f"http://127.0.0.1:{daemon.port}"
    assert daemon.api().get("/v1").status_code == 200


def test_daemon__scripts_keep_the_umask_of_their_user(daemons):
    before = os.umask(0o022)
    try:
        api = daemons().start().api()
    finally:
        os.umask(before)
    run = api.dispatch(api.create("umask")["id"])
    assert api.output(run["id"]) == "0022\n"


class SilentAgent(BaseHTTPRequestHandler):
    """Takes uploads, and never answers a start."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/api/bash/"):
            self.server.asked.set()
            self.server.release.wait(60)
        body = b'{"success":true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def silent_agent():
    server = ThreadingHTTPServer(("127.0.0.1", 0), SilentAgent)
    server.asked, server.release = threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


def test_daemon__second_signal_ends_it_at_once(daemons, silent_agent):
    daemon = daemons(args=["--agent-url", f"http://127.0.0.1:{silent_agent.server_port}"]).start()
    api = daemon.api()
    api.dispatch(api.create("echo x")["id"])
    assert silent_agent.asked.wait(20)
    # a start is on its way, and its answer is worth waiting for
    daemon.process.send_signal(signal.SIGTERM)
    until(daemon.log, lambda l: "stopping" in l, 10, "word of the first signal")
    assert daemon.process.poll() is None
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(5) == 1


def test_daemon__ends_within_ten_seconds_whatever_hangs(daemons, silent_agent):
    daemon = daemons(args=["--agent-url", f"http://127.0.0.1:{silent_agent.server_port}"]).start()
    api = daemon.api()
    api.dispatch(api.create("echo x")["id"])
    assert silent_agent.asked.wait(20)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(12) == 0


def test_daemon__tells_the_service_manager(daemons, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(15)
        daemon = daemons(args=["--no-agent"], env={"NOTIFY_SOCKET": path})
        daemon.env["NOTIFY_SOCKET"] = path
        daemon.start()
        assert manager.recv(100) == b"READY=1"
        daemon.stop()
        assert manager.recv(100) == b"STOPPING=1"


def test_daemon__without_an_agent_runs_wait(daemons):
    daemon = daemons(args=["--no-agent"]).start()
    api = daemon.api()
    automation = api.create("echo x")
    run = api.dispatch(automation["id"])
    assert api.run(run["id"])["status"] == "PENDING"
    daemon.stop()
    daemon.args = []
    daemon.start()
    assert daemon.api().ended(run["id"])["status"] == "COMPLETED"


def test_daemon__killed_with_a_run_going_on_finds_it_again(daemons, gate):
    daemon = daemons().start()
    api = daemon.api()
    running = api.dispatch(api.create(f"echo before; {gate.wait}; echo after; exit 3")["id"])
    api.prints(running["id"], "before")
    daemon.kill()
    daemon.start()
    api = daemon.api()
    assert api.run(running["id"])["status"] == "RUNNING"
    gate.open()
    ended = api.ended(running["id"])
    assert ended["status"] == "FAILED" and "exit_code=3" in ended["error_detail"]
    assert api.output(running["id"]) == "before\nafter\n"


def test_daemon__run_that_ended_while_it_was_dead_gets_its_true_result(daemons, gate, tmp_path):
    daemon = daemons().start()
    api = daemon.api()
    mark = tmp_path / "mark"
    run = api.dispatch(api.create(f"echo before; {gate.wait}; echo after; echo once >>{mark}")["id"])
    api.prints(run["id"], "before")
    daemon.kill()
    gate.open()
    until(mark.exists, bool, 20, "the script's end")
    daemon.start()
    api = daemon.api()
    assert api.ended(run["id"])["status"] == "COMPLETED"
    assert api.output(run["id"]) == "before\nafter\n"
    assert mark.read_text() == "once\n"


def test_daemon__killed_again_and_again_runs_everything_once(daemons, tmp_path):
    daemon = daemons().start()
    mark = tmp_path / "mark"
    automation = daemon.api().create(f"echo $AUTOMATION_RUN_ID >>{mark}")
    ids = []
    for _ in range(4):
        api = daemon.api()
        ids += [api.dispatch(automation["id"])["id"] for _ in range(5)]
        daemon.kill()
        daemon.start()
    api = daemon.api()
    for run_id in ids:
        assert api.ended(run_id, 60)["status"] == "COMPLETED"
    assert sorted(mark.read_text().split()) == sorted(ids)


def test_daemon__agent_that_dies_is_started_again(daemons):
    daemon = daemons().start()
    api = daemon.api()
    first = daemon.state("agent.json")["pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: daemon.state("agent.json") or {}, lambda a: a.get("pid") not in (None, first), 15,
          "another agent")
    until(daemon.log, lambda l: "it is back at" in l, 15, "word of it")
    run = api.dispatch(api.create("echo again")["id"])
    assert api.ended(run["id"], 60)["status"] == "COMPLETED"


def test_daemon__agent_survives_it_and_is_found_again(daemons):
    daemon = daemons().start()
    agent = daemon.state("agent.json")
    daemon.kill()
    assert alive(agent["pid"])
    daemon.start()
    assert daemon.state("agent.json")["pid"] == agent["pid"]


def test_program__help_version_and_near_misses():
    def call(*args):
        return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=30)

    out = call("--help")
    assert out.returncode == 0
    for command in ("serve", "agent", "next", "eval", "create", "list", "logs"):
        assert f"\n  {command}" in out.stdout
    assert call("--version").stdout.startswith("automation ")
    out = call("sevre")
    assert out.returncode == 2 and "'serve'" in out.stderr
    out = call("xyzzy")
    assert out.returncode == 2 and "xyzzy" in out.stderr and "mean" not in out.stderr
    assert call().returncode == 2
    out = call("help", "serve")
    assert out.returncode == 0 and "--data" in out.stdout
    assert call("serve", "--help").stdout == out.stdout
