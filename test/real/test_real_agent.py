# SPDX-License-Identifier: MIT
"""Runs on an agent end with their true result and whole output, whatever dies meanwhile."""

import os
import re
import signal
import time

from conftest import agent_pid, support

EXAMPLES = support.EXAMPLES
wait_until = support.wait_until

# Counts to 60 in about six seconds, one line a step: a hole or a doubled line shows.
COUNTS = "#!/bin/sh\ni=1\nwhile [ $i -le 60 ]; do echo line $i; i=$((i + 1)); sleep 0.1; done\nexit 5\n"
COUNTED = "".join(f"line {i}\n" for i in range(1, 61))


def run_example(daemon, name, *create, run=()):
    daemon("create", name, *create)
    run_id = daemon("run", name, *run).stdout.strip()
    return daemon.ended(run_id, 90), run_id


def says(daemon, run_id, text, seconds=30):
    wait_until(lambda: daemon.output(run_id), lambda out: text in out, seconds)


# ---- the examples -----------------------------------------------------------------------------


def test_example__shell_completes_with_its_whole_output(daemon):
    run, run_id = run_example(daemon, "hello", "--script", EXAMPLES / "hello-shell.sh")
    assert run["status"] == "COMPLETED" and run["exit_code"] == 0
    lines = daemon.output(run_id).splitlines()
    assert lines[0] == f"Hello from hello, run {run_id}."
    assert lines[1:5] == [f"step {n} of 4" for n in (1, 2, 3, 4)]
    assert lines[5].startswith("Done: triggered by manual, worked in /") and len(lines) == 6


def test_example__python_uses_what_setup_made(daemon):
    run, run_id = run_example(
        daemon, "weights", "--dir", EXAMPLES / "python-setup", run=("--input", '{"at_least": 100}'))
    assert run["status"] == "COMPLETED"
    assert daemon.output(run_id).splitlines() == [
        "setup: made data/weights.csv and units.py",
        "apple    150 g",
        "melon    1.2 kg",
        "total    1.35 kg",
    ]  # fmt: skip


def test_example__failure_keeps_exit_code_and_stderr(daemon):
    run, run_id = run_example(daemon, "fails", "--script", EXAMPLES / "fails.sh")
    assert run["status"] == "FAILED" and run["exit_code"] == 3
    assert run["error_detail"].startswith("exit_code=3") and "the report is not there" in run["error_detail"]
    assert daemon.output(run_id) == "looking for the report\nfails.sh: the report is not there\n"


def test_example__time_limit_ends_the_run(daemon):
    run, run_id = run_example(daemon, "slow", "--script", EXAMPLES / "times-out.sh", "--timeout", "2")
    assert run["status"] == "FAILED" and run["error_detail"].startswith("Timed out")
    out = daemon.output(run_id)
    assert out.startswith("this will take a while\n") and "never seen" not in out


def test_example__flood_keeps_the_newest_and_its_last_line(daemon):
    run, run_id = run_example(daemon, "flood", "--script", EXAMPLES / "floods.sh")
    assert run["status"] == "COMPLETED" and run["output_bytes"] == 48_000_014
    out = daemon.output(run_id)
    assert out.endswith("0123\nthe last line\n")
    # whole chunks are dropped, so up to one chunk more than the limit is kept
    assert 500_000 < len(out.encode()) <= 2_097_152
    numbers = [int(n) for n in re.findall(r"^line (\d{7})", out, re.M)]
    assert numbers == list(range(numbers[0], 500_001))


def test_example__report_by_callback_decides_the_end(daemon):
    run, run_id = run_example(daemon, "reporter", "--script", EXAMPLES / "reports.py")
    assert run["status"] == "COMPLETED" and run["cost"] == 0.25
    says(daemon, run_id, "the service says: COMPLETED")


# ---- while it runs ----------------------------------------------------------------------------


def test_follow__shows_output_while_the_run_goes_on(daemon):
    daemon.create("talks", "#!/bin/sh\necho first\nsleep 600\n")
    run_id = daemon("run", "talks").stdout.strip()
    follower = daemon.popen("logs", run_id, "-f")
    try:
        assert follower.stdout.readline() == "first\n"
        assert daemon.run(run_id)["status"] == "RUNNING"
    finally:
        daemon("cancel", run_id)
        follower.communicate(timeout=60)
    assert daemon.ended(run_id)["status"] == "CANCELLED"


def test_cancel__reaches_the_whole_process_group(daemon):
    # a child that ignores TERM, and a grandchild, both of which tell their pids
    daemon.create("family", "#!/bin/sh\n"
                  "sh -c 'trap \"\" TERM; sleep 601 & echo grandchild $!; while :; do sleep 1; done' & echo child $!\n"
                  "echo self $$\nwait\n")  # fmt: skip
    run_id = daemon("run", "family").stdout.strip()
    out = wait_until(lambda: daemon.output(run_id), lambda o: len(re.findall(r"^\w+ \d+$", o, re.M)) == 3)
    pids = [int(pid) for pid in re.findall(r"^\w+ (\d+)$", out, re.M)]  # the root shares our pid numbers
    assert all(support.is_alive(pid) for pid in pids)
    daemon("cancel", run_id)
    wait_until(lambda: [pid for pid in pids if support.is_alive(pid)], lambda left: not left)
    assert daemon.ended(run_id)["status"] == "CANCELLED"


def test_many__fifty_at_once_each_with_its_own_output(daemon):
    daemon.create("many", '#!/bin/sh\necho "begin $AUTOMATION_RUN_ID"\nsleep 1\necho "end $AUTOMATION_RUN_ID"\n')
    started = time.monotonic()
    runs = [daemon("run", "many").stdout.strip() for _ in range(50)]
    for run_id in runs:
        run = daemon.ended(run_id, 180)
        assert run["status"] == "COMPLETED", run
    print(f"50 runs in {time.monotonic() - started:.1f} s on {daemon.place.name}")
    for run_id in runs:
        assert daemon.output(run_id) == f"begin {run_id}\nend {run_id}\n"


def test_cleanup__leaves_nothing_in_the_agents_tmp(daemon):
    runs = [run["id"] for run in daemon.json("runs", "-n", "1000")["runs"]]
    assert runs
    daemon.let_clean_up()
    assert sum((daemon.left_of(run) for run in runs), []) == []


# ---- deaths -----------------------------------------------------------------------------------


def test_daemon_killed__run_goes_on_and_ends_with_its_true_result(own_daemon):
    daemon = own_daemon
    daemon.create("counts", COUNTS)
    run_id = daemon("run", "counts").stdout.strip()
    says(daemon, run_id, "line 3\n")
    daemon.kill()
    daemon.start()
    run = daemon.ended(run_id)
    assert (run["status"], run["exit_code"]) == ("FAILED", 5)
    assert daemon.output(run_id) == COUNTED


def test_daemon_killed__run_that_ended_meanwhile_is_judged(own_daemon):
    daemon = own_daemon
    daemon.create("counts", COUNTS)
    run_id = daemon("run", "counts").stdout.strip()
    says(daemon, run_id, "line 3\n")
    daemon.kill()
    exit_file = daemon.place.path(f"/tmp/automation-{run_id}.1/exit")
    wait_until(exit_file.exists)
    daemon.start()
    run = daemon.ended(run_id)
    assert (run["status"], run["exit_code"]) == ("FAILED", 5)
    assert daemon.output(run_id) == COUNTED


def test_agent_killed__run_goes_on_and_ends_with_its_true_result(own_daemon):
    daemon = own_daemon
    daemon.create("counts", COUNTS)
    run_id = daemon("run", "counts").stdout.strip()
    says(daemon, run_id, "line 3\n")
    if daemon.place.name == "real":
        daemon.place.kill()
        daemon.place.start()
    else:
        os.kill(agent_pid(daemon), signal.SIGKILL)  # the daemon starts another by itself
    run = daemon.ended(run_id, 120)
    assert (run["status"], run["exit_code"]) == ("FAILED", 5)
    assert daemon.output(run_id) == COUNTED


def test_agent_killed__cancel_afterwards_still_ends_the_group(own_daemon):
    daemon = own_daemon
    daemon.create("waits", "#!/bin/sh\necho self $$\nsleep 602\n")
    run_id = daemon("run", "waits").stdout.strip()
    out = wait_until(lambda: daemon.output(run_id), lambda o: "self " in o)
    pid = int(out.split()[1])
    if daemon.place.name == "real":
        daemon.place.kill()
        daemon.place.start()
    else:
        os.kill(agent_pid(daemon), signal.SIGKILL)
    assert support.is_alive(pid)
    daemon("cancel", run_id)
    wait_until(lambda: not support.is_alive(pid), seconds=60)
    assert daemon.ended(run_id)["status"] == "CANCELLED"
