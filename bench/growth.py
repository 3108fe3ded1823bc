# SPDX-License-Identifier: MIT
"""Parts of the benchmark: what the machine allows, and what does not grow with what is kept."""

import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import time

from common import check, load, percentile, spread
from hosts import KEY, Daemon, Extension, Http, wait_until

# ---- f: HTTP ---------------------------------------------------------------------------------------------------

# requests/s of pg_net at its best, quoted as measured on a machine like this one; it is no package here
QUOTED_PG_NET = 896


def http(bench):
    rows = []
    for at_once in (1, 64, 512):
        ways = {"bare": [], "ours": []}
        for _ in range(bench.rounds):
            out = subprocess.run([bench.tool("http_bench"), str(bench.few(30000, 500)), str(at_once)],
                                 capture_output=True, text=True, check=True, timeout=300).stdout  # fmt: skip
            for line in out.splitlines():
                found = json.loads(line)
                ways[found["way"]].append((found["requests_per_s"], found["cpu_us"]))
        check(f"http: both ways answered with {at_once} at once", all(ways.values()))
        bare, ours = (percentile([rate for rate, _ in ways[way]], 0.5) for way in ("bare", "ours"))
        cpu = (percentile([cpu for _, cpu in ways[way]], 0.5) for way in ("bare", "ours"))
        bench.note(f"http {at_once}", f"{ours / bare:.2f} ({ours:.0f} beside {bare:.0f} requests/s; "
                   f"{ours / QUOTED_PG_NET:.1f} times pg_net (quoted))")  # fmt: skip
        rows.append([at_once, f"{bare:.0f}", f"{ours:.0f}", f"{ours / bare:.2f}", *(f"{us:.0f}" for us in cpu)])
    bench.report.table(
        f"f. Requests of 1 KiB to a server in another process (load {load()})",
        ["at once", "libcurl alone, 1/s", "the client, 1/s", "share", "libcurl's CPU, us each", "the client's"], rows)  # fmt: skip


# ---- g: limits of the database ------------------------------------------------------------------------------------

ANCHOR = """
CREATE UNLOGGED TABLE anchor_dropped (n int);
DROP TABLE anchor_dropped;
CREATE TABLE anchor (id bigint PRIMARY KEY, status text NOT NULL, ready_at timestamptz NOT NULL, worker text);
CREATE INDEX ON anchor (ready_at, id) WHERE status = 'PENDING';
INSERT INTO anchor SELECT n, 'PENDING', now() FROM generate_series(1, {count}) AS n;
ANALYZE anchor;
"""
LOOP = """
DO $$
DECLARE taken bigint[];
BEGIN
    LOOP
        WITH picked AS MATERIALIZED (SELECT id FROM anchor WHERE status = 'PENDING' AND ready_at <= now()
            ORDER BY ready_at, id LIMIT {batch} FOR UPDATE SKIP LOCKED),
        done AS (UPDATE anchor AS a SET status = 'RUNNING', worker = 'bench' FROM picked WHERE a.id = picked.id RETURNING a.id)
        SELECT array_agg(id) INTO taken FROM done;
        EXIT WHEN taken IS NULL;
        COMMIT;
        UPDATE anchor SET status = 'COMPLETED' WHERE id = ANY (taken) AND status = 'RUNNING';
        COMMIT;
    END LOOP;
END
$$
"""


def limits(bench):
    rows = []
    with bench.setting(Extension) as s:
        s.host.start(s.stub)
        s.host.sql("SELECT automation.stop()")
        for batch in (100, 1000):
            rates = []
            count = bench.few(50000, 1000)
            for _ in range(bench.rounds):
                for statement in ANCHOR.format(count=count).strip().split(";\n"):
                    s.host.sql(statement.rstrip(";"))
                at = time.monotonic()
                s.host.sql(LOOP.format(batch=batch).strip())
                rates.append(count / (time.monotonic() - at))
                left = int(s.host.sql("SELECT count(*) FROM anchor WHERE status <> 'COMPLETED'")[0])
                check("limits: the loop ended everything", left == 0)
                s.host.sql("DROP TABLE anchor")
            rows.append([f"claim and end of {batch} at a time, one loop on the server", f"{percentile(rates, 0.5):.0f} runs/s"])
        trips = []
        s.host.sql("CREATE TABLE trip (n int)")
        for _ in range(bench.few(300, 10)):
            at = time.monotonic()
            s.host.sql("INSERT INTO trip VALUES (1)")
            trips.append((time.monotonic() - at) * 1e6)
        rows.append(["one INSERT, committed and synced, seen through psql", f"{percentile(trips, 0.5):.0f} us"])
    bench.report.table(f"g. What PostgreSQL allows: four columns, one index (load {load()})", ["limit", "median"], rows)


# ---- h: lists -------------------------------------------------------------------------------------------------------


def fill_sqlite(path, automation, count):
    """count ended runs of one automation, a millisecond apart; the daemon is down, so nothing needs a journal."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -262144")
    owner = bytes.fromhex(automation.replace("-", ""))
    start = time.time_ns() // 1000000 - count - 1000
    db.create_function("run_key", 1, lambda n: (start + n).to_bytes(6, "big") + b"\x70\x00\x80\x00" + n.to_bytes(6, "big"),
                       deterministic=True)  # fmt: skip
    db.execute("BEGIN")
    db.execute(
        "WITH RECURSIVE series(n, at) AS (SELECT 0, :start * 1000 UNION ALL SELECT n + 1, at + 1000 FROM series WHERE n + 1 < :count) "
        "INSERT INTO run (id, automation_id, status, trigger_source, ready_at, attempt, created_at, started_at, completed_at) "
        "SELECT run_key(n), :owner, 'COMPLETED', 'manual', at, 1, at, at, at FROM series", {"start": start, "owner": owner, "count": count})
    db.execute("INSERT INTO run_tally VALUES (?, 'COMPLETED', 0, ?) ON CONFLICT DO UPDATE SET runs = runs + excluded.runs",
               (owner, count))  # fmt: skip
    db.execute("COMMIT")
    db.close()


def fill_postgres(host, automation, count):
    """The same; no check of each row's automation, which is there."""
    host.sql("SET session_replication_role = replica")
    host.sql(
        "INSERT INTO automation.run (id, automation_id, status, trigger_source, ready_at, attempt, created_at, started_at,"
        " completed_at) SELECT (lpad(to_hex(ms), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, "
        f"'{automation}', 'COMPLETED', 'manual', at, 1, at, at, at FROM (SELECT n, to_timestamp(ms / 1000.0) AS at, ms FROM "
        f"(SELECT n, (extract(epoch FROM now()) * 1000)::bigint - {count} - 1000 + n AS ms FROM generate_series(1, {count}) "
        "AS n) AS a) AS b")
    host.sql("RESET session_replication_role")
    host.sql(f"INSERT INTO automation.run_tally VALUES ('{automation}', 'COMPLETED', 0, {count}) ON CONFLICT "
             "(automation_id, status, slot) DO UPDATE SET runs = run_tally.runs + excluded.runs")  # fmt: skip
    host.sql("VACUUM ANALYZE automation.run")


def timed(client, path):
    at = time.monotonic()
    reply = client.call("GET", path)
    return (time.monotonic() - at) * 1000, reply


def lists(bench):
    list_among(bench, "lists", bench.few([100000, 1000000], [500]))


def lists_long(bench):
    list_among(bench, "lists10m", [bench.args.runs or bench.few(10000000, 500)])


def list_among(bench, part, counts):
    rows = []
    for name, host_class in bench.hosts():
        for count in counts:
            with bench.setting(host_class) as s:
                filling = time.monotonic()
                if name == "daemon":
                    s.host.start()
                    automation = s.host.create()[0]
                    s.host.stop()
                    fill_sqlite(s.host.data / "automation.db", automation, count)
                    s.host.start()
                    client = s.host.http
                else:
                    s.host.start(s.stub)
                    automation = s.host.create()[0]
                    fill_postgres(s.host, automation, count)
                    client = Http(s.host.port, KEY)
                print(f"({part}: {name} has {count:,} runs after {time.monotonic() - filling:.0f} s)", flush=True)
                first, deep, one = [], [], []
                for _ in range(bench.few(200, 5)):
                    ms, page = timed(client, f"/v1/{automation}/runs?limit=50")
                    first.append(ms)
                check(f"lists: {name} counts {count} runs", page["total"] == count)
                run, cursor = page["runs"][0]["id"], page["next_cursor"]
                for _ in range(bench.few(1000, 4)):  # the first 950 pages are the way there
                    ms, page = timed(client, f"/v1/{automation}/runs?limit=100&cursor={cursor}")
                    deep.append(ms)
                    cursor = page["next_cursor"] or cursor
                for _ in range(bench.few(200, 5)):
                    one.append(timed(client, f"/v1/runs/{run}")[0])
                medians = [percentile(v, 0.5) for v in (first, deep[len(deep) * 19 // 20:], one)]
                bench.note(f"{part} {name}", "{:.2f} first page, {:.2f} deep, {:.2f} ms one run".format(*medians) + f"; {count:,} runs")
                rows.append([name, count, *spread(first)[:3:2], *spread(deep[len(deep) * 19 // 20:])[:3:2], *spread(one)[:3:2]])
    bench.report.table(
        f"h. Reading among many runs of one automation, ms over HTTP (load {load()})",
        ["host", "runs", "first page of 50 with counts, median", "p99", "a page of 100 by cursor, deep, median", "p99", "one run, median",
         "p99"], rows)  # fmt: skip


# ---- i: after a crash -------------------------------------------------------------------------------------------------

SLEEPER = """#!/bin/sh
sleep {seconds}
date +%s%N >>{folder}/$AUTOMATION_RUN_ID
"""


def recovery(bench):
    runs, seconds = bench.few(100, 5), bench.few(8, 2)
    rows = []
    with bench.setting(Daemon) as s:
        ends = s.folder / "ends"
        ends.mkdir()
        script = SLEEPER.format(seconds=seconds, folder=ends)
        s.host.start("embedded", AUTOMATION_MAX_PARALLEL_RUNS=str(runs))
        automation = s.host.create(script=script)[0]
        for _ in range(runs):
            s.host.trigger(automation)

        def counts():
            return s.host.http.call("GET", f"/v1/{automation}/runs?limit=1")["status_counts"]

        wait_until(lambda: counts().get("RUNNING", 0) == runs)
        os.kill(s.host.pid, signal.SIGKILL)
        s.host.process.wait()
        down = time.time()
        s.host.start("embedded", AUTOMATION_MAX_PARALLEL_RUNS=str(runs))
        up = time.time()
        wait_until(lambda: counts().get("RUNNING", 0) + counts().get("PENDING", 0) == 0, 120, 0.02)
        noticed = time.time()
        own = [[int(line) / 1e9 for line in pathlib.Path(path).read_text().split()] for path in ends.iterdir()]
        last = max(max(times) for times in own)
        doubled = sum(len(times) > 1 for times in own)
        good = counts().get("COMPLETED", 0)
        check("recovery: every run ran once and is COMPLETED", len(own) == runs and doubled == 0 and good == runs)
        rows.append([runs, f"{(up - down) * 1000:.0f}", f"{max(0, noticed - last):.2f}", runs - good, doubled, good - len(own)])
    bench.note("recovery", f"{rows[0][2]} s; {rows[0][3]} lost, {rows[0][4]} doubled, {rows[0][5]} made up")
    bench.report.table(
        f"i. kill -9 of the daemon while its agent goes on (load {load()})",
        ["runs under way", "start to ready, ms", "all ended after the last one's own end, s", "lost", "doubled",
         "reported without having run"], rows)  # fmt: skip
