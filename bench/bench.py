#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""bench/bench.py: measure the engine against the stand-in agent.

    make bench          all figures, into bench/RESULTS.md (20 minutes)
    make bench-smoke    the same programs, small, checked for sense; no time decides
    make bench-long     ten minutes of schedules, lists of 10,000,000 runs (part by part: --only sustained)
    make bench-peers    queues of others

Every figure is taken in several rounds; each table says what it counts from and to.  Options: --smoke,
--only NAME (see PARTS and LONG at the end), --host daemon|extension, --rounds N, --out FILE; of the long
parts, to try them: --seconds N, --automations N, --runs N.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
import aims  # noqa: E402
import growth  # noqa: E402
import more  # noqa: E402
import schedules  # noqa: E402
import sustained  # noqa: E402
from common import CHECKS, HOSTS, Bench, check, ended, floor, load, percentile, spread  # noqa: E402
from hosts import ROOT, Daemon, Extension, cpu_s, rss_mib, wait_until  # noqa: E402

# ---- a: one run on an idle engine -----------------------------------------------------------------------


def latency(bench):
    rows = []
    doors = [(name, host_class, door) for name, host_class in bench.hosts()
             for door in (("HTTP",) if name == "daemon" else ("SQL", "HTTP"))]  # fmt: skip
    for name, host_class, door in doors:
        first, done, medians = [], [], []
        with bench.setting(host_class) as s:
            s.host.start(s.stub)
            automation = s.host.create()[0]
            trigger = s.host.dispatch if door == "HTTP" else s.host.trigger
            for _ in range(bench.rounds):
                asked = {}
                for _ in range(bench.few(200, 20)):
                    at = time.time_ns() // 1000
                    run = trigger(automation)
                    asked[run] = at
                    s.stub.reported([run])
                calls = s.stub.read()
                here = [(calls[run]["first"] - at) / 1000 for run, at in asked.items()]
                medians.append(percentile(here, 0.5))
                first += here
                if bench.smoke:
                    check(f"{name}: first calls follow their requests", all(0 < ms < 60000 for ms in here))
                done += asked.items()
            wait_until(lambda: ended(s.host, len(done)))
            runs = {run[0]: run for run in s.host.runs()}
            whole = [(runs[run][3] - at) / 1000 for run, at in done]
            check(f"{name}: all runs COMPLETED", all(runs[run][4] == "COMPLETED" for run, _ in done))
        asks = "HTTP dispatch" if door == "HTTP" else "SQL trigger(), autocommit"
        rounds = f"{min(medians):.2f} to {max(medians):.2f}"
        bench.note(f"latency {name}" + (" HTTP" if (name, door) == ("extension", "HTTP") else ""),
                   f"median {percentile(first, 0.5):.2f}, p99 {percentile(first, 0.99):.2f} ms")
        rows.append([f"{name}: {asks} → first agent call", len(first), *spread(first), rounds])
        rows.append([f"{name}: {asks} → COMPLETED", len(whole), *spread(whole), ""])
    bench.report.table(
        f"a. One run on an idle engine, ms (load {load()})",
        ["from → to", "runs", "median", "p90", "p99", "max", "medians of the rounds"], rows)  # fmt: skip
    bench.report.text(
        "From just before the request or statement is sent by this program, so its own client's time is in it. COMPLETED is the",
        "engine's time of the callback (`completed_at`). Both hosts sync every commit to disk.")  # fmt: skip


# ---- b: schedules ------------------------------------------------------------------------------------------


def cron(bench):
    rows = []
    cases = [(1, 1, 2), (10, 1, 2)] if bench.smoke else [(1, 1, 10), (100, 2, 5), (1000, 5, 3)]
    for name, host_class in bench.hosts():
        for automations, every, slots in cases:
            with bench.setting(host_class) as s:
                s.host.start(s.stub)
                s.host.create(automations, f"* * * * * */{every}")  # seconds come last
                begin = (time.time_ns() // 1000 // (every * 1000000) + 1) * every * 1000000
                stop = begin + slots * every * 1000000
                # until every automation has reported `slots` runs that were started after `begin`
                wait_until(lambda: sum(1 for r in s.stub.read().values()
                                       if r["first"] >= begin and "callback" in r) >= automations * slots, 120)  # fmt: skip
                calls = s.stub.read()
                runs = [r for r in s.host.runs() if r[1] is not None and begin <= r[1] < stop]
            inserted = [(r[2] - r[1]) / 1000 for r in runs]
            called = [(calls[r[0]]["first"] - r[1]) / 1000 for r in runs if r[0] in calls]
            check(f"{name}: {automations} automations fired once a slot", len(runs) == automations * slots)
            check(f"{name}: no fire before its slot", all(ms >= 0 for ms in inserted))
            rows.append([name, automations, len(runs), "run inserted", *spread(inserted)])
            rows.append([name, automations, len(called), "first agent call", *spread(called)])
    own = floor(bench, bench.few(100, 5), 100)
    rows.append(["timerfd alone", "", len(own), "woken", *spread(own, 3)])
    bench.report.table(
        f"b. Lateness of schedules, ms after the slot (load {load()})",
        ["host", "automations in one slot", "runs", "until", "median", "p90", "p99", "max"], rows)  # fmt: skip
    bench.report.text("All automations of a row share their slots: the worst case. Inserted is the time of the transaction (`created_at`).")


# ---- c: full runs a second -----------------------------------------------------------------------------


def drain(bench):
    rows = []
    for name, host_class in bench.hosts():
        for count in [200] if bench.smoke else [1000, 5000, 20000]:
            for _ in range(1 if bench.smoke or count == 20000 else bench.rounds):
                rows.append(drain_once(bench, name, host_class, count))
                bench.note(f"drain {name}", f"{rows[-1][3]} runs/s from a queue of {count}")
    bench.report.table(
        f"c. Full runs a second from a full queue (load {load()})",
        ["host", "queued", "first call → last callback, s", "runs/s", "first calls/s", "calls a run",
         "engine's CPU, ms a run", "stand-in's CPU, ms a run", "engine's RSS, MiB"], rows)  # fmt: skip
    bench.report.text(
        "A full run is upload, environment, start, the stand-in's callback, one look, clean-up. Engine and stand-in have one thread each",
        "and share two cores (the extension's commits and its SQL run in the engine's thread, too).")  # fmt: skip


def drain_once(bench, name, host_class, count):
    with bench.setting(host_class) as s:
        host, stub = s.host, s.stub
        if name == "daemon":
            host.start()
            host.queue(host.create()[0], count)
            host.stop()
            host.start(stub)
        else:
            host.start(stub)
            automation = host.create()[0]
            host.queue(automation, count)
        perf = bench.profile(host.pid, f"{name}-{count}")
        before = cpu_s(host.pid), cpu_s(stub.pid)
        wait_until(lambda: sum("callback" in run for run in stub.read().values()) >= count, 600, 0.1)
        wait_until(lambda: ended(host, count), 300, 0.05)
        after = cpu_s(host.pid), cpu_s(stub.pid)
        rss = rss_mib(host.pid)
        if perf:
            perf.terminate()
            perf.wait(60)
        calls = stub.read().values()
        first, last = min(c["first"] for c in calls), max(c["callback"] for c in calls)
        started = max(c["first"] for c in calls) - first
        took = (last - first) / 1e6
        runs = host.runs()
        check(f"{name}: {count} queued runs COMPLETED",
              len(runs) == count and all(run[4] == "COMPLETED" for run in runs))  # fmt: skip
        each = sum(c["calls"] for c in calls) / count
        return [name, count, f"{took:.2f}", f"{count / took:.0f}", f"{count / (started / 1e6):.0f}", f"{each:.1f}",
                *(f"{(b - a) * 1000 / count:.2f}" for a, b in zip(before, after)), f"{rss:.0f}"]  # fmt: skip


# ---- d: the store ----------------------------------------------------------------------------------------------


def store(bench):
    out = subprocess.run([bench.tool("store_bench"), str(bench.base), str(bench.few(3, 0.2))], capture_output=True,
                         text=True, check=True, timeout=120).stdout  # fmt: skip
    found = [json.loads(line) for line in out.splitlines()]
    check("store: all eight ways gave a figure", len(found) == 8 and all(f["runs_per_s"] > 0 for f in found))
    rows = []
    for one in found:
        if one["way"] == "store":
            raw = next(f for f in found if f["way"] == "sqlite" and (f["sync"], f["batch"]) == (one["sync"], one["batch"]))
            rows.append([one["sync"], one["batch"], f"{one['runs_per_s']:.0f}", f"{raw['runs_per_s']:.0f}"])
            if one["batch"] == 100:
                bench.note(f"store {one['sync']}", f"{one['runs_per_s'] / raw['runs_per_s']:.2f} of plain ({one['runs_per_s']:.0f}/s)")
    by = {one["sync"]: one["runs_per_s"] for one in found if one["way"] == "store" and one["batch"] == 100}
    bench.note("store ratio", f"{by['FULL'] / by['NORMAL']:.2f} of NORMAL")
    bench.report.table(f"d. SQLite: insert, claim and end of runs, runs/s (load {load()})",
                       ["synchronous", "runs a transaction", "through the store", "SQLite alone"], rows)  # fmt: skip
    if bench.args.host == "daemon":
        return
    with bench.setting(Extension) as s:
        s.host.start(s.stub)
        s.host.create()
        s.host.sql("SELECT automation.stop()")
        wait_until(lambda: not s.host.sql("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'automation worker'"))
        rows = []
        for batch in (1, 100):
            count = bench.few(5000, 200)
            s.host.sql("DELETE FROM automation.run")
            s.host.queue(None, count)
            s.host.sql("VACUUM ANALYZE automation.run")
            claim = (
                "WITH picked AS MATERIALIZED (SELECT id FROM automation.run WHERE status = 'PENDING' AND ready_at <= now() "
                f"ORDER BY ready_at, id LIMIT {batch} FOR UPDATE SKIP LOCKED) UPDATE automation.run AS r SET status = 'RUNNING', "
                "worker = 'bench', started_at = now(), attempt = r.attempt + 1 FROM picked WHERE r.id = picked.id"
            )
            at = time.monotonic()
            s.host.sql(f"DO $$ BEGIN LOOP {claim}; EXIT WHEN NOT FOUND; COMMIT; END LOOP; END $$")
            took = time.monotonic() - at
            left = int(s.host.sql("SELECT count(*) FROM automation.run WHERE status = 'PENDING'")[0])
            check("store: the loop claimed everything", left == 0)
            rows.append([batch, count, f"{count / took:.0f}"])
    bench.report.table(f"d. PostgreSQL: claims in one loop on the server, a commit each (load {load()})",
                       ["runs a claim", "runs", "claims of runs/s"], rows)  # fmt: skip


# ---- all ---------------------------------------------------------------------------------------------------------

PARTS = {
    "latency": latency, "cron": cron, "drain": drain, "store": store, "idle": schedules.idle_million, "http": growth.http,
    "limits": growth.limits, "lists": growth.lists, "recovery": growth.recovery, "schedules": schedules.schedules,
    "events": more.events, "filters": more.filters, "engine": more.engine, "actions": more.actions, "peers": more.peers,
}  # fmt: skip
LONG = {"sustained": sustained.sustained, "saturated": sustained.saturated, "lists10m": growth.lists_long}


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")),
               platform.machine())  # fmt: skip
    memory = int(open("/proc/meminfo", encoding="utf-8").readline().split()[1]) / 1048576
    return f"{os.cpu_count()} cores of {cpu}, {memory:.0f} GiB, Linux {platform.release()}"


def version():
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def write_results(bench, keep, out):
    """Put together what was kept of the last run of each part, however many were run now."""
    bench.report.lines = []
    bench.report.text(
        "# Results of `make bench`", "",
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, on {machine()}. Each part is the last one taken, and says when.",
        f"Load averages stand beside the tables; {bench.rounds} rounds and their median unless a table says otherwise. What the figures mean and",
        "where the time goes is in [docs/performance.md](../docs/performance.md). No time is a criterion of any test.")  # fmt: skip
    for name in [*PARTS, *LONG]:
        path = keep / f"{name}.md"
        if path.exists():
            bench.report.lines += [path.read_text(encoding="utf-8").rstrip(), ""]
    aims.table(bench)
    out.write_text("\n".join(bench.report.lines).rstrip() + "\n", encoding="utf-8")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--smoke", action="store_true")
    options.add_argument("--long", action="store_true", help="ten minutes without a pause; 10,000,000 runs")
    options.add_argument("--only", choices=[*PARTS, *LONG], action="append")
    options.add_argument("--seconds", type=int, help="of sustained and saturated, instead of ten minutes")
    options.add_argument("--automations", type=int, help="of sustained and saturated, instead of 1,000,000")
    options.add_argument("--runs", type=int, help="of lists10m, instead of 10,000,000")
    options.add_argument("--host", choices=HOSTS)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--build", default=str(ROOT / "build"))
    options.add_argument("--base", help="folder for databases, on the disk to be measured (default: the temporary one)")
    options.add_argument("--perf", help="folder for a perf profile of each drain")
    options.add_argument("--out")
    args = options.parse_args()
    bench = Bench(args)
    keep = None if args.smoke else pathlib.Path(args.build) / "results" / "bench"
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        if (keep / "notes.json").exists():
            bench.notes = json.loads((keep / "notes.json").read_text())
    parts = {**PARTS, **LONG}
    chosen = args.only or (LONG if args.long else parts if args.smoke else PARTS)
    try:
        for name in chosen:
            at, bench.report.lines = time.monotonic(), []
            try:
                parts[name](bench)
            except (RuntimeError, OSError, subprocess.SubprocessError, ValueError, IndexError, KeyError):
                traceback.print_exc()
                check(f"{name} came to its end", False)
                continue  # the others are worth having
            print(f"({name}: {time.monotonic() - at:.0f} s)", flush=True)
            if keep:
                bench.report.text(f"Taken until {time.strftime('%H:%M UTC', time.gmtime())}, version {version()}.")
                (keep / f"{name}.md").write_text("\n".join(bench.report.lines), encoding="utf-8")
                (keep / "notes.json").write_text(json.dumps(bench.notes, indent=1), encoding="utf-8")
    finally:
        shutil.rmtree(bench.base, ignore_errors=True)
    if args.out:
        write_results(bench, keep, pathlib.Path(args.out))
    print(f"{CHECKS['passed']} passed, {CHECKS['failed']} failed")
    return 1 if CHECKS["failed"] or not CHECKS["passed"] else 0


sys.exit(main())
