# SPDX-License-Identifier: MIT
"""Parts of bench-long: ten minutes without a pause, of a few fires each second and of as many as there can be."""

import sqlite3
import time

from common import check, load, percentile, spread
from hosts import wait_until
from schedules import DUE, FAR, fired, multiply, prepared

FIRES_AT_ONCE = 500  # as the engine takes them
CACHE_KIB = 16384  # as the daemon sets it


def share_of_first(first, last):
    return last / first if first else 0.0


def sustained(bench):
    """Lateness of DUE fires a second among a million automations: first tenth of the time against the last."""
    seconds, background = bench.seconds(600, 4), bench.automations(1000000, 100)
    rows = []
    for name, host_class in bench.hosts():
        with bench.setting(host_class) as s:
            prepared(s, background)
            s.host.start(s.stub) if name == "daemon" else s.host.sql("SELECT automation.start()")
            begin = time.time_ns() // 1000 + 2000000  # what was due while it was down is no measure
            wait_until(lambda: time.time_ns() // 1000 > begin + seconds * 1000000, seconds + 60, 0.1)
            fires = [(slot, (made - slot) / 1000) for slot, made in fired(s.host) if slot >= begin]
            late = [ms for _, ms in fires]
            edge = max(seconds * 100000, 2000000)  # a tenth, or two slots
            early = [ms for slot, ms in fires if slot < begin + edge]
            end = [ms for slot, ms in fires if begin + seconds * 1000000 - edge <= slot < begin + seconds * 1000000]
            check(f"sustained: {name} went on to the end", len(late) >= DUE * (seconds - 1) and bool(early) and bool(end))
            check(f"sustained: {name} no fire before its slot", all(ms >= 0 for ms in late))
            drift = share_of_first(percentile(early, 0.5), percentile(end, 0.5))
            rows.append([name, f"{background:,}", len(late), *spread(late), f"{percentile(late, 0.999):.2f}", *spread(early)[:3:2], *spread(end)[:3:2]])
            bench.note(f"sustained {name}", f"median {percentile(late, 0.5):.2f}, p99 {percentile(late, 0.99):.2f}, p99.9 "
                       f"{percentile(late, 0.999):.2f} ms; the last tenth's median {drift:.2f} times the first's; {seconds} s")  # fmt: skip
    bench.report.table(
        f"p. Lateness of {DUE} fires each second for {seconds} s, ms (load {load()})",
        ["host", "automations beside", "fires", "median", "p90", "p99", "max", "p99.9", "first tenth: median", "p99", "last tenth: median", "p99"],
        rows)  # fmt: skip


# ---- as many as there can be ---------------------------------------------------------------------------------------

# The limit: a table of three columns for when each fires, one of three for the runs, set statements in one loop.
NARROW_POSTGRES = """
CREATE TABLE narrow (id uuid PRIMARY KEY, next_fire_at timestamptz NOT NULL, every interval NOT NULL) WITH (fillfactor = 70);
INSERT INTO narrow SELECT gen_random_uuid(), now() + CASE WHEN n <= {active} THEN -random() * interval '1 minute' ELSE interval '1 day' END,
    interval '1 s' FROM generate_series(1, {count}) AS n;
CREATE INDEX ON narrow (next_fire_at);
CREATE TABLE narrow_run (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, automation_id uuid NOT NULL, slot timestamptz NOT NULL);
VACUUM ANALYZE narrow;
DO $$
DECLARE until timestamptz := clock_timestamp() + {seconds} * interval '1 s'; at timestamptz;
BEGIN
    LOOP
        at := clock_timestamp();
        EXIT WHEN at > until;
        WITH due AS MATERIALIZED (SELECT id, next_fire_at FROM narrow WHERE next_fire_at <= at ORDER BY next_fire_at LIMIT {batch}
            FOR UPDATE SKIP LOCKED),
        moved AS (UPDATE narrow AS n SET next_fire_at = n.next_fire_at + n.every FROM due WHERE n.id = due.id RETURNING n.id, due.next_fire_at)
        INSERT INTO narrow_run (automation_id, slot) SELECT id, next_fire_at FROM moved;
        COMMIT;
    END LOOP;
END
$$
"""
NARROW_SQLITE = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -262144;
CREATE TABLE narrow (id blob PRIMARY KEY, next_fire_at integer NOT NULL, every integer NOT NULL);
CREATE TABLE narrow_run (id integer PRIMARY KEY, automation_id blob NOT NULL, slot integer NOT NULL);
BEGIN;
WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count})
    INSERT INTO narrow SELECT randomblob(16), {now} + CASE WHEN n <= {active} THEN -abs(random() % 60000000) ELSE 86400000000 END, 1000000 FROM series;
CREATE INDEX narrow_next ON narrow (next_fire_at);
COMMIT;
ANALYZE;
PRAGMA cache_size = -{cache};
"""
DUE_SQLITE = "SELECT id{slot} FROM narrow WHERE next_fire_at <= ? ORDER BY next_fire_at LIMIT ?"


def narrow_limit(s, count, active, seconds):
    """Fires a second of the loop, on the host's own database server or kind of file."""
    if s.host.name == "extension":
        text = NARROW_POSTGRES.format(count=count, active=active, seconds=seconds, batch=FIRES_AT_ONCE)
        setup, _, loop = text.strip().partition("DO $$")
        for statement in setup.strip().split(";\n"):
            s.host.sql(statement.rstrip(";"))
        s.host.sql("DO $$" + loop)
        rate = int(s.host.sql("SELECT count(*) FROM narrow_run")[0]) / seconds
        s.host.sql("DROP TABLE narrow, narrow_run")
        return rate
    path = s.folder / "narrow.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(NARROW_SQLITE.format(count=count, active=active, now=time.time_ns() // 1000, cache=CACHE_KIB))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        due = (time.time_ns() // 1000, FIRES_AT_ONCE)
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO narrow_run (automation_id, slot) " + DUE_SQLITE.format(slot=", next_fire_at"), due)
        db.execute(f"UPDATE narrow SET next_fire_at = next_fire_at + every WHERE id IN ({DUE_SQLITE.format(slot='')})", due)
        db.execute("COMMIT")
    rate = db.execute("SELECT count(*) FROM narrow_run").fetchone()[0] / seconds
    db.close()
    for file in s.folder.glob("narrow.db*"):
        file.unlink()
    return rate


def stop(host):
    if host.name == "daemon":
        host.stop()
        return
    host.sql("SELECT automation.stop()")
    wait_until(lambda: not host.sql("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'automation worker'"))


def let_be_due(host, count, now):
    """That many copies fire each minute from now on, the first time one after the other for the minute that was; no other does."""
    if host.name == "daemon":
        db = sqlite3.connect(host.data / "automation.db")
        db.execute("UPDATE schedule SET next_fire_at = ? WHERE expr = '* * * * *'", (now + FAR,))
        db.execute("UPDATE schedule SET expr = '* * * * *', next_fire_at = ? - abs(random() % 60000000) WHERE automation_id IN "
                   "(SELECT id FROM automation WHERE name LIKE 'copy %' LIMIT ?)", (now, count))  # fmt: skip
        db.commit()
        db.close()
        return
    host.sql("UPDATE automation.schedule SET next_fire_at = now() + interval '1 day' WHERE expr = '* * * * *'")
    host.sql(f"UPDATE automation.schedule SET expr = '* * * * *', next_fire_at = to_timestamp({now} / 1000000.0) - random() * interval '1 minute' "
             f"WHERE automation_id IN (SELECT id FROM automation.automation WHERE name LIKE 'copy %' LIMIT {count})")  # fmt: skip
    host.sql("VACUUM ANALYZE automation.schedule")


def fires_by_tenth(host, begin, seconds):
    """How many runs of schedules were made in each tenth of the time."""
    tenth = seconds * 100000
    if host.name == "daemon":
        db = sqlite3.connect(f"file:{host.data / 'automation.db'}?mode=ro", uri=True)
        rows = db.execute(f"SELECT (created_at - {begin}) / {tenth}, count(*) FROM run WHERE scheduled_for IS NOT NULL AND created_at >= {begin} "
                          f"AND created_at < {begin + 10 * tenth} GROUP BY 1").fetchall()  # fmt: skip
        db.close()
    else:
        made = "(extract(epoch FROM created_at) * 1000000)::bigint"
        rows = [line.split("|") for line in host.sql(
            f"SELECT ({made} - {begin}) / {tenth}, count(*) FROM automation.run WHERE scheduled_for IS NOT NULL AND "
            f"{made} >= {begin} AND {made} < {begin + 10 * tenth} GROUP BY 1")]  # fmt: skip
    counts = {int(tenth): int(count) for tenth, count in rows}
    return [counts.get(n, 0) for n in range(10)]


def fired_in(host, seconds, warm):
    """Start, let it fire that long after the first `warm` seconds, stop; how many by tenths."""
    host.start() if host.name == "daemon" else host.sql("SELECT automation.start()")
    begin = time.time_ns() // 1000 + warm * 1000000
    wait_until(lambda: time.time_ns() // 1000 > begin + seconds * 1000000, seconds + 60, 0.1)
    stop(host)
    return fires_by_tenth(host, begin, seconds)


def saturated(bench):
    """As many fires as there can be, a little more being due all the time, beside what a narrow table would allow."""
    seconds, background = bench.seconds(600, 4), bench.automations(1000000, 5000)
    trial, warm = bench.few(10, 1), bench.few(2, 0)
    rows = []
    for name, host_class in bench.hosts():
        with bench.setting(host_class) as s:
            if name == "extension":
                s.host.start(s.stub, **{"automation.agent_server_url": ""})
            else:
                s.host.start()
            s.host.create()
            stop(s.host)
            multiply(s.host, background)
            let_be_due(s.host, min(background, trial * 20000), time.time_ns() // 1000)
            # a tenth more than it fires: always something due, and few slots missed, which are statements of their own
            active = min(background, sum(fired_in(s.host, trial, warm)) * 66 // trial)
            limit = narrow_limit(s, background, active, max(1, min(60, seconds)))
            let_be_due(s.host, active, time.time_ns() // 1000)
            tenths = fired_in(s.host, seconds, warm)
            rate, drift = sum(tenths) / seconds, share_of_first(tenths[0], tenths[-1])
            check(f"saturated: {name} fired", rate > 0 and limit > 0)
            check(f"saturated: {name} fired to the end", bench.smoke or all(tenths))  # a smoke round has too few for that
            rows.append([name, f"{background:,}", f"{active:,}", sum(tenths), f"{rate:.0f}", f"{limit:.0f}", f"{rate / limit:.2f}",
                         *(f"{n * 10 / seconds:.0f}" for n in (tenths[0], tenths[-1]))])  # fmt: skip
            bench.note(f"saturated {name}", f"{rate:.0f} fires/s, {rate / limit:.2f} of the narrow table's {limit:.0f}; the last tenth "
                       f"{drift:.2f} times the first; {seconds} s")  # fmt: skip
    bench.report.table(
        f"q. Fires a second for {seconds} s, always some due, no agent, autovacuum on (load {load()})",
        ["host", "automations", "of these due each minute", "fires", "fires/s", "narrow table, one loop of set statements, fires/s", "share",
         "first tenth, fires/s", "last tenth"], rows)  # fmt: skip
    bench.report.text(
        f"The narrow table has as many rows and as many due; its loop takes {FIRES_AT_ONCE} at a time as the engine does, moves them by one statement",
        "and writes a run of three columns for each. Both hosts sync every commit.")  # fmt: skip
