# SPDX-License-Identifier: MIT
"""Two places to run on: the real agent server, and the embedded agent.

The real server is started once, on a free port with a key of its own, in the root that
real-agent-server.sh has set up; a test may kill it, and starts it again.  The daemon and the helpers are those
of the command line's suite.
"""

import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("cli_support", HERE.parent / "cli" / "conftest.py")
support = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(support)

CACHE = pathlib.Path(os.environ.get("AUT_REAL_CACHE") or support.ROOT / "build" / "real-agent").resolve()
SCRIPT = HERE / "real-agent-server.sh"
KEY = "key-of-the-real-suite"
# What runs that install something find in the root: uv, and a cache that outlives them.
INSTALLS = ["PATH=/opt/uv/bin:/usr/local/bin:/usr/bin:/bin", "UV_CACHE_DIR=/var/cache/uv", "UV_LINK_MODE=hardlink"]


class Server:
    """The real agent server on a port of its own."""

    name = "real"

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = CACHE / "root"

    def call(self, verb, *args, check=True):
        # the server inherits what is open: a file, not a pipe that would wait for its end
        out = CACHE / "run" / f"suite-{self.port}.out"
        with open(out, "w", encoding="utf-8") as file:
            done = subprocess.run(
                [str(SCRIPT), verb, str(CACHE), str(self.port), *args],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=180,
            )  # fmt: skip
        text = out.read_text()
        assert not check or done.returncode == 0, text
        return text

    def start(self):
        self.pid = int(re.search(r"^pid=(\d+) ", self.call("start", KEY, *INSTALLS), re.M)[1])
        return self

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        support.wait_until(lambda: not support.is_alive(self.pid))
        # its other threads may hold the socket a moment longer
        support.wait_until(lambda: not self.listens())

    def listens(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.call("stop", check=False)

    def environment(self):
        return {
            "AUTOMATION_AGENT_SERVER_URL": f"http://127.0.0.1:{self.port}",
            "AUTOMATION_AGENT_SERVER_API_KEY": KEY,
            "AUTOMATION_WORKSPACE_BASE": "/workspace/automation-suite",
        }

    def path(self, absolute):
        """Where a path of the agent is for us."""
        return self.folder / str(absolute).lstrip("/")


class Embedded:
    """The daemon's own agent, in the root of this machine."""

    name = "embedded"

    def environment(self):
        return {}

    def path(self, absolute):
        return pathlib.Path(absolute)


class Daemon(support.Daemon):
    """A daemon whose runs leave their files in the place's root."""

    def __init__(self, place):
        super().__init__(**place.environment())
        self.place = place

    def run(self, run_id):
        return self.json("show", run_id)

    def ended(self, run_id, seconds=60):
        return support.wait_until(lambda: self.run(run_id), lambda r: r["completed_at"], seconds)

    def output(self, run_id):
        return self("logs", run_id, text=False).stdout.decode(errors="replace")

    def left_of(self, run_id):
        """What the run has left behind in /tmp of the agent."""
        return sorted(str(p) for p in self.place.path("/tmp").glob(f"automation-{run_id}*"))

    def let_clean_up(self):
        if self.process.poll() is None:
            runs = [run["id"] for run in self.json("runs", "-n", "1000")["runs"] if run["completed_at"]]
            support.wait_until(lambda: sum((self.left_of(run) for run in runs), []), lambda some: not some, 30)


@pytest.fixture(scope="session")
def real_server():
    server = Server()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["real", "embedded"])
def place(request):
    return request.getfixturevalue("real_server") if request.param == "real" else Embedded()


@pytest.fixture(scope="module")
def daemon(place):
    """Shared by the tests that do not kill it."""
    it = Daemon(place)
    try:
        yield it.start()
    finally:
        it.remove()


@pytest.fixture
def own_daemon(place):
    it = Daemon(place)
    try:
        yield it.start()
    finally:
        it.remove()


def agent_pid(daemon):
    return json.loads((daemon.data / "agent.json").read_text())["pid"]
