# SPDX-License-Identifier: MIT
"""Runs in sandboxes of the real app server, whose process service starts a real agent server for each.

What it cannot show (users, keys, quotas, a sandbox that fails) a thin front adds (cloud_front.py), or the
suite over the stand-in does (test/api/test_cloud.py).  Making a sandbox blocks for the start of an agent
server, 12 to 30 seconds, so there are few of them here.
"""

import json
import os
import re
import socket
import subprocess
import time

import pytest

from cloud_front import SERVICE_KEY, Front
from conftest import CACHE, SCRIPT, support

wait_until = support.wait_until


class App:
    """The real app server on a port of its own."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.base = 18500 + os.getpid() % 400 * 10
        self.folder = CACHE / "root"

    def call(self, verb, *args, check=True):
        out = CACHE / "run" / f"cloud-suite-{self.port}.out"
        with open(out, "w", encoding="utf-8") as file:
            done = subprocess.run([str(SCRIPT), verb, str(CACHE), str(self.port), *args], stdin=subprocess.DEVNULL,
                                  stdout=file, stderr=file, timeout=300, env={**os.environ, "START_TIMEOUT": "240"})
        text = out.read_text()
        assert not check or done.returncode == 0, text
        return text

    def start(self):
        text = self.call("start-app", str(self.base))
        assert re.search(r"^pid=\d+ ", text, re.M), text
        return self

    def stop(self):
        self.call("stop-app", check=False)


@pytest.fixture(scope="module")
def app():
    app = App()
    try:
        yield app.start()
    finally:
        app.stop()


@pytest.fixture(scope="module")
def front(app):
    front = Front(app.port)
    yield front
    front.close()


class Daemon(support.Daemon):
    def __init__(self, front, **more):
        super().__init__(
            AUTOMATION_SERVICE_KEY=SERVICE_KEY,
            AUTOMATION_OPENHANDS_API_BASE_URL=front.url,
            AUTOMATION_SANDBOX_PROVISION_RETRY_DELAY="2",
            **more,
        )

    def run(self, run_id):
        return self.json("show", run_id)

    def ended(self, run_id, seconds=180):
        return wait_until(lambda: self.run(run_id), lambda r: r["completed_at"], seconds)

    def go(self, script, tries=3):
        """A run in a sandbox.  The process service gives up on an agent server that needs longer than 30 s to
        start, which says nothing about us: then once more."""
        name = f"cloud-{time.monotonic_ns()}"
        self.create(name, script)
        for attempt in range(tries):
            run_id = self("run", name).stdout.strip()
            run = wait_until(lambda: self.run(run_id), lambda r: r["bash_command_id"] or r["completed_at"], 180)
            if run["bash_command_id"] or "failed to start properly" not in (run["error_detail"] or "").lower():
                return run_id
        return run_id

    def sandbox(self, run_id):
        return wait_until(lambda: self.run(run_id)["sandbox_id"], bool, 180)

    def let_clean_up(self):
        pass


@pytest.fixture(scope="module")
def daemon(front):
    it = Daemon(front)
    try:
        yield it.start()
    finally:
        it.remove()


def status_of(front, sandbox_id):
    """As the server says it: a status, or None."""
    _, _, answer, _ = front.call("GET", f"/api/v1/sandboxes?id={sandbox_id}")
    item = json.loads(answer)[0]
    return item and item["status"]


def test_a_run_has_its_sandbox_and_environment(daemon, front):
    run_id = daemon.go("#!/bin/sh\nenv; pwd\necho done\n")
    sandbox = daemon.sandbox(run_id)
    run = daemon.ended(run_id)
    assert run["status"] == "COMPLETED", run
    output = daemon("logs", run_id).stdout
    env = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    assert env["SANDBOX_ID"] == sandbox and env["SESSION_API_KEY"]
    assert env["OPENHANDS_API_KEY"] in front.keys and env["OPENHANDS_CLOUD_API_URL"] == front.url
    assert "AGENT_SERVER_URL" not in env and "WORKSPACE_BASE" not in env
    assert output.splitlines()[-2:] == ["/workspace/project", "done"]
    wait_until(lambda: status_of(front, sandbox), lambda s: s is None, 60)


def test_a_crash_of_the_daemon_is_survived(front):
    daemon = Daemon(front).start()
    try:
        # the program outlives the daemon, and waits for a word that comes after it is back
        run_id = daemon.go("#!/bin/sh\necho one\nwhile [ ! -e go ]; do sleep 0.2; done\necho two\n")
        sandbox = daemon.sandbox(run_id)
        daemon.kill()
        (CACHE / "root" / "workspace" / "project" / "go").touch()
        daemon.start()
        run = daemon.ended(run_id)
        assert run["status"] == "COMPLETED", run
        assert daemon("logs", run_id).stdout == "one\ntwo\n"
        wait_until(lambda: status_of(front, sandbox), lambda s: s is None, 60)
        assert len([c for c in front.calls if c[1] == "POST" and c[2] == "/api/v1/sandboxes" and c[3] == 200]) >= 1
    finally:
        (CACHE / "root" / "workspace" / "project" / "go").unlink(missing_ok=True)
        daemon.remove()


def test_a_sandbox_that_is_deleted_by_somebody_ends_its_run(daemon, front):
    run_id = daemon.go("#!/bin/sh\necho begun\nsleep 60\n")
    sandbox = daemon.sandbox(run_id)
    status, _, _, _ = front.call("DELETE", f"/api/v1/sandboxes/{sandbox}?sandbox_id={sandbox}")
    assert status == 200
    run = daemon.ended(run_id)
    assert run["status"] == "FAILED" and run["error_detail"].startswith("Timed out: "), run
    assert run["status_detail"]["kind"] == "environment_unavailable"


def test_a_delayed_clean_up_pauses_the_sandbox_first(front):
    daemon = Daemon(front, AUTOMATION_SANDBOX_CLEANUP_DELAY_SECONDS="8").start()
    try:
        run_id = daemon.go("#!/bin/sh\necho short\n")
        sandbox = daemon.sandbox(run_id)
        run = daemon.ended(run_id)
        assert run["status"] == "COMPLETED", run
        wait_until(lambda: status_of(front, sandbox), lambda s: s == "PAUSED", 60)
        wait_until(lambda: status_of(front, sandbox), lambda s: s is None, 60)
    finally:
        daemon.remove()


def test_a_refused_key_is_made_again(daemon, front):
    if not front.keys:  # this test alone
        assert daemon.ended(daemon.go("#!/bin/sh\n"))["status"] == "COMPLETED"
    front.keys.clear()
    run_id = daemon.go("#!/bin/sh\necho again\n")
    run = daemon.ended(run_id)
    assert run["status"] == "COMPLETED", run
    assert any(call[3] == 401 for call in front.calls)


def test_our_calls_keep_to_the_servers_rate(front):
    """Of everything above: never more than ten in a second, and no 429."""
    times = [call[0] for call in front.calls]
    assert times and max(sum(t <= u < t + 1 for u in times) for t in times) <= 10
    assert not [call for call in front.calls if call[3] == 429]
    made = [call[4] for call in front.calls if call[1] == "POST" and call[2] == "/api/v1/sandboxes"]
    print(f"{len(times)} calls; a sandbox took {min(made):.1f} to {max(made):.1f} s to be made")
