# SPDX-License-Identifier: MIT
"""Events per second, by how many automations wait for events.

    python3 bench/events.py --build build [--sizes 10,1000,10000] [--seconds 3]

A daemon gets automations of three sorts, one sort at a time:

    indexed    filter `repository.full_name == 'o/rN' && ref`: what the index can tell apart
    scanned    filter `contains(repository.full_name, 'rN')`: all of them must be asked about each event
    keys       a pattern of its own each: told apart by the key alone

and then deliveries over kept-alive connections, each a new event (no delivery id): of nobody, and of exactly one
automation.  Runs wait (no backend), so that events are what is measured.  The rate is the wall clock's; CPU is
that of the serving process for each event, which a busy machine does not distort so much.
"""

import argparse
import hashlib
import hmac
import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from hosts import PREFIX, clean_environment, cpu_s, end, rss_mib, wait_until

SECRET = "secret-of-the-bench"
ORG = "46d09c5c-7d7d-585f-8c37-a6b45a3de738"
CONNECTIONS = 8


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def ask(self, request):
        self.socket.sendall(request)
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
        while len(self.rest) < length:
            self.rest += self.more()
        body, self.rest = self.rest[:length], self.rest[length:]
        return int(head.split()[1]), body

    def more(self):
        got = self.socket.recv(65536)
        if not got:
            raise RuntimeError("the server hung up")
        return got


def request(port, method, path, body, headers):
    lines = [f"{method} {PREFIX}{path} HTTP/1.1", f"Host: localhost:{port}", f"Content-Length: {len(body)}",
             "Content-Type: application/json", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def payload(name, extra):
    return {"ref": "refs/heads/main", "before": "0" * 40, "after": "1" * 40,
            "commits": [{"id": "1" * 40, "message": "a change", "author": {"name": "ann"}}] * 3,
            "repository": {"id": 1, "name": name, "full_name": f"o/{name}", "private": False, "default_branch": "main"},
            "sender": {"id": 2, "login": "ann", "type": "User"}, **extra}


def delivery(port, name, extra):
    sent = payload(name, extra)
    if "release" in extra:
        del sent["ref"]
    body = json.dumps({"payload": sent}).encode()
    return request(port, "POST", f"/v1/events/{ORG}/github", body,
                   {"X-Hub-Signature-256": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()})


RELEASE = {"action": "published", "release": {"tag_name": "v1"}}
SORTS = {
    "indexed": lambda n: {"on": "push", "filter": f"repository.full_name == 'o/r{n}' && ref"},
    "scanned": lambda n: {"on": "push", "filter": f"contains(repository.full_name, '/r{n}x')"},
    "keys": lambda n: {"on": ["push" if n == 5 else f"pull_request.k{n}"]},
}


def measure(connections, raw, seconds, pid):
    stop = time.monotonic() + seconds
    counts = [0] * len(connections)
    matched = [0] * len(connections)

    def send(i):
        while time.monotonic() < stop:
            code, body = connections[i].ask(raw)
            if code != 200:
                raise RuntimeError(f"{code} {body[:200]}")
            matched[i] += json.loads(body)["matched"]
            counts[i] += 1

    connections[0].ask(raw)  # what is remembered is there from now on
    begun, cpu = time.monotonic(), cpu_s(pid)
    threads = [threading.Thread(target=send, args=(i,)) for i in range(len(connections))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    total = sum(counts)
    return total / (time.monotonic() - begun), (cpu_s(pid) - cpu) / total * 1e6, sum(matched) / total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--sizes", default="10,1000,10000")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--sorts", default=",".join(SORTS))
    options = parser.parse_args()
    print("| automations | sort | event of | events/s | CPU, us each | memory, MiB |\n|---|---|---|---|---|---|")
    for sort in options.sorts.split(","):
        for size in map(int, options.sizes.split(",")):
            folder = pathlib.Path(tempfile.mkdtemp(prefix="aut-bench-"))
            log = folder / "log"
            process = subprocess.Popen(
                [str(pathlib.Path(options.build, "automation").resolve()), "serve", "--data", str(folder / "data"), "--port", "0", "--no-agent"],
                stdin=subprocess.DEVNULL, stdout=open(log, "wb"), stderr=subprocess.STDOUT,
                env=clean_environment(AUTOMATION_WEBHOOK_SECRET=SECRET), cwd="/")  # fmt: skip
            try:
                port = int(wait_until(lambda: re.search(r"ready on http://\S+:(\d+)", log.read_text())).group(1))
                key = {"Authorization": "Bearer " + (folder / "data" / "api.key").read_text().strip()}
                maker = Connection(port)
                for n in range(size):
                    body = json.dumps({"name": f"a{n}", "tarball_path": "https://x.test/a.tgz", "entrypoint": "./run",
                                       "trigger": {"type": "event", "source": "github", **SORTS[sort](n)}}).encode()
                    code, said = maker.ask(request(port, "POST", "/v1", body, key))
                    if code != 201:
                        raise RuntimeError(f"{code} {said[:200]}")
                connections = [Connection(port) for _ in range(CONNECTIONS)]
                for whom, raw in (("nobody", delivery(port, "none", RELEASE if sort == "keys" else {})),
                                  ("one", delivery(port, "r5x" if sort == "scanned" else "r5", {}))):
                    rate, cpu, matched = measure(connections, raw, options.seconds, process.pid)
                    if whom == "one" and matched != 1 or whom == "nobody" and matched != 0:
                        raise RuntimeError(f"{whom}: {matched} matched")
                    print(f"| {size} | {sort} | {whom} | {rate:.0f} | {cpu:.0f} | {rss_mib(process.pid):.0f} |", flush=True)
            finally:
                end(process)
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
