#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/soak/kill_cluster.py: kills inside PostgreSQL at random points, with runs in every state.

What is killed: the worker, a dispatcher, a session that triggers (kill -9: the whole server restarts its processes),
one that is terminated, the whole cluster at once (kill -9 of the postmaster, `pg_ctl stop -m immediate`).  Scripts note in
a ledger when they begin and when they are through; SQL actions write a row of the user's in the same transaction.

At the end: no run whose trigger() committed is lost, none exists whose transaction did not commit, none was executed twice,
none is COMPLETED without having run, each ended with its true result (an action that was cut off may have FAILED,
then its row is not there).

    SOAK_KILLS    how many (100)
    SOAK_SEED     to repeat the choices of a run (not its timing); printed

The last line is "N passed, N failed": one for each run.  Waiting for a random time is the point here.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))
from conftest import BINARY  # noqa: E402
from host_extension import Extension  # noqa: E402

KILLS = int(os.environ.get("SOAK_KILLS", "100"))
SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(1 << 30)))
ROOT = str(Path(__file__).resolve().parents[2])
END_WITHIN_S = 180
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "SKIPPED")

BEGIN = "echo begin $AUTOMATION_RUN_ID >>@LEDGER@\n"
END = "echo end $AUTOMATION_RUN_ID >>@LEDGER@\n"
SCRIPTS = {
    "quick": (BEGIN + END, "COMPLETED"),
    "slow": (BEGIN + "sleep 0.7\n" + END, "COMPLETED"),
    "chatty": (BEGIN + "seq 1 20000\nsleep 0.2\nseq 1 20000\n" + END, "COMPLETED"),
    "fails": (BEGIN + "sleep 0.1\n" + END + "exit 3\n", "FAILED"),
}
ACTIONS = {
    "action": "INSERT INTO public.done SELECT 1",
    "long action": "INSERT INTO public.done SELECT 1; SELECT pg_sleep(0.4)",
}


def until(look, good, seconds, what):
    deadline = time.monotonic() + seconds
    value = None
    while time.monotonic() < deadline:
        try:
            value = look()
            if good(value):
                return value
        except subprocess.SubprocessError as error:
            value = error
        time.sleep(0.05)
    raise SystemExit(f"waited {seconds} s for {what}; last: {value}")


class Soak:
    def __init__(self):
        self.random = random.Random(SEED)
        self.host = Extension(BINARY, ROOT)
        self.ledger = os.path.join(self.host.folder, "ledger")
        open(self.ledger, "w").close()
        self.promised, self.unknown, self.rolled_back = {}, 0, set()
        self.kills = Counter()

    def sql(self, text, check=True, timeout=30):
        env = {**os.environ, **self.host.environment}
        run = subprocess.run([os.path.join(env["PG_BINDIR"], "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text],
                             env=env, capture_output=True, text=True, timeout=timeout)  # fmt: skip
        if check and run.returncode != 0:
            raise subprocess.SubprocessError(run.stderr)
        return run.stdout.strip() if run.returncode == 0 else None

    def start(self):
        self.host.start(lambda look, good, seconds, what: until(look, good, seconds, what), workers=2, max_parallel_runs=6,
                        default_run_duration=60)  # fmt: skip
        self.sql("CREATE TABLE public.done (one integer, at timestamptz DEFAULT clock_timestamp(), by_run text)")
        self.sql("CREATE TABLE public.mine (run uuid)")
        for name, (script, _) in SCRIPTS.items():
            self.sql(f"SELECT automation.create('{name}', script => $s$#!/bin/sh\n{script.replace('@LEDGER@', self.ledger)}$s$)")
        for name, sql in ACTIONS.items():
            self.sql(f"SELECT automation.create('{name}', sql => $s${sql}$s$)")

    def keep_asking(self, stop, rng):
        """Each run and a row of the user's are one transaction: both are there, or none."""
        while not stop.is_set():
            kind = rng.choice([*SCRIPTS, *ACTIONS])
            end = "ROLLBACK" if rng.random() < 0.15 else "COMMIT"
            try:
                run = self.sql(f"BEGIN; WITH r AS (SELECT automation.trigger('{kind}') AS id) "
                               f"INSERT INTO public.mine SELECT id FROM r RETURNING run; {end}", check=False)  # fmt: skip
            except subprocess.SubprocessError:
                run = None
            if run and end == "COMMIT":
                self.promised[run] = kind
            elif run:
                self.rolled_back.add(run)
            stop.wait(rng.random() * 0.05)

    def pids(self, where):
        text = self.sql(f"SELECT pid FROM pg_stat_activity WHERE {where}", check=False)
        return [int(line) for line in text.splitlines()] if text else []

    def kill(self):
        way = self.random.choice(("worker", "dispatcher", "session", "terminate", "action", "postmaster", "immediate"))
        data = self.host.environment["PGDATA"]
        try:
            if way == "postmaster":
                self.host.cluster("crash", data)
            elif way == "immediate":
                command = [os.path.join(self.host.environment["PG_BINDIR"], "pg_ctl"), "-D", data, "-m", "immediate", "-w", "-s", "stop"]
                if os.geteuid() == 0:
                    command = ["runuser", "-u", "postgres", "--", *command]
                subprocess.run(command, cwd="/", timeout=60, capture_output=True)
            else:
                where = {"worker": "backend_type = 'automation worker'", "dispatcher": "backend_type = 'automation dispatcher'",
                         "session": "backend_type = 'client backend' AND pid <> pg_backend_pid()",
                         "terminate": "backend_type IN ('automation worker', 'automation dispatcher')",
                         "action": "backend_type = 'automation sql action'"}[way]  # fmt: skip
                pids = self.pids(where)
                if not pids:
                    return
                os.kill(self.random.choice(pids), signal.SIGTERM if way == "terminate" else signal.SIGKILL)
        except (ProcessLookupError, subprocess.SubprocessError):
            return
        self.kills[way] += 1
        if way in ("postmaster", "immediate"):
            self.host.cluster("up", data)
        until(lambda: self.sql("SELECT automation.ensure()", check=False), lambda out: out is not None, 60, "the server")

    def lives(self):
        while sum(self.kills.values()) < KILLS:
            stop = threading.Event()
            asking = [threading.Thread(target=self.keep_asking, args=(stop, random.Random(self.random.random()))) for _ in range(2)]
            for thread in asking:
                thread.start()
            time.sleep(self.random.random() * 0.8)
            self.kill()
            stop.set()
            for thread in asking:
                thread.join()

    def judge(self):
        rows = until(lambda: self.sql("SELECT id, automation, status, attempt, coalesce(replace(error, E'\\n', ' '), '') FROM automation.runs"),
                     lambda text: all(line.split("|")[2] in ENDED for line in text.splitlines()), END_WITHIN_S, "all ends")  # fmt: skip
        runs = {line.split("|")[0]: line.split("|")[1:] for line in rows.splitlines()}
        begun, through = Counter(), Counter()
        for line in Path(self.ledger).read_text().splitlines():
            word, _, run = line.partition(" ")
            (begun if word == "begin" else through)[run] += 1
        mine = set(self.sql("SELECT run FROM public.mine").splitlines())
        done = int(self.sql("SELECT count(*) FROM public.done"))
        wrong = {}
        for run in set(runs) | set(self.promised) | set(begun) | mine:
            if run not in runs:
                wrong[run] = "is lost"
                continue
            kind, status, attempt, error = runs[run]
            if run not in mine:
                wrong[run] = "exists, though its transaction did not commit"
            elif run in self.rolled_back:
                wrong[run] = "was rolled back, and exists"
            elif kind in SCRIPTS:
                wanted = SCRIPTS[kind][1]
                if begun[run] != 1:
                    wrong[run] = f"was executed {begun[run]} times ({status}, attempt {attempt}, {error})"
                elif through[run] != 1 or status != wanted:
                    wrong[run] = f"should be {wanted}, through once: {status}, {through[run]}, {error}"
            elif status not in ("COMPLETED", "FAILED") or (status == "FAILED" and not error):
                wrong[run] = f"an action ended {status} {error}"
        completed = sum(1 for kind, status, *_ in runs.values() if kind in ACTIONS and status == "COMPLETED")
        if completed != done:
            wrong["SQL actions"] = f"{completed} are COMPLETED, {done} rows were written"
        return runs, wrong


def main():
    started = time.monotonic()
    print(f"{KILLS} kills in PostgreSQL, SOAK_SEED={SEED}", flush=True)
    soak = Soak()
    try:
        soak.start()
        soak.lives()
        runs, wrong = soak.judge()
        log = soak.host.log()
    finally:
        soak.host.end()
    for word in ("PANIC", "TRAP:", "signal 11"):
        if word in log:
            wrong[word] = "is in the server's log"
    for run, text in sorted(wrong.items()):
        print(f"run {run} {text}")
    print(f"{dict(soak.kills)} in {time.monotonic() - started:.0f} s; {len(soak.promised)} runs promised, {len(soak.rolled_back)} rolled back; "
          f"ends: {dict(Counter(status for _, status, *_ in runs.values()))}")  # fmt: skip
    print(f"{len(runs) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
