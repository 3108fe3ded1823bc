#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/soak/kill_daemon.py: kill -9 of the daemon, and of its agent, at random points, with runs in every state.

Every run notes its id in a ledger when it begins and when it is through.  At the end, against the ledger: no run
that was promised is lost, none was executed twice, none is COMPLETED without having run, each ended with its true
result.  What a run reported, and was thanked for, counts whatever happened after.  Nothing of a run stays in /tmp.

    SOAK_KILLS    how often the daemon is killed (200); every fifth time the agent is killed as well, and a
                  quarter as often (at least three times) only the agent, with the daemon living on
    SOAK_SEED     to repeat the choices of a run (not its timing); printed

The last line is "N passed, N failed": one for each run, one for each rule over all.  Waiting for a random time is
the point here: it is where the kill comes.
"""

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))
from asking import Asking  # noqa: E402
from conftest import BINARY, TERMINAL, Daemon, alive, until  # noqa: E402

KILLS = int(os.environ.get("SOAK_KILLS", "200"))
SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(1 << 30)))
AGENT_EVERY = 5
AGENT_ALONE = max(3, KILLS // 4)
LIFE_MAX_S = 0.6  # how long a daemon may live
END_WITHIN_S = 180

# A report is repeated until it is answered: the daemon may be dead.  Whoever got an answer notes it.
REPORT = r"""
report() {
    n=0
    while [ $n -lt 300 ]; do
        code=$(curl -s -o /dev/null -m 5 -w '%{http_code}' -H "Authorization: Bearer $AUTOMATION_CALLBACK_API_KEY" \
            -H 'Content-Type: application/json' -d "$2" "$1")
        case $code in 2*) return 0 ;; 4*) return 1 ;; esac
        n=$((n + 1))
        sleep 0.1
    done
    return 1
}
"""
BEGIN = "echo begin $AUTOMATION_RUN_ID >>@LEDGER@\n"
END = "echo end $AUTOMATION_RUN_ID >>@LEDGER@\n"

# name: (script, wanted status, a word of the wanted error, must it have come to its end?)
KINDS = {
    "quick": (BEGIN + "echo hello\n" + END, "COMPLETED", None, True),
    "slow": (BEGIN + "echo a\nsleep 0.7\necho b\n" + END, "COMPLETED", None, True),
    "chatty": (BEGIN + "seq 1 20000\nsleep 0.2\nseq 1 20000\n" + END, "COMPLETED", None, True),
    "fails": (BEGIN + "sleep 0.1\necho bad >&2\n" + END + "exit 3\n", "FAILED", "exit_code=3", True),
    "reports": (
        REPORT + BEGIN + "sleep 0.2\nreport $AUTOMATION_CALLBACK_URL '{\"status\":\"COMPLETED\"}' && "
        "echo reported $AUTOMATION_RUN_ID >>@LEDGER@\n",
        "COMPLETED", None, False,
    ),
    "confesses": (
        REPORT + BEGIN + "report $AUTOMATION_PHASE_URL '{\"phase\":\"half way\"}'\n"
        "report $AUTOMATION_CALLBACK_URL '{\"status\":\"FAILED\",\"error\":\"as planned\"}' && "
        "echo reported $AUTOMATION_RUN_ID >>@LEDGER@\nexit 4\n",
        "FAILED", None, False,
    ),
}  # fmt: skip


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Soak(Asking):
    kinds = KINDS

    def __init__(self, folder):
        self.random = random.Random(SEED)
        self.ledger = folder / "ledger"
        self.ledger.touch()
        # runs report to the port they were told, so every daemon has the same
        self.port = free_port()
        # few at once, so that others wait
        self.daemon = Daemon(data=str(folder / "data"), env={"AUTOMATION_MAX_PARALLEL_RUNS": "5"})
        os.mkdir(self.daemon.data, 0o700)
        self.promised = {}  # run id: kind
        self.seen = Counter()
        self.agent_kills = 0
        self.alone_kills = 0
        self.early_kills = 0

    def count_states(self):
        """What the dead daemon left, read from its file."""
        db = sqlite3.connect(f"file:{self.daemon.data}/automation.db?mode=ro", uri=True)
        try:
            self.seen.update(dict(db.execute("SELECT status, count(*) FROM run GROUP BY status")))
        finally:
            db.close()

    def kill_agent(self):
        pid = (self.daemon.state("agent.json") or {}).get("pid")
        if isinstance(pid, int) and pid > 1 and alive(pid):
            os.kill(pid, signal.SIGKILL)
            self.agent_kills += 1

    def kill_only_the_agent(self):
        """Its runs go on without it; the daemon starts another one, and finds them again."""
        asking = threading.Thread(target=self.keep_asking, args=(self.daemon.api(), threading.Event()))
        asking.start()
        time.sleep(self.random.random() * LIFE_MAX_S)
        pid = self.daemon.state("agent.json")["pid"]
        os.kill(pid, signal.SIGKILL)
        self.alone_kills += 1
        asking.join()
        until(lambda: (self.daemon.state("agent.json") or {}).get("pid"), lambda new: new and new != pid and alive(new),
              30, "another agent")
        assert self.daemon.process.poll() is None, self.daemon.log()

    def one_life(self, number):
        stop = threading.Event()
        # the agent dies first, last, or alone with the daemon living on
        agent = self.random.choice(("before", "after")) if number % AGENT_EVERY == 0 else None
        asking = threading.Thread(target=self.keep_asking, args=(self.daemon.api(), stop))
        asking.start()
        time.sleep(self.random.random() * LIFE_MAX_S)
        if agent == "before":
            self.kill_agent()
            time.sleep(self.random.random() * 0.3)
        self.daemon.kill()
        stop.set()
        asking.join()
        if agent == "after":
            self.kill_agent()
        self.count_states()
        if self.random.random() < 0.2:  # and once more before it is ready
            self.start_and_kill()
        self.daemon.start(self.port)

    def start_and_kill(self):
        process = subprocess.Popen([BINARY, "serve", "--data", self.daemon.data, "--port", str(self.port)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=self.daemon.env, cwd="/")  # fmt: skip
        time.sleep(self.random.random() * 0.2)
        process.kill()
        process.wait()
        self.early_kills += 1

    def all_runs(self):
        runs, offset = {}, 0
        while True:
            page = self.daemon.api().get("/v1/all-runs", params={"limit": 100, "offset": offset}).json()["runs"]
            runs.update({run["id"]: run for run in page})
            offset += len(page)
            if len(page) < 100:
                return runs

    def wait_for_ends(self):
        deadline = time.monotonic() + END_WITHIN_S
        while True:
            runs = self.all_runs()
            if all(run["status"] in TERMINAL for run in runs.values()) or time.monotonic() > deadline:
                return runs
            time.sleep(0.2)


def judge(runs, promised, kinds, ledger):
    """(what is wrong with a run or None) for every run that anybody knows of."""
    begun, through, reported = Counter(), Counter(), set()
    for line in ledger.splitlines():
        word, _, run_id = line.partition(" ")
        if word == "reported":
            reported.add(run_id)
        else:
            (begun if word == "begin" else through)[run_id] += 1
    verdicts = {}
    for run_id in set(promised) | set(runs) | set(begun):
        verdicts[run_id] = None
        run = runs.get(run_id)
        if run is None:
            verdicts[run_id] = "was promised or begun, and is lost"
            continue
        _, status, words, to_the_end = KINDS[kinds[run["automation_id"]]]
        is_as = f"({kinds[run['automation_id']]}, {run['status']}, {run['error_detail']!r}, attempt {run['attempt']})"
        if run["status"] not in TERMINAL:
            verdicts[run_id] = f"never ended {is_as}"
        elif begun[run_id] > 1:
            verdicts[run_id] = f"was executed {begun[run_id]} times {is_as}"
        elif begun[run_id] == 0:
            verdicts[run_id] = f"was reported without having run {is_as}"
        elif to_the_end and through[run_id] != 1:
            verdicts[run_id] = f"did not come to its end {is_as}"
        elif run["status"] != status or (words and words not in (run["error_detail"] or "")):
            verdicts[run_id] = f"should be {status}{' with ' + words if words else ''} {is_as}"
        elif run_id in reported and status == "FAILED" and "as planned" not in (run["error_detail"] or ""):
            verdicts[run_id] = f"lost what it reported {is_as}"
    return verdicts


def left_files(runs):
    """Runs of which something is in /tmp a while after the daemon's end: its last clean-ups take a moment."""
    deadline = time.monotonic() + 10
    while True:
        names = [name[len("automation-"):][:36] for name in os.listdir("/tmp") if name.startswith("automation-")]
        left = set(names) & set(runs)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def main():
    started = time.monotonic()
    print(f"{KILLS} kills of {BINARY}, SOAK_SEED={SEED}", flush=True)
    with tempfile.TemporaryDirectory(prefix="aut-soak-") as folder:
        soak = Soak(Path(folder))
        try:
            soak.make_automations(soak.port)
            kinds = {automation: kind for kind, automation in soak.automations.items()}
            for number in range(1, KILLS + 1):
                soak.one_life(number)
                if number % 20 == 0:
                    print(f"  {number} kills, {len(soak.promised)} runs asked for", flush=True)
            for number in range(AGENT_ALONE):
                soak.kill_only_the_agent()
            runs = soak.wait_for_ends()
            verdicts = judge(runs, soak.promised, kinds, soak.ledger.read_text())
        finally:
            soak.daemon.end()
    wrong = {run_id: text for run_id, text in verdicts.items() if text}
    wrong |= {run_id: "left its files on the agent" for run_id in left_files(runs) if run_id not in wrong}
    for run_id, text in sorted(wrong.items()):
        print(f"run {run_id} {text}")
    states = Counter(run["status"] for run in runs.values())
    print(f"{KILLS} kills of the daemon, {soak.early_kills} while it started, {soak.agent_kills} of the agent "
          f"with it and {soak.alone_kills} of the agent alone, in "
          f"{time.monotonic() - started:.0f} s; left at the kills: {soak.seen['PENDING']} pending and "
          f"{soak.seen['RUNNING']} running; in the end: {dict(states)}; "
          f"attempts: {dict(Counter(run['attempt'] for run in runs.values()))}")  # fmt: skip
    print(f"{len(verdicts) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
