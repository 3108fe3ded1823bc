# SPDX-License-Identifier: MIT
"""Parts of the benchmark: events, filters, runs inside the database, SQL actions, queues of others."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import events as deliveries
from common import check, load, percentile, spread
from growth import ANCHOR, LOOP
from hosts import KEY, PREFIX, ROOT, Daemon, Extension, Http, cpu_s, rss_mib, wait_until

# ---- k: events -------------------------------------------------------------------------------------------------

# events/s of the reference with none matching, one client: (SQLite, PostgreSQL), quoted, not measured here
REFERENCE_EVENTS = {10: (184, 175), 1000: (6.5, 6.8), 10000: (0.36, 0.19)}


def event_body(name):
    return json.dumps({"payload": deliveries.payload(name, {"delivery": "############"})})


def deliver(bench, host, name, connections, pid):
    """A load program against the host: events/s, matched each, CPU of the serving process each."""
    before = cpu_s(pid)
    done = subprocess.run(
        [bench.tool("event_load"), str(host.port), f"{PREFIX}/v1/events/{deliveries.ORG}/github", deliveries.SECRET,
         str(connections), str(bench.few(2, 0.3))], input=event_body(name), capture_output=True, text=True, timeout=120)  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout)
    found["server_us"] = (cpu_s(pid) - before) / found["events"] * 1e6
    return found


def events(bench):
    rows = []
    rates = {}
    for name, host_class in bench.hosts():
        with bench.setting(host_class) as s:
            if name == "daemon":
                s.host.start(AUTOMATION_WEBHOOK_SECRET=deliveries.SECRET)
            else:
                s.host.start(s.stub, **{"automation.webhook_secret_file": s.host.secret("webhook.key", deliveries.SECRET),
                                        "automation.agent_server_url": ""})  # fmt: skip
            made = 0
            for size in bench.few([10, 1000, 10000], [10, 40]):
                make(s.host, made, size)
                made = size
                for whom, repository in (("nobody", "none"), ("one", "r5")):
                    for clients in (1, 8):
                        found = [deliver(bench, s.host, repository, clients, s.host.pid) for _ in range(bench.rounds)]
                        rate = percentile([f["events_per_s"] for f in found], 0.5)
                        check(f"events: {name} matched {whom} of {size}",
                              all(f["matched"] == (f["events"] if whom == "one" else 0) for f in found))  # fmt: skip
                        rates[name, size, whom, clients] = rate
                        reference = REFERENCE_EVENTS.get(size, (0, 0))[name == "extension"]
                        ratio = f"{rate / reference:,.0f}" if reference and whom == "nobody" and clients == 1 else ""
                        one = sorted(found, key=lambda f: f["events_per_s"])[len(found) // 2]
                        rows.append([name, f"{size:,}", whom, clients, f"{rate:.0f}", ratio, one["p50_us"], one["p99_us"],
                                     f"{one['server_us']:.0f}", f"{one['cpu_us']:.0f}", f"{rss_mib(s.host.pid):.0f}"])  # fmt: skip
            if not bench.smoke:
                low, high = (rates[name, size, "nobody", 1] for size in (10, 10000))
                bench.note(f"events {name}", f"{low:.0f}/s at 10 ({low / REFERENCE_EVENTS[10][name == 'extension']:.1f}x), "
                           f"{high:.0f}/s at 10,000 ({high / low:.2f} of it); eight clients "
                           f"{rates[name, 10, 'nobody', 8]:.0f} and {rates[name, 10000, 'nobody', 8]:.0f}/s")  # fmt: skip
    bench.report.table(
        f"k. Signed events of 0.9 KB, each new, kept with its verdict, synced (load {load()})",
        ["host", "automations", "event of", "clients", "events/s", "times the reference (quoted)", "median, us", "p99, us",
         "server's CPU, us each", "load program's", "memory, MiB"], rows)  # fmt: skip
    bench.report.text(
        "Each automation has the filter `repository.full_name == 'o/rN' && ref`; the load program is bench/event_load.c. No agent is there, so the",
        "runs of matched events stay in the queue.")  # fmt: skip


def make(host, made, size):
    """Automations with filters until there are that many, over one connection (their rate is no figure here)."""
    client = Http(host.port, KEY)
    for n in range(made, size):
        client.call("POST", "/v1", {"name": f"event {n}", "tarball_path": "https://x.test/a.tgz", "entrypoint": "./run",
                                    "trigger": {"type": "event", "source": "github", **deliveries.SORTS["indexed"](n)}})  # fmt: skip


# ---- l: filters -------------------------------------------------------------------------------------------------


def filters(bench):
    text = event_body("r5")[len('{"payload": '):-1]
    asked = "repository.full_name == 'o/r5' && ref"
    python = ROOT / "build" / "bench-venv" / "bin" / "python"
    if not python.exists():
        bench.report.text("### l. Filters", "Not measured: no jmespath for Python here (make bench-venv).")
        return
    ours, theirs = {"first": [], "further": []}, {"first": [], "further": []}
    for _ in range(bench.rounds):
        for program, into in ([[bench.tool("filter_bench")], ours], [[str(python), str(ROOT / "bench" / "filter_bench.py")], theirs]):
            out = subprocess.run([*program, str(bench.few(1, 0.1)), asked], input=text, capture_output=True, text=True,
                                 check=True, timeout=60).stdout  # fmt: skip
            for line in out.splitlines():
                found = json.loads(line)
                check("filters: the filter let the event through", found["matched"])
                into[found["way"]].append(found["us"])
    rows = []
    for way, what in (("first", "read the event, ask one filter"), ("further", "ask one more of the same event")):
        a, b = percentile(ours[way], 0.5), percentile(theirs[way], 0.5)
        rows.append([what, f"{a:.2f}", f"{b:.2f}", f"{b / a:.1f}"])
        bench.note(f"filters {way}", f"{b / a:.1f}x ({a:.2f} us beside {b:.2f} us)")
    bench.report.table(f"l. Filters: {len(text)} bytes, two terms, compiled before, us (load {load()})",
                       ["", "ours", "Python's json and jmespath 1.1", "times"], rows)  # fmt: skip


# ---- m: runs inside the database ----------------------------------------------------------------------------------


def prepare_module(bench, s):
    """The bench's module beside the data of a cluster whose worker is stopped."""
    s.host.sql("SELECT automation.stop()")
    wait_until(lambda: not s.host.sql("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'automation worker'"))
    module = pathlib.Path(s.host.environment["PGHOST"]) / "automation_bench.so"
    shutil.copy(bench.tool("automation_bench.so"), module)
    module.chmod(0o644)
    s.host.sql("CREATE TABLE public.bench_result (line text)")
    s.host.sql("SET client_min_messages = warning")
    s.host.sql("CREATE FUNCTION public.automation_bench_engine(text, bigint, bigint, bigint) RETURNS integer "
               f"LANGUAGE c STRICT AS '{module.with_suffix('')}'")  # fmt: skip
    return str(module.with_suffix(""))


def engine_in_postgres(s, module, runs, batch, single):
    s.host.sql("TRUNCATE automation.automation, automation.run CASCADE")
    s.host.sql("VACUUM ANALYZE automation.run")
    (pid,) = s.host.sql(f"SELECT public.automation_bench_engine('{module}', {runs}, {batch}, {single})")
    # no query stands open meanwhile: its snapshot would keep every version of every row
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), 300, 0.05)
    lines = s.host.sql("DELETE FROM public.bench_result RETURNING line")
    if len(lines) != 1:
        raise RuntimeError(pathlib.Path(s.host.environment["PG_LOG"]).read_text()[-3000:])
    found = json.loads(lines[0])
    check("engine: every run is COMPLETED in PostgreSQL", found["completed"] == found["runs"])
    return found


def anchor(s, count, batch):
    for statement in ANCHOR.format(count=count).strip().split(";\n"):
        s.host.sql(statement.rstrip(";"))
    at = time.monotonic()
    s.host.sql(LOOP.format(batch=batch).strip())
    rate = count / (time.monotonic() - at)
    s.host.sql("DROP TABLE anchor")
    return rate


def ms(triple):
    return [f"{us / 1000:.2f}" for us in triple]


def engine(bench):
    rows, waits = [], []
    runs, single = bench.few(20000, 300), bench.few(500, 10)
    with bench.setting(Extension) as s:
        s.host.start(s.stub)
        module = prepare_module(bench, s)
        for batch in (100, 1000):
            limits, rates, share = [], [], []
            for _ in range(bench.rounds):
                limits.append(anchor(s, runs, batch))
                found = engine_in_postgres(s, module, runs, batch, single)
                rates.append(found["runs_per_s"])
                share.append(rates[-1] / limits[-1])
            rows.append(["PostgreSQL", "synced", batch, f"{percentile(rates, 0.5):.0f}", f"{percentile(limits, 0.5):.0f}",
                         f"{percentile(share, 0.5):.2f}"])  # fmt: skip
            waits.append(["PostgreSQL", "synced", single, *ms(found["commit_us"]), *ms(found["start_us"])])
            bench.note(f"engine {batch}", f"{percentile(rates, 0.5):.0f} runs/s, {percentile(share, 0.5):.2f} of the anchor")
        waits.pop(0)  # the same, from the batch of 100
        bench.note("start postgres", f"commit {waits[-1][3]} + {waits[-1][6]} ms to the start, p99 {waits[-1][7]} ms")
    for sync in ("FULL", "NORMAL"):
        found = []
        for _ in range(bench.rounds):
            out = subprocess.run([bench.tool("engine_bench"), str(bench.base), str(runs), "1000", str(single), sync],
                                 capture_output=True, text=True, check=True, timeout=300).stdout  # fmt: skip
            found.append(json.loads(out))
            check("engine: every run is COMPLETED in SQLite", found[-1]["completed"] == found[-1]["runs"])
        rate = percentile([f["runs_per_s"] for f in found], 0.5)
        rows.append(["SQLite", sync, 1000, f"{rate:.0f}", "", ""])
        waits.append(["SQLite", sync, single, *ms(found[-1]["commit_us"]), *ms(found[-1]["start_us"])])
        bench.note(f"engine {sync}", f"{rate:.0f} runs/s")
        bench.note(f"start {sync}", f"commit {waits[-1][3]} + {waits[-1][6]} ms to the start, p99 {waits[-1][7]} ms")
    bench.report.table(
        f"m. Runs inside the database: claim, load, a runner that ends at once, end; one worker, history kept (load {load()})",
        ["database", "synced", "batch", "runs/s", "plain loop in the same round (anchor), runs/s", "share"], rows)  # fmt: skip
    bench.report.table(
        f"m. One run on an idle engine, ms (load {load()})",
        ["database", "synced", "runs", "commit that queues it, median", "p99", "max", "from there to its start, median", "p99", "max"],
        waits)  # fmt: skip
    bench.report.text(
        "The runner writes a run's end as a unit of the engine's turn; all else is the engine as it is. The transaction that queues a run",
        "on an idle engine also claims it: the commit has both in it.")  # fmt: skip


# ---- n: SQL actions -----------------------------------------------------------------------------------------------


def actions(bench):
    """As many at once as pg_cron may have, the same statement, the same cluster."""
    count, single, at_once = bench.few(300, 10), bench.few(100, 5), 32
    with bench.setting(Extension) as s:
        settings = {"automation.sql_workers": at_once, "max_worker_processes": 100, "max_connections": 150}
        cron = pathlib.Path(subprocess.run(["pg_config", "--pkglibdir"], capture_output=True, text=True).stdout.strip()) / "pg_cron.so"
        with_cron = cron.exists() and not bench.smoke  # its jobs are due at minutes: a smoke round does not wait for one
        if with_cron:
            settings |= {"shared_preload_libraries": "pg_cron", "cron.use_background_workers": "on", "cron.database_name": "postgres",
                         "cron.max_running_jobs": at_once}  # fmt: skip
        s.host.start(s.stub, **settings)
        s.host.sql("CREATE TABLE done (who text, at timestamptz DEFAULT clock_timestamp())")
        s.host.sql("SELECT automation.create('action', sql => 'INSERT INTO public.done (who) VALUES (''ours'')')")
        late = []
        for i in range(single):
            asked = time.time_ns() / 1000
            s.host.sql("SELECT automation.trigger('action')")
            wait_until(lambda: int(s.host.sql("SELECT count(*) FROM automation.run WHERE status = 'COMPLETED'")[0]) > i, pause=0.002)
            began = float(s.host.sql("SELECT extract(epoch FROM max(at)) * 1000000 FROM done")[0])
            late.append((began - asked) / 1000)
        s.host.sql("TRUNCATE done")
        s.host.sql(f"SELECT count(automation.trigger('action')) FROM generate_series(1, {count})")
        wait_until(lambda: int(s.host.sql("SELECT count(*) FROM done")[0]) >= count, 120, 0.05)
        span = "count(*) / greatest(extract(epoch FROM max(at) - min(at)), 0.001)"
        ours = float(s.host.sql(f"SELECT {span} FROM done WHERE who = 'ours'")[0])
        rows = [["SQL actions", count, f"{ours:.0f}", *spread(late)]]
        note = f"{ours:.0f} starts/s, start {percentile(late, 0.5):.1f} ms median"
        if with_cron:
            s.host.sql("CREATE EXTENSION pg_cron")
            s.host.sql(f"SELECT count(cron.schedule('job ' || n, '* * * * *', 'INSERT INTO public.done (who) VALUES (''cron'')')) "
                       f"FROM generate_series(1, {count}) AS n")  # fmt: skip
            minute = (int(time.time()) // 60 + 1) * 60
            first = f"FROM done WHERE who = 'cron' AND at >= to_timestamp({minute}) AND at < to_timestamp({minute + 58})"
            wait_until(lambda: int(s.host.sql(f"SELECT count(*) {first}")[0]) >= count or time.time() > minute + 58, 130, 0.1)
            theirs = float(s.host.sql(f"SELECT {span} {first}")[0])
            told = [float(x) for x in s.host.sql(f"SELECT extract(epoch FROM at - to_timestamp({minute})) * 1000 {first}")]
            check("actions: pg_cron started its jobs", len(told) == count)
            s.host.sql("SELECT count(cron.unschedule(jobid)) FROM cron.job")
            rows.append([f"pg_cron {s.host.sql('SELECT extversion FROM pg_extension WHERE extname = ' + chr(39) + 'pg_cron' + chr(39))[0]}, "
                         "all due at a minute", len(told), f"{theirs:.0f}", *spread(told)])  # fmt: skip
            note += f"; pg_cron {theirs:.0f} starts/s"
        bench.note("actions", note)
    bench.report.table(
        f"n. SQL actions, a process each, {at_once} at once, an INSERT of one row (load {load()})",
        ["", "at once queued", "starts/s", "one alone: asked → executing, ms, median", "p90", "p99", "max"], rows)  # fmt: skip
    bench.report.text("Asked is before trigger() is sent, so its commit is in it. pg_cron's times are after the minute, all jobs being due.")


# ---- o: peers -----------------------------------------------------------------------------------------------------


def peers(bench):
    folder = ROOT / "build" / "bench-peers"
    node, river = folder / "node_modules" / "node" / "bin" / "node", folder / "river"
    programs = ROOT / "bench" / "peers"
    others = {"graphile-worker 0.17.3": (node, programs / "graphile.mjs"), "pg-boss 12.38": (node, programs / "pgboss.mjs"),
              "river 0.51.2": (river,)}  # fmt: skip
    absent = [name for name, command in others.items() if not command[0].exists()]
    if len(absent) == len(others):
        bench.report.text("### o. Queues of others", "Not measured here: make bench-peers installs them.")
        return
    runs, single = bench.few(20000, 500), bench.few(200, 10)
    found = {}
    for _ in range(bench.rounds):
        with bench.setting(Extension) as s:
            s.host.start(s.stub)
            module = prepare_module(bench, s)
            ours = engine_in_postgres(s, module, runs, 1000, single)
            found.setdefault("ours", []).append((ours["runs_per_s"], (ours["commit_us"][0] + ours["start_us"][0]) / 1000,
                                                 (ours["commit_us"][1] + ours["start_us"][1]) / 1000))  # fmt: skip
            for name, command in others.items():
                if name in absent:
                    continue
                done = subprocess.run([*map(str, command), str(runs), str(single)], cwd=folder,
                                      env={**os.environ, **s.host.environment}, capture_output=True, text=True, timeout=300)  # fmt: skip
                check(f"peers: {name} ran", done.returncode == 0)
                if done.returncode != 0:
                    print(done.stderr[-600:])
                    continue
                told = json.loads(done.stdout.splitlines()[-1])
                check(f"peers: {name} ended every job", told["ended"] >= runs)
                found.setdefault(name, []).append((told["jobs_per_s"], told["median_ms"], told["p99_ms"]))
    rows = []
    for name, figures in found.items():
        rate, median, p99 = (percentile([f[i] for f in figures], 0.5) for i in range(3))
        rows.append([name, f"{rate:.0f}", f"{median:.2f}", f"{p99:.2f}"])
    bench.note("peers", "; ".join(f"{r[0]} {r[1]}/s, {r[2]} ms" for r in rows))
    bench.report.table(f"o. Queues on the same cluster, every commit synced, no-op jobs (load {load()})",
                       ["", "jobs/s from a full queue", "idle queue, insert → start, ms, median", "p99"], rows)  # fmt: skip
    bench.report.text(
        "graphile-worker and pg-boss run in Node, river in Go (bench/peers), with batches as their documentation offers; no other configuration was",
        "tried. Medians of the rounds." + (f" Not installed here: {', '.join(absent)}." if absent else ""),
        "The latencies are not quite alike: theirs is one measured span that ends in their handler, with the way between processes in it; ours",
        "is queued in the engine's own process, and is the sum of two medians (and of two p99), of the commit and of what follows it.")
