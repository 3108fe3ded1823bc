# SPDX-License-Identifier: MIT
"""Parts of the benchmark: schedules among many automations, and the daemon at rest beside them."""

import sqlite3
import time

from common import check, floor, load, percentile, spread
from hosts import cpu_s, rss_mib, wait_until

DUE = 10  # automations due at each second
FAR = 86400000000


def columns_of(names):
    """The columns of a copied automation; one of a fresh id and name."""
    return ", ".join(n for n in names if n not in ("id", "name"))


def multiply(host, count):
    """count copies of 'bench 0' (the daemon, stopped) or 'bench 1' (the extension) that fire in a day or later."""
    now = time.time_ns() // 1000
    if host.name == "daemon":
        db = sqlite3.connect(host.data / "automation.db")
        db.execute("PRAGMA cache_size = -262144")  # keys are random: every page of an index is wanted again
        rest = columns_of(row[1] for row in db.execute("PRAGMA table_info(automation)"))
        db.execute(f"WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count}) "
                   f"INSERT INTO automation (id, name, {rest}) SELECT randomblob(16), 'copy ' || n, {rest} "
                   "FROM automation, series WHERE name = 'bench 0'")  # fmt: skip
        db.execute("INSERT INTO schedule (automation_id, next_fire_at, expr, timezone) SELECT id, "
                   f"{now + FAR} + abs(random() % 30000000000000), '0 0 1 1 *', 'UTC' FROM automation WHERE name LIKE 'copy %'")  # fmt: skip
        db.commit()
        made = db.execute("SELECT count(*) FROM schedule").fetchone()[0]
        db.close()
        return made
    rest = columns_of(host.sql("SELECT attname FROM pg_attribute WHERE attrelid = 'automation.automation'::regclass "
                               "AND attnum > 0 AND NOT attisdropped"))  # fmt: skip
    host.sql(f"INSERT INTO automation.automation (id, name, {rest}) SELECT gen_random_uuid(), 'copy ' || n, {rest} "
             f"FROM automation.automation, generate_series(1, {count}) AS n WHERE name = 'bench 1'")  # fmt: skip
    host.sql("INSERT INTO automation.schedule (automation_id, next_fire_at, expr, timezone) SELECT id, now() + interval '1 day' "
             "+ random() * interval '300 days', '0 0 1 1 *', 'UTC' FROM automation.automation WHERE name LIKE 'copy %'")  # fmt: skip
    host.sql("VACUUM ANALYZE automation.automation")
    host.sql("VACUUM ANALYZE automation.schedule")
    return int(host.sql("SELECT count(*) FROM automation.schedule")[0])


def at_one_instant(host, count, at):
    """Let count of the copies be due at that instant."""
    if host.name == "daemon":
        db = sqlite3.connect(host.data / "automation.db")
        db.execute("UPDATE schedule SET next_fire_at = ? WHERE automation_id IN "
                   "(SELECT id FROM automation WHERE name LIKE 'copy %' LIMIT ?)", (at, count))  # fmt: skip
        db.commit()
        db.close()
    else:
        host.sql(f"UPDATE automation.schedule SET next_fire_at = to_timestamp({at} / 1000000.0) WHERE automation_id IN "
                 f"(SELECT id FROM automation.automation WHERE name LIKE 'copy %' LIMIT {count})")  # fmt: skip
        host.sql("SELECT automation.start()")


def fired(host):
    """Lateness of all fires: [(slot_us, inserted_us)], without stopping anything."""
    if host.name == "extension":
        return [(run[1], run[2]) for run in host.runs() if run[1] is not None]
    db = sqlite3.connect(f"file:{host.data / 'automation.db'}?mode=ro", uri=True)
    rows = db.execute("SELECT scheduled_for, created_at FROM run WHERE scheduled_for IS NOT NULL").fetchall()
    db.close()
    return rows


def prepared(s, background):
    """A host that runs, with DUE automations of every second and that many in the background."""
    host = s.host
    host.start(s.stub) if host.name == "extension" else host.start()
    if host.name == "extension":
        host.create()
        host.sql("SELECT automation.stop()")
        wait_until(lambda: not host.sql("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'automation worker'"))
        host.sql("SELECT automation.create('every ' || n, script => E'#!/bin/sh\\ntrue\\n', schedule => '* * * * * */1') "
                 f"FROM generate_series(1, {DUE}) AS n")  # fmt: skip
    else:
        host.create()
        host.create(DUE, "* * * * * */1", name="every")
        host.stop()
    made = multiply(host, background)
    check(f"schedules: {host.name} has its automations", made >= background + DUE)


def schedules(bench):
    """At most ten due at an instant, among few and among many; and ten thousand at one."""
    rows, medians = [], {}
    seconds = bench.few(15, 3)
    for name, host_class in bench.hosts():
        for background in bench.few([1000, 1000000], [100]):
            with bench.setting(host_class) as s:
                prepared(s, background)
                instant = bench.few(10000, 50) if background == bench.few(1000000, 100) else 0
                begin = time.time_ns() // 1000 + 4000000
                at = (begin // 1000000 + seconds + 2) * 1000000 + 500000
                if instant:
                    at_one_instant(s.host, instant, at)
                if name == "daemon":
                    s.host.start(s.stub)
                elif not instant:
                    s.host.sql("SELECT automation.start()")
                last = begin + seconds * 1000000
                wait_until(lambda: time.time_ns() // 1000 > (at + 2000000 if instant else last + 500000), 300, 0.1)
                if instant:
                    wait_until(lambda: sum(slot == at for slot, _ in fired(s.host)) >= instant, 120, 0.2)
                fires = fired(s.host)
                late = [(made - slot) / 1000 for slot, made in fires if begin <= slot < last]
                check(f"schedules: {name} fired among {background}", len(late) >= DUE * (seconds - 1))
                check(f"schedules: {name} no fire before its slot", all(ms >= 0 for ms in late))
                rows.append([name, f"{background:,}", f"{DUE} each second", len(late), *spread(late), f"{percentile(late, 0.999):.2f}"])
                medians[name, background] = percentile(late, 0.5)
                bench.note(f"cron {name} {background}", f"median {percentile(late, 0.5):.2f}, p99 {percentile(late, 0.99):.2f} ms")
                if instant:
                    burst = [(made - slot) / 1000 for slot, made in fires if slot == at]
                    others = [(made - slot) / 1000 for slot, made in fires if at < slot <= at + 2000000]
                    rows.append([name, f"{background:,}", f"{instant:,} at one instant", len(burst), *spread(burst), ""])
                    rows.append([name, f"{background:,}", "10 each second, in the two seconds after it", len(others), *spread(others), ""])
                    bench.note(f"burst {name}", f"last {max(burst):.0f} ms late; others in the 2 s after it at most {max(others):.1f} ms")
    own = floor(bench, bench.few(100, 5), 100)
    rows.append(["timerfd alone", "", "", len(own), *spread(own, 2), f"{percentile(own, 0.999):.2f}"])
    bench.note("floor", f"median {percentile(own, 0.5):.2f}, p99 {percentile(own, 0.99):.2f} ms")
    bench.report.table(
        f"j. Lateness of fires (run inserted after its slot), ms (load {load()})",
        ["host", "automations beside", "due", "fires", "median", "p90", "p99", "max", "p99.9"], rows)  # fmt: skip


def idle_million(bench):
    """The daemon at rest beside a million automations."""
    from hosts import Daemon

    rows = []
    seconds = bench.few(20, 1)
    for count in bench.few([1, 100000, 1000000], [100]):
        with bench.setting(Daemon) as s:
            s.host.start()
            s.host.create()
            s.host.stop()
            multiply(s.host, count)
            starts = []
            for _ in range(bench.few(5, 2)):
                s.host.start(s.stub)
                starts.append(s.host.ready_ms)
                s.host.stop()
            s.host.start(s.stub)
            s.host.http.call("GET", "/v1?limit=1")
            before = cpu_s(s.host.pid)
            time.sleep(seconds)  # the measurement itself: what an idle process uses in that time
            used = (cpu_s(s.host.pid) - before) / seconds
            rows.append([f"{count:,}", f"{percentile(starts, 0.5):.0f}", f"{max(starts):.0f}", f"{used * 100:.2f} %",
                         f"{rss_mib(s.host.pid):.1f}"])  # fmt: skip
            bench.note(f"idle {count}", f"{used * 100:.2f} % CPU, {rss_mib(s.host.pid):.0f} MiB, ready in {percentile(starts, 0.5):.0f} ms")
    bench.report.table(f"e. The daemon at rest (load {load()})",
                       ["automations", "start to ready, median ms", "max", f"CPU over {seconds} s", "RSS, MiB"], rows)  # fmt: skip
