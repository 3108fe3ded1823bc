# SPDX-License-Identifier: MIT
"""The extension as the server under test: a throw-away PostgreSQL cluster (test/pg-cluster) whose worker
listens, and an agent of our own for its runs."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile

SLOW = int(os.environ.get("AUT_SLOW", "1"))


class Extension:
    def __init__(self, binary, root):
        self.binary = binary
        self.root = root
        self.folder = tempfile.mkdtemp(prefix="aut-api-ext-")
        os.chmod(self.folder, 0o755)
        self.agent = None
        self.environment = {}
        self.key = "key-of-the-suite"

    def cluster(self, *args, check=True):
        run = subprocess.run([os.path.join(self.root, "test", "pg-cluster"), *args],
                             capture_output=True, text=True, timeout=120 * SLOW, env={**os.environ, **self.environment})
        if check and run.returncode != 0:
            raise RuntimeError(f"pg-cluster {args[0]}: {run.stderr}")
        return run.stdout

    def secret(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text + "\n")
        os.chmod(path, 0o600)
        if os.geteuid() == 0:
            shutil.chown(path, "postgres")
        return path

    def start_agent(self, until):
        data = os.path.join(self.folder, "agent")
        os.mkdir(data)
        log = open(os.path.join(self.folder, "agent.log"), "w")
        self.agent = subprocess.Popen([self.binary, "agent", "--port", "0", "--data", data],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        log.close()
        path = os.path.join(data, "agent.json")
        until(lambda: os.path.exists(path), bool, 20, "agent.json")
        with open(path) as f:
            return json.load(f)

    def psql(self, *statements):
        args = [os.path.join(self.environment["PG_BINDIR"], "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        for statement in statements:
            args += ["-c", statement]
        subprocess.run(args, env={**os.environ, **self.environment}, check=True, timeout=60 * SLOW,
                       capture_output=True)

    def query(self, statement):
        """Rows as text, columns parted by |."""
        args = [os.path.join(self.environment["PG_BINDIR"], "psql"), "-X", "-q", "-A", "-t", "-c", statement]
        return subprocess.run(args, env={**os.environ, **self.environment}, check=True, timeout=60 * SLOW,
                              capture_output=True, text=True).stdout.strip()

    def log(self):
        with open(self.environment["PG_LOG"], errors="replace") as f:
            return f.read()

    def start(self, until, **more):
        """Settings beside the usual ones: more; None leaves a usual one out."""
        state = self.start_agent(until)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {
            "agent_server_url": state["url"],
            "agent_server_api_key_file": self.secret("agent.key", state["key"]),
            "local_api_key_file": self.secret("api.key", self.key),
            "secret_key_file": self.secret("secret.key", "5e" * 32),
            "workspace_base": os.path.join(self.folder, "work"),
            "http_role": "postgres",
        }
        settings.update(setting.split("=", 1) for setting in os.environ.get("AUT_API_SETTINGS", "").split())
        settings.update(more)
        args = []
        for name, value in settings.items():
            if value is None:
                continue
            args += ["-c", f"automation.{name} = '{value}'"]
        text = self.cluster("start", *args)
        self.environment = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", text, re.M))
        self.psql(f"ALTER DATABASE postgres SET automation.listen = '127.0.0.1:{port}'")
        self.psql("CREATE EXTENSION automation")
        self.url = f"http://127.0.0.1:{port}"

        def listens():
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        until(listens, bool, 30, f"listener; log: {self.log()[-2000:]}")
        return self

    def end(self):
        if self.environment:
            self.cluster("stop", self.environment["PGDATA"], check=False)
        if self.agent is not None:
            self.agent.send_signal(signal.SIGTERM)
            self.agent.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)
