# SPDX-License-Identifier: MIT
"""Fixtures for the tests of the embedded agent: a process on a free port, a client with its key.

AUTOMATION_AGENT names the command (default `build/automation agent`), so that the same tests can run
against a build with sanitizers.
"""
import json
import os
import pathlib
import shlex
import signal
import subprocess
import time

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = shlex.split(os.environ.get("AUTOMATION_AGENT", str(ROOT / "build" / "automation") + " agent"))
DEADLINE_S = 15


def wait_until(fetch, accept=bool, timeout=DEADLINE_S):
    """Call fetch until accept says yes; the value, or a failure that shows the last one."""
    end = time.monotonic() + timeout
    while True:
        value = fetch()
        if accept(value):
            return value
        assert time.monotonic() < end, f"still {value!r}"
        time.sleep(0.01)


class Agent:
    """One agent process and a session that has its key."""

    def __init__(self, data, *options, env=None):
        self.data = data
        read_fd, write_fd = os.pipe()
        os.set_inheritable(write_fd, True)
        self.process = subprocess.Popen(
            [*COMMAND, "--data", str(data), "--ready-fd", str(write_fd), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=str(data),
            pass_fds=[write_fd],
        )
        os.close(write_fd)
        ready = os.read(read_fd, 1)
        os.close(read_fd)
        assert ready == b"R", self.process.communicate()[1].decode()
        state = json.loads((data / "agent.json").read_text())
        self.state = state
        self.url = state["url"]
        self.key = state["key"]
        self.http = requests.Session()
        self.http.trust_env = False
        if self.key:
            self.http.headers["X-Session-API-Key"] = self.key

    def get(self, path, **more):
        return self.http.get(self.url + path, timeout=DEADLINE_S, **more)

    def post(self, path, **more):
        return self.http.post(self.url + path, timeout=DEADLINE_S, **more)

    def upload(self, path, data):
        return self.post("/api/file/upload", params={"path": str(path)}, files={"file": ("upload", data)})

    def download(self, path, **headers):
        return self.get("/api/file/download", params={"path": str(path)}, headers=headers)

    def start(self, command, **more):
        reply = self.post("/api/bash/start_bash_command", json={"command": command, **more})
        assert reply.status_code == 200, reply.text
        return reply.json()["id"]

    def execute(self, command, **more):
        reply = self.post("/api/bash/execute_bash_command", json={"command": command, **more})
        assert reply.status_code == 200, reply.text
        return reply.json()

    def search(self, **query):
        reply = self.get("/api/bash/bash_events/search", params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def outputs(self, command_id, **query):
        """All outputs, page by page."""
        items, page = [], None
        while True:
            more = {"page_id": page} if page else {}
            answer = self.search(kind__eq="BashOutput", command_id__eq=command_id, **query, **more)
            items += answer["items"]
            page = answer["next_page_id"]
            if not page:
                return items

    def last(self, command_id):
        items = self.search(
            kind__eq="BashOutput", command_id__eq=command_id, sort_order="TIMESTAMP_DESC", limit=1
        )["items"]
        return items[0] if items else None

    def ended(self, command_id):
        return wait_until(lambda: self.last(command_id), lambda e: e and e["exit_code"] is not None)

    def stop(self, command_id):
        return self.post(f"/api/bash/bash_commands/{command_id}/stop")

    def end(self, signum=signal.SIGTERM):
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=DEADLINE_S)
        # a sanitizer's report must not go unnoticed
        assert b"Sanitizer" not in err and b"runtime error" not in err, err.decode()
        return self.process.returncode


@pytest.fixture
def agents(tmp_path):
    """A maker of agents that are ended with the test."""
    made = []

    def make(*options, data=None, env=None):
        folder = data or tmp_path / f"agent{len(made)}"
        folder.mkdir(exist_ok=True)
        agent = Agent(folder, *options, env=env)
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.end()


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    """One agent for the tests that leave nothing behind."""
    one = Agent(tmp_path_factory.mktemp("agent"), "--kill-on-exit")
    yield one
    one.end()
