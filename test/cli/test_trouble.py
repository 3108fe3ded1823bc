# SPDX-License-Identifier: MIT
"""The daemon in trouble: full disk, wrong folders and files, a second one, signals, the service manager."""

import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tarfile
import time
import urllib.error
import urllib.request

import pytest
from conftest import PROGRAM, clean_environment, is_alive, wait_until
from test_cli import HELLO

KEY = "a key for tests only"


def serve(data, *args, env=None, code=1, **more):
    """A start that must fail: its complaint, one line."""
    done = subprocess.run([PROGRAM, "serve", "--data", str(data), "--port", "0", *map(str, args)],
                          capture_output=True, text=True, timeout=60, env=clean_environment(**(env or {})), **more)  # fmt: skip
    assert done.returncode == code, f"exit {done.returncode}: {done.stderr}"
    lines = [line for line in done.stderr.splitlines() if line.startswith("automation: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


# ---- a full disk ---------------------------------------------------------------------------------


def can_mount():
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    done = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"], capture_output=True,
                          timeout=30)  # fmt: skip
    return done.returncode == 0


def ask(url, path, data=None, kind="application/json"):
    """(HTTP status, text)"""
    request = urllib.request.Request(url + "/api/automation" + path, data=data, method="GET" if data is None else "POST",
                                     headers={"Authorization": f"Bearer {KEY}", "Content-Type": kind})  # fmt: skip
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def packed_script(text):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        member = tarfile.TarInfo("main.sh")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.mark.skipif(not can_mount(), reason="cannot mount a small file system here")
def test_trouble__full_disk_is_told_and_nothing_is_lost(tmp_path):
    log = tmp_path / "log"
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    script = 'mount -t tmpfs -o size=3m,mode=700 none "$1" && exec "$2" serve --data "$1" --port 0'
    with open(log, "wb") as out:
        process = subprocess.Popen(["unshare", "-m", "sh", "-c", script, "sh", str(data), PROGRAM],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   env=clean_environment(AUTOMATION_LOCAL_API_KEY=KEY))  # fmt: skip
    agent = None
    try:
        ready = wait_until(lambda: re.search(r"ready on (http\S+)", log.read_text()))
        url, inside = ready.group(1), f"/proc/{process.pid}/root{data}"
        with open(f"{inside}/agent.json", encoding="utf-8") as state:
            agent = json.load(state)["pid"]
        code, made = ask(url, "/v1/uploads?name=x", packed_script("echo hi\n"), "application/gzip")
        assert code == 201
        body = {"name": "x", "entrypoint": "bash main.sh", "tarball_path": json.loads(made)["tarball_path"],
                "trigger": {"type": "event", "source": "manual", "on": []}}  # fmt: skip
        code, made = ask(url, "/v1", json.dumps(body).encode())
        assert code == 201
        start = f"/v1/{json.loads(made)['id']}/dispatch"
        filler = os.open(f"{inside}/filler", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            with pytest.raises(OSError):
                while True:
                    os.write(filler, b"x" * 4096)
        finally:
            os.close(filler)
        # not the first one at once: what the log of the database has spare is used first
        answers = [ask(url, start, b"") for _ in range(200)]
        promised = [json.loads(text)["id"] for code, text in answers if code == 201]
        refused = {(code, text) for code, text in answers if code != 201}
        assert refused == {(503, '{"detail":"database or disk is full"}')}
        assert ask(url, "/v1")[0] == 200  # who only reads is served
        assert process.poll() is None
        assert log.read_text().count("is full: nothing can be stored until there is room") == 1
        os.unlink(f"{inside}/filler")
        code, text = wait_until(lambda: ask(url, start, b""), lambda answer: answer[0] == 201)
        promised.append(json.loads(text)["id"])
        for run in promised:
            wait_until(lambda: json.loads(ask(url, f"/v1/runs/{run}")[1])["status"], lambda s: s == "COMPLETED")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
        if agent:
            os.kill(agent, signal.SIGTERM)
            wait_until(lambda: not is_alive(agent), seconds=10)


# ---- folders and files ---------------------------------------------------------------------------


def test_trouble__folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:  # another user must get there
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    more = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    complaint = serve(closed, **more)
    assert "cannot write in the folder" in complaint and str(closed) in complaint
    assert list(closed.iterdir()) == []
    complaint = serve(closed / "below", **more)
    assert "cannot make the folder" in complaint and "Permission denied" in complaint


def test_trouble__damaged_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "automation.db"
    path.write_bytes(b"this is no database\n" * 100)
    assert "is not an SQLite database, or is damaged" in serve(tmp_path, "--no-agent")
    assert path.read_bytes() == b"this is no database\n" * 100
    assert not (tmp_path / "serve.json").exists() and not (tmp_path / "agent.json").exists()


def test_trouble__damaged_schema_is_refused(own_daemon):
    own_daemon.create("x", HELLO)
    own_daemon.stop()
    path = own_daemon.data / "automation.db"
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xa5" * 3996  # the page with the schema, behind an intact header
    path.write_bytes(content)
    complaint = serve(own_daemon.data)
    assert str(path) in complaint and re.search("malformed|damaged|not a database", complaint)
    own_daemon.process = subprocess.Popen(["true"])  # nothing to stop
    own_daemon.process.wait()


def test_trouble__newer_and_foreign_databases_are_refused_and_left_alone(own_daemon, tmp_path):
    own_daemon.stop()
    path = own_daemon.data / "automation.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    complaint = serve(own_daemon.data, "--no-agent")
    assert "newer version" in complaint and "9999" in complaint
    foreign = tmp_path / "other.db"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = foreign.read_bytes()
    assert "another program" in serve(tmp_path, "--no-agent", "--db", foreign)
    assert foreign.read_bytes() == before


def test_trouble__second_daemon_names_the_first(own_daemon, tmp_path):
    pid = own_daemon.process.pid
    assert f"pid {pid}" in serve(own_daemon.data)
    assert f"process {pid}" in serve(tmp_path, "--db", own_daemon.data / "automation.db")
    assert own_daemon("list").returncode == 0


# ---- ends and signs of life ------------------------------------------------------------------------


def test_trouble__sigterm_ends_it_while_runs_go_on(own_daemon, tmp_path):
    gate, ledger = tmp_path / "gate", tmp_path / "ledger"
    os.mkfifo(gate)
    own_daemon.create("waits", f"#!/bin/sh\necho $$ >>{ledger}\nread -r word <{gate}\nexit 0\n")
    runs = [own_daemon("run", "waits").stdout.strip() for _ in range(5)]
    wait_until(lambda: ledger.exists() and len(ledger.read_text().split()) == 5)
    began = time.monotonic()
    assert own_daemon.stop() == 0
    assert time.monotonic() - began < 10
    assert all(is_alive(int(pid)) for pid in ledger.read_text().split())
    own_daemon.start()
    assert {own_daemon.json("show", run)["status"] for run in runs} == {"RUNNING"}
    fd = os.open(gate, os.O_RDWR)
    try:
        os.write(fd, b"go\n" * 5)
        for run in runs:
            wait_until(lambda: own_daemon.json("show", run)["status"], lambda s: s == "COMPLETED")
    finally:
        os.close(fd)
    assert len(ledger.read_text().split()) == 5


def test_trouble__start_to_ready_is_told_and_unknown_settings_once(tmp_path):
    path = tmp_path / "notify"
    log = tmp_path / "log"
    env = clean_environment(AUTOMATION_LOG_LEVEL="debug", AUTOMATION_SERVER_PROT="1", AUTOMATION_URL="http://x",
                            AUTOMATION_API_KEY="y", NOTIFY_SOCKET=str(path), WATCHDOG_USEC="200000")  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, open(log, "wb") as out:
        manager.bind(str(path))
        manager.settimeout(30)
        process = subprocess.Popen([PROGRAM, "serve", "--data", str(tmp_path / "data"), "--port", "0", "--no-agent"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)  # fmt: skip
        try:
            assert manager.recv(100) == b"READY=1"
            # signs of life go on by themselves
            assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            process.terminate()
            while (word := manager.recv(100)) == b"WATCHDOG=1":
                pass
            assert word == b"STOPPING=1"
            assert process.wait(15) == 0
        finally:
            process.kill()
            process.wait()
    text = log.read_text()
    assert re.search(r"ready \d+ ms after the start", text)
    assert text.count("is not a setting") == 1 and "AUTOMATION_SERVER_PROT" in text


def test_trouble__runs_are_not_told_of_the_service_manager(tmp_path, own_daemon):
    own_daemon.stop()
    own_daemon.stop_agent()
    own_daemon.environment = {"NOTIFY_SOCKET": str(tmp_path / "none"), "WATCHDOG_USEC": "60000000"}
    own_daemon.start()
    own_daemon.create("env", "#!/bin/sh\nenv\n")
    assert not re.search("NOTIFY_SOCKET|WATCHDOG", own_daemon("run", "env", "-f").stdout)
