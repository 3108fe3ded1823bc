# SPDX-License-Identifier: MIT
"""A running server for the suite, and small helpers.

Hosts (AUT_API_HOST): "daemon", the default, is `automation serve` with its own folder and an ephemeral
port; "extension" is a worker in a throw-away PostgreSQL cluster.  With AUT_API_URL and AUT_API_KEY set,
the suite runs against that server instead.  Tests that start or kill a daemon of their own run with the
first host only.

Nothing here sleeps for a fixed time: waiting is `until(fetch, wanted)`, which polls until a condition
holds or a deadline passes, and then tells the last value.  AUT_SLOW says how many times longer than usual
to wait (a server under valgrind).
"""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid

import pytest
import requests

from host_extension import Extension

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "fakes"))
BINARY = os.environ.get("AUTOMATION_BINARY", os.path.join(ROOT, "build", "automation"))
PREFIX = "/api/automation"
START_S = 30
SLOW = int(os.environ.get("AUT_SLOW", "1"))
NEVER = {"type": "cron", "schedule": "0 0 29 2 *", "timezone": "UTC"}
# of the shared server's built-in event sources
WEBHOOK_SECRET = "secret-of-the-suite's-forwarder"
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "SKIPPED")


def until(fetch, wanted, timeout=30, what="condition"):
    """Poll fetch() until wanted(value); return the value, or fail with the last one."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = fetch()
        if wanted(value):
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what} not reached in {timeout * SLOW} s; last value: {repr(value)[:2000]}")
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a zombie of ours is dead, too
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def tarball(files):
    """A gzip tar of {name: text}; every file is executable."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Api:
    """Calls to one server with one key; also the things most tests need."""

    def __init__(self, url, key):
        self.url = url.rstrip("/")
        self.key = key
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, method, path, key=True, root=False, headers=None, **kwargs):
        all_headers = dict(headers or {})
        if key is True:
            all_headers.setdefault("Authorization", f"Bearer {self.key}")
        base = self.url if root else self.url + PREFIX
        kwargs["timeout"] = kwargs.get("timeout", 30) * SLOW
        kwargs.setdefault("allow_redirects", False)
        return self.session.request(method, base + path, headers=all_headers, **kwargs)

    def get(self, path, **kwargs):
        return self.call("GET", path, **kwargs)

    def post(self, path, **kwargs):
        return self.call("POST", path, **kwargs)

    def patch(self, path, **kwargs):
        return self.call("PATCH", path, **kwargs)

    def delete(self, path, **kwargs):
        return self.call("DELETE", path, **kwargs)

    def upload(self, data, name="tarball"):
        reply = self.post("/v1/uploads", params={"name": name}, data=data,
                          headers={"Content-Type": "application/gzip"})
        assert reply.status_code == 201, reply.text
        return reply.json()

    def create(self, script="echo hello", trigger=None, status=201, **fields):
        """An automation whose entrypoint runs a shell script."""
        if "tarball_path" not in fields:
            fields["tarball_path"] = self.upload(tarball({"main.sh": script}))["tarball_path"]
        body = {"name": f"test {uuid.uuid4().hex[:8]}", "trigger": trigger or NEVER,
                "entrypoint": "bash main.sh"}
        body.update(fields)
        reply = self.post("/v1", json=body)
        assert reply.status_code == status, reply.text
        return reply.json()

    def dispatch(self, automation_id):
        reply = self.post(f"/v1/{automation_id}/dispatch")
        assert reply.status_code == 201, reply.text
        return reply.json()

    def run(self, run_id):
        reply = self.get(f"/v1/runs/{run_id}")
        assert reply.status_code == 200, reply.text
        return reply.json()

    def logs(self, run_id, **params):
        reply = self.get(f"/v1/runs/{run_id}/logs", params=params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def ended(self, run_id, timeout=30):
        return until(lambda: self.run(run_id), lambda r: r["status"] in TERMINAL, timeout, "end of run")

    def output(self, run_id, timeout=30):
        """All of what an ended run printed."""
        parts, after = [], 0
        while True:
            part = until(lambda: self.logs(run_id, after=after, limit=1048576),
                         lambda l: l["complete"] or l["next"] > after, timeout, "rest of the output")
            parts.append(part["data"])
            after = part["next"]
            if part["complete"]:
                return "".join(parts)

    def prints(self, run_id, text, timeout=30):
        until(lambda: self.logs(run_id)["data"], lambda d: text in d, timeout, f"output {text!r}")


class Daemon:
    """`automation serve` in a folder of its own."""

    def __init__(self, data=None, args=(), env=None):
        self.own = data is None
        self.data = data or tempfile.mkdtemp(prefix="aut-api-")
        self.args = list(args)
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith("AUTOMATION_") and k != "NOTIFY_SOCKET"}
        self.env.update(env or {})
        self.process = None
        self.port = None

    def log(self):
        with open(os.path.join(self.data, "serve.log"), errors="replace") as f:
            return f.read()

    def start(self, port=0):
        log = open(os.path.join(self.data, "serve.log"), "w")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data", self.data, "--port", str(port), *self.args],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd="/")
        log.close()

        def ready():
            if self.process.poll() is not None:
                pytest.fail(f"the daemon ended with {self.process.returncode}: {self.log()}")
            return re.search(r"^automation: ready on (http://\S+:(\d+)) ", self.log(), re.M)

        match = until(ready, lambda m: m is not None, START_S, "daemon ready")
        self.url = match.group(1)
        self.port = int(match.group(2))
        return self

    def api(self):
        key = self.env.get("AUTOMATION_LOCAL_API_KEY")
        if not key:
            with open(os.path.join(self.data, "api.key")) as f:
                key = f.read().strip()
        return Api(self.url, key)

    def state(self, name="serve.json"):
        try:
            with open(os.path.join(self.data, name)) as f:
                return json.load(f)
        except (FileNotFoundError, ValueError):
            return None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=15):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the daemon did not end {timeout} s after SIGTERM: {self.log()}")

    def end(self):
        """Stop it, its agent, and remove the folder."""
        agent = self.state("agent.json") or {}
        try:
            self.stop()
        finally:
            pid = agent.get("pid")
            if isinstance(pid, int) and pid > 1 and alive(pid):
                os.kill(pid, signal.SIGTERM)
                until(lambda: alive(pid), lambda a: not a, 15, "end of the agent")
            if self.own:
                shutil.rmtree(self.data, ignore_errors=True)


HOST = "url" if os.environ.get("AUT_API_URL") else os.environ.get("AUT_API_HOST", "daemon")


@pytest.fixture(scope="session", params=[HOST])
def server(request):
    """The shared server.  Tests must not rely on it being empty."""
    if request.param == "url":
        yield None
        return
    if request.param == "extension":
        extension = Extension(BINARY, ROOT)
        try:
            yield extension.start(until, webhook_secret_file=extension.secret("webhook.secret", WEBHOOK_SECRET))
        finally:
            extension.end()
        return
    # AUT_SERVE_ARGS: more options for the shared daemon (an agent server to test against)
    daemon = Daemon(args=os.environ.get("AUT_SERVE_ARGS", "").split(),
                    env={"AUTOMATION_WEBHOOK_SECRET": WEBHOOK_SECRET}).start()
    yield daemon
    daemon.end()


@pytest.fixture(scope="session")
def api(server):
    if server is None:
        return Api(os.environ["AUT_API_URL"], os.environ["AUT_API_KEY"])
    return Api(server.url, server.key) if HOST == "extension" else server.api()


@pytest.fixture(scope="session")
def cloud():
    """The cloud that says who calls, for `shared`."""
    from upstream import Upstream
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def shared(cloud):
    """A server of several organizations: callers are whom the cloud knows.  Gives a function from a
    credential (a bearer key) to an Api, with `url`, `log()` and `embedded`: runs execute as its own user."""
    waits = {"auth_initial_backoff": "0.02", "auth_max_backoff": "0.1", "http_timeout": "3"}
    if HOST == "url":
        pytest.skip("needs a server of its own")
    if HOST == "extension":
        server = Extension(BINARY, ROOT)
        try:
            server.start(until, openhands_api_base_url=cloud.url, local_api_key_file=None, **waits)
        except BaseException:
            server.end()
            raise
    else:
        server = Daemon(env={"AUTOMATION_OPENHANDS_API_BASE_URL": cloud.url,
                             **{f"AUTOMATION_{k.upper()}": v for k, v in waits.items()}}).start()

    def api(key):
        return Api(server.url, key)

    api.url = server.url
    api.log = server.log
    api.embedded = HOST == "daemon"
    yield api
    server.end()


@pytest.fixture
def daemons():
    """Daemons of a test's own: daemons(args=…, env=…, data=…) gives one that is not started yet."""
    made = []

    def make(**kwargs):
        made.append(Daemon(**kwargs))
        return made[-1]

    yield make
    for daemon in reversed(made):
        daemon.end()


class Gate:
    """A fifo that lets a run wait for the test, and the script's words for it."""

    def __init__(self, folder):
        self.path = os.path.join(folder, f"gate-{uuid.uuid4().hex}")
        os.mkfifo(self.path)
        os.chmod(folder, 0o755)
        self.wait = f"read -r word <{self.path}"
        self.fd = None

    def open(self, word="go"):
        # O_RDWR: opening never blocks, and the word stays in the pipe until the run reads it
        self.fd = os.open(self.path, os.O_RDWR)
        os.write(self.fd, (word + "\n").encode())

    def close(self):
        if self.fd is not None:
            os.close(self.fd)


@pytest.fixture
def gate(tmp_path):
    gate = Gate(str(tmp_path))
    yield gate
    if gate.fd is None:
        gate.open()
    gate.close()


def pytest_collection_modifyitems(config, items):
    """Tests about the daemon itself are not tests of another host."""
    if HOST == "daemon":
        return
    own = [i for i in items if "daemons" in i.fixturenames or i.module.__name__ == "test_daemon"]
    config.hook.pytest_deselected(items=own)
    items[:] = [i for i in items if i not in own]
