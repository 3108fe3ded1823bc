#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/soak/memory_cluster.py: many runs in the extension; the memory of its worker must not grow.

Runs go to the stand-in agent, which ends each at once and reports it (automation agent --stub).  The worker's own
memory (RssAnon: shared buffers that it touched are not its own) is read after a warm-up, a tenth of them but 10,000 at
least, and at the end.

    SOAK_RUNS     how many runs (1,000,000)
    SOAK_XMIN     1: meanwhile a transaction elsewhere holds the oldest snapshot; prints how claims slow down

The last line is "N passed, N failed".
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from conftest import BINARY  # noqa: E402
from host_extension import Extension  # noqa: E402
from kill_cluster import ROOT, until  # noqa: E402

RUNS = int(os.environ.get("SOAK_RUNS", "1000000"))
XMIN_BATCH = 1000
BATCH = min(10000, max(RUNS // 20, 100))
WARM = 10000  # plans, caches and buffers have their sizes by then
GROWTH_MAX = 1.05


class Host(Extension):
    def start_agent(self, until_there):
        data = os.path.join(self.folder, "agent")
        os.mkdir(data)
        with open(os.path.join(self.folder, "agent.log"), "w") as log:
            self.agent = subprocess.Popen([self.binary, "agent", "--port", "0", "--data", data, "--stub"],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")  # fmt: skip
        path = os.path.join(data, "agent.json")
        until_there(lambda: os.path.exists(path), bool, 20, "agent.json")
        return json.loads(Path(path).read_text())

    def sql(self, text):
        env = {**os.environ, **self.environment}
        return subprocess.run([os.path.join(env["PG_BINDIR"], "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text], env=env,
                              capture_output=True, text=True, check=True, timeout=600).stdout.strip()  # fmt: skip


def own_memory(pid):
    return int(re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


def batch(host, count):
    """Trigger that many, wait for their ends, forget them as retention would; returns runs per second."""
    started = time.monotonic()
    host.sql(f"SELECT count(automation.trigger('job')) FROM generate_series(1, {count})")
    until(lambda: host.sql("SELECT count(*) FROM automation.run WHERE status IN ('PENDING', 'RUNNING')"), lambda n: n == "0", 600, "a batch")
    return count / (time.monotonic() - started)


def main():
    host, failed, passed = Host(BINARY, ROOT), 0, 0
    holder = None
    try:
        host.start(lambda look, good, seconds, what: until(look, good, seconds, what), max_runs_per_automation=1000)
        host.sql("SELECT automation.create('job', script => 'true')")
        pid = int(host.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'automation worker'"))
        done, warm, speeds = 0, None, []
        while done < RUNS:
            speeds.append(batch(host, BATCH))
            done += BATCH
            host.sql("DELETE FROM automation.run WHERE status = 'COMPLETED'")
            if warm is None and done >= max(RUNS // 10, WARM):
                warm = own_memory(pid)
            if done % (BATCH * 10) == 0:
                print(f"  {done} runs, {speeds[-1]:.0f}/s, {own_memory(pid)} kB", flush=True)
        end = own_memory(pid)
        same = int(host.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'automation worker'")) == pid
        if warm is None:
            warm = end  # too few to tell
        print(f"{done} runs; the worker's memory: {warm} kB when warm, {end} kB at the end ({100 * (end / warm - 1):+.1f} %)")
        for good, what in ((same, "the worker is the same"), (end <= warm * GROWTH_MAX, "its memory grew by no more than 5 %")):
            print(f"{'ok' if good else 'NOT OK'}: {what}")
            passed, failed = passed + good, failed + (not good)
        if os.environ.get("SOAK_XMIN") == "1":
            host.sql("VACUUM automation.run")
            before = sorted(batch(host, XMIN_BATCH) for _ in range(5))[2]
            env = {**os.environ, **host.environment}
            holder = subprocess.Popen([os.path.join(env["PG_BINDIR"], "psql"), "-XAtq"], env=env, stdin=subprocess.PIPE, text=True)
            holder.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM automation.run;\n")
            holder.stdin.flush()
            until(lambda: host.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND state = 'idle in transaction'"),
                  lambda n: n == "1", 10, "the old snapshot")  # fmt: skip
            held = [batch(host, XMIN_BATCH) for _ in range(15)]
            after = sorted(held[-5:])[2]
            print(f"runs per second: {before:.0f} before, {after:.0f} after {len(held) * XMIN_BATCH} runs under an old snapshot ({before / after:.2f} times slower)")
            good = before / after < 2
            passed, failed = passed + good, failed + (not good)
    finally:
        if holder is not None:
            holder.stdin.close()
            holder.wait(20)
        host.end()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
