# SPDX-License-Identifier: MIT
"""What the parts of the benchmark share: checks, percentiles, tables."""

import os
import pathlib
import sqlite3
import subprocess
import tempfile

from hosts import Daemon, Extension, Setting

HOSTS = {"daemon": Daemon, "extension": Extension}
CHECKS = {"passed": 0, "failed": 0}


def check(what, good):
    CHECKS["passed" if good else "failed"] += 1
    if not good:
        print(f"FAIL  {what}", flush=True)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(values, digits=2):
    """median, p90, p99 and the greatest."""
    return [f"{v:.{digits}f}" for v in (*(percentile(values, s) for s in (0.5, 0.9, 0.99)), max(values))]


class Report:
    def __init__(self):
        self.lines = []

    def text(self, *lines):
        self.lines += [*lines, ""]
        print("\n".join(lines), flush=True)

    def table(self, title, head, rows):
        self.text(f"### {title}")
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
        self.text(*lines)


def floor(bench, count, period_ms):
    """How late this machine wakes a program that sleeps until an instant, ms."""
    out = subprocess.run([bench.tool("timer_floor"), str(count), str(period_ms)], capture_output=True, text=True,
                         check=True, timeout=600).stdout  # fmt: skip
    return [float(line) / 1000 for line in out.split()]


def load():
    return f"{os.getloadavg()[0]:.2f}"


def ended(host, count):
    """Are that many runs ended in the database?  (The stand-in logs a callback when it is sent.)"""
    if host.name == "extension":
        return int(host.sql("SELECT count(*) FROM automation.run WHERE completed_at IS NOT NULL")[0]) >= count
    db = sqlite3.connect(f"file:{host.data / 'automation.db'}?mode=ro", uri=True)
    try:
        return db.execute("SELECT count(*) FROM run WHERE completed_at IS NOT NULL").fetchone()[0] >= count
    finally:
        db.close()


class Bench:
    def __init__(self, args):
        self.args, self.smoke, self.report = args, args.smoke, Report()
        self.build = pathlib.Path(args.build).resolve()
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="automation-bench.", dir=args.base))
        self.base.chmod(0o755)  # the server's user comes through
        self.rounds = 1 if args.smoke else args.rounds
        self.notes = {}  # what the table of aims quotes, by name

    def note(self, name, text):
        self.notes[name] = text

    def few(self, full, smoke):
        return smoke if self.smoke else full

    def seconds(self, full, smoke):
        return self.args.seconds or self.few(full, smoke)

    def automations(self, full, smoke):
        return self.args.automations or self.few(full, smoke)

    def hosts(self):
        return [(n, h) for n, h in HOSTS.items() if self.args.host in (None, n)]

    def setting(self, host_class):
        return Setting(host_class, str(self.build / "automation"), self.base)

    def tool(self, name):
        return str(self.build / "bench" / name)

    def profile(self, pid, name):
        if not self.args.perf:
            return None
        out = pathlib.Path(self.args.perf) / f"{name}.perf"
        return subprocess.Popen(["perf", "record", "-q", "-g", "-p", str(pid), "-o", str(out)])
