# SPDX-License-Identifier: MIT
"""What the tests of the command line share: a daemon of their own, the program, and waiting.

Every daemon has a temporary folder and a free port; it is ended by its pid, and so is the agent it started.
Nothing waits for a fixed time: wait_until asks until the answer is there, and shows the last one otherwise.
"""

import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

sys.dont_write_bytecode = True

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("AUT_PROGRAM", str(ROOT / "build" / "automation"))
EXAMPLES = ROOT / "examples"


def clean_environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("AUTOMATION_") and k not in ("NO_COLOR", "COLUMNS")}
    env.update(TZ="UTC", TERM="xterm", PYTHONDONTWRITEBYTECODE="1")
    env.update(more)
    return env


def wait_until(ask, accept=bool, seconds=30):
    """The first answer that is accepted; an error with the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if accept(answer):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; the last answer was {answer!r}")
        time.sleep(0.05)


def is_alive(pid):
    """Runs, and is not merely waiting to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Daemon:
    """`automation serve` on a folder of its own, and the command line that talks to it."""

    def __init__(self, **environment):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="automation-cli."))
        self.data = self.folder / "data"
        self.environment = environment
        self.process = None

    def start(self):
        (self.data / "serve.json").unlink(missing_ok=True)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", "--data", str(self.data), "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(**self.environment),
            )
        wait_until(lambda: (self.data / "serve.json").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        return self

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def state(self):
        return json.loads((self.data / "serve.json").read_text())

    def url(self):
        """Where the API begins, from the daemon's own word."""
        return self.state()["url"].removesuffix("/").removesuffix("/api/automation")

    def key(self):
        return (self.data / "api.key").read_text().strip()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def stop_agent(self):
        """The agent outlives the daemon for a while; here nobody comes back for it."""
        try:
            pid = json.loads((self.data / "agent.json").read_text())["pid"]
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, KeyError):
            return
        if str(self.data).encode() in command:
            os.kill(pid, signal.SIGTERM)
            try:
                wait_until(lambda: not is_alive(pid), seconds=10)
            except AssertionError:
                os.kill(pid, signal.SIGKILL)

    def let_clean_up(self):
        """Ended runs' files go soon after their end; a daemon that stops before leaves that to the next one."""
        if self.process.poll() is None:
            runs = [run["id"] for run in self.json("runs", "-n", "1000")["runs"] if run["completed_at"]]
            left = lambda: [run for run in runs if pathlib.Path(f"/tmp/automation-{run}.1").exists()]
            wait_until(left, lambda some: not some, seconds=10)

    def remove(self):
        try:
            self.let_clean_up()
            self.stop()
        finally:
            self.stop_agent()
            shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, command, *args, code=0, stdin=None, text=True, env=None):
        """Run one command; its exit status must be `code`."""
        done = subprocess.run(
            [PROGRAM, command, "--data", str(self.data), *map(str, args)],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=text,
            timeout=120,
            env=clean_environment(**(env or {})),
        )
        assert done.returncode == code, f"exit {done.returncode}: {done.stdout!r} {done.stderr!r}\n{self.log()[-1000:]}"
        return done

    def json(self, command, *args, **more):
        return json.loads(self(command, *args, "--json", **more).stdout)

    def popen(self, command, *args, **more):
        return subprocess.Popen(
            [PROGRAM, command, "--data", str(self.data), *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
            **more,
        )

    def terminal(self, command, *args, env=None):
        """Run one command on a terminal; what it wrote, with plain newlines."""
        pid, fd = pty.fork()
        if pid == 0:
            try:
                argv = [PROGRAM, command, "--data", str(self.data), *map(str, args)]
                os.execve(PROGRAM, argv, clean_environment(COLUMNS="100", **(env or {})))
            finally:
                os._exit(127)
        written = b""
        try:
            while select.select([fd], [], [], 60)[0]:
                try:
                    piece = os.read(fd, 65536)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                written += piece
        finally:
            os.close(fd)
            os.waitpid(pid, 0)
        return written.decode().replace("\r\n", "\n")

    def create(self, name, script, *args):
        """An automation from the text of a script; its id."""
        return self("create", name, "--script", "-", *args, stdin=script).stdout.strip()


@pytest.fixture(scope="module")
def daemon():
    it = Daemon()
    try:
        yield it.start()
    finally:
        it.remove()


@pytest.fixture
def own_daemon():
    """One that a test may stop, kill and start again."""
    it = Daemon()
    try:
        yield it.start()
    finally:
        it.remove()
