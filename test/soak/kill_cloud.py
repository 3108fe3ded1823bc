#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/soak/kill_cloud.py: kill -9 of the daemon at random points, with every run in a sandbox of the stand-in.

Every run notes when it begins and when it is through.  At the end: no run that was promised is lost, none was
executed twice, each ended with its true result; and every sandbox that was made is deleted, but for those whose
creation was in flight at a kill, and of these the ledger knows the number.

    SOAK_KILLS    how often the daemon is killed (100)
    SOAK_SEED     to repeat the choices of a run (not its timing); printed

The last line is "N passed, N failed".  Waiting for a random time is the point here.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))
sys.path.insert(0, str(HERE.parent / "fakes"))
from asking import Asking  # noqa: E402
from cloud import Cloud  # noqa: E402
from conftest import BINARY, TERMINAL, Daemon, until  # noqa: E402

KILLS = int(os.environ.get("SOAK_KILLS", "100"))
SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(1 << 30)))
LIFE_MAX_S = 1.5
BEGIN = "echo begin $AUTOMATION_RUN_ID >>@LEDGER@\n"
END = "echo end $AUTOMATION_RUN_ID >>@LEDGER@\n"
KINDS = {  # name: (script, wanted status)
    "quick": (BEGIN + "echo hello\n" + END, "COMPLETED"),
    "slow": (BEGIN + "echo a\nsleep 0.7\necho b\n" + END, "COMPLETED"),
    "fails": (BEGIN + "sleep 0.1\n" + END + "exit 3\n", "FAILED"),
}


class Soak(Asking):
    kinds = KINDS
    pause_max_s = 0.1

    def __init__(self, folder):
        self.random = random.Random(SEED)
        self.ledger = folder / "ledger"
        self.ledger.touch()
        data = folder / "agent"
        data.mkdir(mode=0o700)
        self.agent = subprocess.Popen([BINARY, "agent", "--port", "0", "--data", str(data)],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)  # fmt: skip
        state = until(lambda: (data / "agent.json").exists() and (data / "agent.json").read_text(), bool, 20, "agent")
        state = json.loads(state)
        self.cloud = Cloud(state["url"], state["key"]).start()
        self.cloud.starting = 2
        self.daemon = Daemon(data=str(folder / "data"), env={
            "AUTOMATION_SERVICE_KEY": self.cloud.service_key,
            "AUTOMATION_OPENHANDS_API_BASE_URL": self.cloud.url,
            "AUTOMATION_SANDBOX_POLL_INTERVAL": "0.2",
            "AUTOMATION_FAILURE_DISABLE_THRESHOLD": "0",
        })  # fmt: skip
        os.mkdir(self.daemon.data, 0o700)
        self.promised = {}
        self.seen = Counter()

    def rows(self):
        with sqlite3.connect(f"file:{self.daemon.data}/automation.db?mode=ro", uri=True, timeout=10) as db:
            return Counter(dict(db.execute("SELECT state, count(*) FROM sandbox GROUP BY state")))

    def one_life(self):
        # some creations are slow, so that a kill meets them in flight
        self.cloud.create_delay = self.random.choice([0, 0, 0.3])
        stop = threading.Event()
        asking = threading.Thread(target=self.keep_asking, args=(self.daemon.api(), stop))
        asking.start()
        time.sleep(self.random.random() * LIFE_MAX_S)
        self.daemon.kill()
        stop.set()
        asking.join()
        self.seen.update(self.rows())
        self.daemon.start()

    def settle(self):
        self.cloud.create_delay = 0
        api = self.daemon.api()
        self.ends = {run: until(lambda: api.run(run), lambda r: r["status"] in TERMINAL, 120, "end of a run")
                     for run in self.promised}  # fmt: skip
        self.left = until(self.rows, lambda rows: set(rows) <= {"LOST"}, 120, "ledger without open rows")

    def judge(self):
        bad = []
        lines = Counter(line.strip() for line in self.ledger.read_text().splitlines())
        for run, kind in self.promised.items():
            end = self.ends[run]
            begun, through = lines[f"begin {run}"], lines[f"end {run}"]
            if (end["status"], begun, through) != (KINDS[kind][1], 1, 1):
                bad.append(f"run {run} ({kind}): {end['status']} {end['error_detail']}, begun {begun}, ended {through}")
        rules = {
            "every sandbox is deleted or accounted for": len(self.cloud.state()["alive"]) <= self.left["LOST"],
            "none is deleted that was not made": set(self.cloud.deleted) <= set(self.cloud.made),
            "kills met sandboxes on their way": KILLS < 10 or self.seen["STARTING"] + self.seen["CREATING"] > 0,
        }
        bad += [f"not: {rule}" for rule, holds in rules.items() if not holds]
        return bad, len(self.promised) + len(rules)

    def end(self):
        self.daemon.end()
        self.cloud.stop()
        self.agent.terminate()
        self.agent.wait(20)


def main():
    print(f"{KILLS} kills, seed {SEED}", flush=True)
    with tempfile.TemporaryDirectory(prefix="aut-soak-cloud-") as folder:
        soak = Soak(Path(folder))
        try:
            soak.make_automations()
            for _ in range(KILLS):
                soak.one_life()
            soak.settle()
            bad, total = soak.judge()
        finally:
            soak.end()
    print(f"{len(soak.promised)} runs, {len(soak.cloud.made)} sandboxes made, {len(soak.cloud.deleted)} deleted; "
          f"rows of the ledger at the kills: {dict(soak.seen)}; lost: {soak.left['LOST']}")  # fmt: skip
    for line in bad:
        print(line)
    print(f"{total - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
