# SPDX-License-Identifier: MIT
"""Every example on the embedded agent ends with its true result."""

import re
import subprocess

from conftest import EXAMPLES, PROGRAM, ROOT, clean_environment, wait_until


def test_examples__shell_completes_with_its_output(daemon):
    daemon("create", "hello", "--script", EXAMPLES / "hello-shell.sh")
    done = daemon("run", "hello", "-f")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"Hello from hello, run [0-9a-f-]{36}\.", lines[0])
    assert lines[1:5] == [f"step {n} of 4" for n in (1, 2, 3, 4)]
    assert lines[5].startswith("Done: triggered by manual, worked in /")
    assert "COMPLETED" in done.stderr.splitlines()[-1]


def test_examples__python_uses_what_setup_made(daemon):
    daemon("create", "weights", "--dir", EXAMPLES / "python-setup")
    done = daemon("run", "weights", "-f", "--input", '{"at_least": 100}')
    assert done.stdout.splitlines() == [
        "setup: made data/weights.csv and units.py",
        "apple    150 g",
        "melon    1.2 kg",
        "total    1.35 kg",
    ]


def test_examples__failure_keeps_exit_code_and_stderr(daemon):
    daemon("create", "fails", "--script", EXAMPLES / "fails.sh")
    done = daemon("run", "fails", "-f", code=4)
    assert done.stdout == "looking for the report\nfails.sh: the report is not there\n"
    run = daemon.json("runs", "fails")["runs"][0]
    assert run["status"] == "FAILED" and run["exit_code"] == 3


def test_examples__time_limit_ends_the_run(daemon):
    daemon("create", "slow", "--script", EXAMPLES / "times-out.sh", "--timeout", "2")
    done = daemon("run", "slow", "-f", code=4)
    # the shell may add that its child was terminated
    assert done.stdout.startswith("this will take a while\n") and "never seen" not in done.stdout
    run = daemon.json("runs", "slow")["runs"][0]
    assert run["status"] == "FAILED" and run["error_detail"].startswith("Timed out")


def test_examples__flood_keeps_the_newest_and_completes(daemon):
    daemon("create", "flood", "--script", EXAMPLES / "floods.sh")
    run = daemon("run", "flood").stdout.strip()
    ended = wait_until(lambda: daemon.json("show", run), lambda r: r["completed_at"], seconds=90)
    assert ended["status"] == "COMPLETED"
    done = daemon("logs", "flood")
    assert "newest part" in done.stderr
    assert done.stdout.endswith("0123\nthe last line\n")
    kept = len(done.stdout.encode())
    assert 500_000 < kept <= 2_097_152
    assert ended["output_bytes"] == 48_000_014
    # one stream, in order, without a hole
    numbers = [int(n) for n in re.findall(r"^line (\d{7})", done.stdout, re.M)]
    assert numbers == list(range(numbers[0], 500_001))


def test_examples__report_decides_the_end(daemon):
    daemon("create", "reporter", "--script", EXAMPLES / "reports.py")
    done = daemon("run", "reporter", "-f")
    assert "the service says: COMPLETED" in done.stdout or "reporting the result" in done.stdout
    assert "Collecting numbers" in done.stderr and "Writing the summary" in done.stderr
    run = daemon.json("runs", "reporter")["runs"][0]
    assert run["status"] == "COMPLETED" and run["cost"] == 0.25


def test_examples__demo_runs_and_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [str(EXAMPLES / "demo")], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env=clean_environment(AUTOMATION=PROGRAM, TMPDIR=str(tmp_path)),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "step 4 of 4" in done.stdout and "demo: done" in done.stdout
    assert re.search(r"COMPLETED +cron ", done.stdout) and re.search(r"COMPLETED +manual ", done.stdout)
    assert list(tmp_path.iterdir()) == []
