# SPDX-License-Identifier: MIT
"""What the benchmark measures: the stand-in agent, and the engine in its two hosts.

The stand-in runs nothing, answers at once and writes a line per call with its time; so the times of the first
calls come from it, not from this program.  Both hosts have the same few verbs.
"""

import http.client
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tarfile
import tempfile
import threading
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
PREFIX = "/api/automation"
KEY = "key-of-the-bench"
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def wait_until(ask, seconds=60, pause=0.005):
    end = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > end:
            raise RuntimeError(f"not within {seconds} s")
        time.sleep(pause)
    return answer


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_mib(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1048576


def clean_environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("AUTOMATION_") and k != "NOTIFY_SOCKET"}
    return {**env, **more}


def end(process):
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Stub:
    """The stand-in agent and its log."""

    def __init__(self, program, folder):
        self.data = folder / "stub"
        self.data.mkdir()
        self.log = folder / "stub.jsonl"
        self.log.touch()
        self.seen = {}  # run id -> {"first": t_us, "start": t_us, "callback": t_us, "calls": n}
        self.at = 0
        self.process = subprocess.Popen(
            [program, "agent", "--stub", "--port", "0", "--data", str(self.data), "--stub-log", str(self.log)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(folder / "stub.err", "wb"),
            env=clean_environment(), cwd="/",
        )  # fmt: skip
        wait_until((self.data / "agent.json").exists)
        state = json.loads((self.data / "agent.json").read_text())
        self.url, self.key, self.pid = state["url"], state["key"], self.process.pid

    def read(self):
        """Take in what was logged since the last time; the sum of calls."""
        with open(self.log, "rb") as log:
            log.seek(self.at)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.at += len(whole)
        for line in whole.splitlines():
            call = json.loads(line)
            if not call["run_id"]:
                continue
            run = self.seen.setdefault(call["run_id"], {"first": call["t_us"], "calls": 0})
            run["calls"] += 1
            run["last"] = call["t_us"]
            if call["method"] == "CALLBACK":
                run["callback"] = call["t_us"]
        return self.seen

    def reported(self, runs, seconds=120):
        """Wait until every run of the list has reported its end."""
        wait_until(lambda: all("callback" in self.read().get(run, ()) for run in runs), seconds)

    def stop(self):
        end(self.process)


class Http:
    """One keep-alive connection with TCP_NODELAY; requests is too slow for a measuring side."""

    def __init__(self, port, key):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(self, method, path, body=None, kind=None):
        headers = dict(self.headers)
        if kind:
            headers["Content-Type"] = kind
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body)
        self.connection.request(method, PREFIX + path, body, headers)
        reply = self.connection.getresponse()
        text = reply.read()
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {text[:500]!r}")
        return json.loads(text) if text else None


def tarball(script):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("main.sh")
        info.size = len(data := script.encode())
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Daemon:
    name = "daemon"

    def __init__(self, program, folder):
        self.program, self.folder, self.data = program, folder, folder / "daemon"
        self.process = None

    def start(self, stub=None, **more):
        """With the stand-in, with no agent, or ("embedded") with the daemon's own."""
        args = [self.program, "serve", "--data", str(self.data), "--port", "0"]
        if stub != "embedded":
            args += ["--agent-url", stub.url] if stub else ["--no-agent"]
            more |= {"AUTOMATION_AGENT_SERVER_API_KEY": stub.key} if stub else {}
        log_path = self.folder / "serve.log"
        log_path.unlink(missing_ok=True)
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=clean_environment(AUTOMATION_LOCAL_API_KEY=KEY, **more),
            )  # fmt: skip
        self.started = time.monotonic()

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(log_path.read_text())
            return re.search(r"^automation: ready on http://\S+:(\d+)", log_path.read_text(), re.M)

        self.port = int(wait_until(ready, pause=0.001)[1])
        self.ready_ms = (time.monotonic() - self.started) * 1000
        self.pid = self.process.pid
        self.http = Http(self.port, KEY)
        return self

    def create(self, count=1, schedule=None, script="#!/bin/sh\necho hello\n", name="bench"):
        upload = self.http.call("POST", "/v1/uploads?name=bench", tarball(script), "application/gzip")["tarball_path"]
        trigger = {"type": "cron", "schedule": schedule or "0 0 29 2 *", "timezone": "UTC"}
        return [
            self.http.call("POST", "/v1", {"name": f"{name} {n}", "trigger": trigger, "tarball_path": upload,
                                           "entrypoint": "sh main.sh"})["id"]
            for n in range(count)
        ]  # fmt: skip

    def dispatch(self, automation):
        return self.http.call("POST", f"/v1/{automation}/dispatch")["id"]

    trigger = dispatch

    def queue(self, automation, count):
        """count PENDING runs; nothing may execute them yet (started without agent)."""

        def some(n):
            client = Http(self.port, KEY)
            for _ in range(n):
                client.call("POST", f"/v1/{automation}/dispatch")

        threads = [threading.Thread(target=some, args=(count // 8,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        some(count - count // 8 * 8)

    def stop(self):
        end(self.process)
        self.process = None

    def runs(self):
        """All runs as tuples (id, slot_us, created_us, completed_us, status); stops the daemon first."""
        self.stop()
        db = sqlite3.connect(f"file:{self.data / 'automation.db'}?mode=ro", uri=True)
        rows = db.execute("SELECT id, scheduled_for, created_at, completed_at, status FROM run").fetchall()
        db.close()
        return [(str(uuid.UUID(bytes=row[0])), *row[1:]) for row in rows]

    def remove(self):
        self.stop()


class Extension:
    name = "extension"

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.environment = {}
        self.psql = None

    def cluster(self, *args, check=True):
        done = subprocess.run([str(ROOT / "test" / "pg-cluster"), *args], capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout

    def secret(self, name, text):
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(path, "postgres")
        return path

    def start(self, stub, fsync="on", **more):
        os.chmod(self.folder, 0o755)
        settings = {
            "fsync": fsync,
            "automation.agent_server_url": stub.url,
            "automation.agent_server_api_key_file": self.secret("agent.key", stub.key),
            "automation.local_api_key_file": self.secret("api.key", KEY),
            "automation.http_role": "postgres",
            **more,
        }
        args = [part for name, value in settings.items() for part in ("-c", f"{name} = '{value}'")]
        text = self.cluster("start", *args)
        self.environment = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", text, re.M))
        self.psql = subprocess.Popen(
            [self.environment["PG_BINDIR"] + "/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env={**os.environ, **self.environment},
        )  # fmt: skip
        self.port = port = free_port()
        self.sql(f"ALTER DATABASE postgres SET automation.listen = '127.0.0.1:{port}'")
        self.sql("CREATE EXTENSION automation")
        self.pid = int(wait_until(lambda: self.sql(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'automation worker'"))[0])  # fmt: skip

        def listens():
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens)
        self.http = Http(port, KEY)
        return self

    def sql(self, statement):
        """One statement; its rows as lines of text."""
        self.psql.stdin.write(statement + ";\n\\echo =done=\n")
        self.psql.stdin.flush()
        rows = []
        while True:
            line = self.psql.stdout.readline()
            if not line:
                raise RuntimeError(f"psql ended at: {statement}")
            if line == "=done=\n":
                return rows
            rows.append(line[:-1])

    def create(self, count=1, schedule=None):
        when = f"'{schedule}'" if schedule else "NULL"
        return self.sql(f"SELECT automation.create('bench ' || n, script => E'#!/bin/sh\\necho hello\\n', "
                        f"schedule => {when}) FROM generate_series(1, {count}) AS n")  # fmt: skip

    def trigger(self, automation):
        return self.sql(f"SELECT automation.trigger('bench 1')")[0]

    def dispatch(self, automation):
        return self.http.call("POST", f"/v1/{automation}/dispatch")["id"]

    def queue(self, automation, count):
        self.sql(f"SELECT count(automation.trigger('bench 1')) FROM generate_series(1, {count})")

    def runs(self):
        us = "(extract(epoch FROM {}) * 1000000)::bigint"
        columns = ", ".join(us.format(c) for c in ("scheduled_for", "created_at", "completed_at"))
        rows = [row.split("|") for row in self.sql(f"SELECT id, {columns}, status FROM automation.run")]
        return [(r[0], *(int(v) if v else None for v in r[1:4]), r[4]) for r in rows]

    def stop(self):
        if self.psql is not None:
            self.psql.stdin.close()
            self.psql.wait(20)
            self.psql = None

    def remove(self):
        self.stop()
        if self.environment:
            self.cluster("stop", self.environment["PGDATA"], check=False)


class Setting:
    """A folder, a stand-in and a host; all gone afterwards."""

    def __init__(self, host, program, base):
        base.mkdir(parents=True, exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="automation-bench.", dir=base))
        os.chmod(self.folder, 0o755)
        self.stub, self.host = None, host(program, self.folder)
        self.program = program

    def __enter__(self):
        self.stub = Stub(self.program, self.folder)
        return self

    def __exit__(self, *what):
        try:
            self.host.remove()
        finally:
            self.stub.stop()
            shutil.rmtree(self.folder, ignore_errors=True)
