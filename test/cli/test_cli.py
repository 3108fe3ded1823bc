# SPDX-License-Identifier: MIT
"""Every client command against a live daemon: what it prints, how it exits, how it complains."""

import io
import itertools
import json
import os
import re
import signal
import subprocess
import tarfile
import time
import urllib.request

import pytest
from conftest import PROGRAM, clean_environment, wait_until

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
HELLO = "#!/bin/sh\necho one\necho two\n"
NUMBERS = itertools.count(1)


@pytest.fixture
def name():
    return f"test-{next(NUMBERS)}"


def api(daemon, path):
    """The same question asked without the command line."""
    request = urllib.request.Request(
        f"{daemon.url()}/api/automation{path}",
        headers={"Authorization": f"Bearer {daemon.key()}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as reply:
        return json.load(reply)


def ended(daemon, run_id):
    run = daemon.json("show", run_id)
    return run if run["completed_at"] else None


# ---- create --------------------------------------------------------------------------------------


def test_create__script_without_schedule_prints_the_id_alone(daemon, name):
    done = daemon("create", name, "--script", "-", stdin=HELLO)
    assert re.fullmatch(UUID + "\n", done.stdout)
    assert "no schedule" in done.stderr
    made = api(daemon, f"/v1/{done.stdout.strip()}")
    assert made["name"] == name and made["entrypoint"] == "./script" and made["enabled"] is True


def test_create__schedule_tells_the_next_fire(daemon, name):
    done = daemon("create", name, "--script", "-", "-s", "0 3 1 1 *", "--tz", "Europe/Berlin", stdin=HELLO)
    assert re.search(r"next fire: \d{4}-01-01 02:00:00 \+0000 \(in \d+ (d|h|min|s)\)", done.stderr)
    made = api(daemon, f"/v1/{done.stdout.strip()}")
    assert made["trigger"] == {"type": "cron", "schedule": "0 3 1 1 *", "timezone": "Europe/Berlin"}


def test_create__all_options_reach_the_automation(daemon, name, tmp_path):
    script = tmp_path / "job.py"
    script.write_text("print(1)\n")
    made = daemon.json(
        "create", name, "--script", script, "--description", "for Grüße", "--model", "fast", "--timeout", "77",
        "--disabled", "--schedule", "@daily",
    )  # fmt: skip
    assert made["description"] == "for Grüße"
    assert made["model"] == "fast"
    assert made["timeout"] == 77
    assert made["enabled"] is False
    assert made["entrypoint"] == "python3 job.py"


def test_create__disabled_says_that_it_is_paused(daemon, name):
    assert "paused" in daemon("create", name, "--script", "-", "-s", "@daily", "--disabled", stdin=HELLO).stderr


def test_create__folder_is_packed_and_runs(daemon, name, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "part.txt").write_text("from the folder\n")
    (tmp_path / "main.sh").write_text("cat sub/part.txt\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("secret")
    daemon("create", name, "--dir", tmp_path)
    assert daemon("run", name, "-f").stdout == "from the folder\n"


def test_create__tarball_is_taken_as_it_is(daemon, name, tmp_path):
    path = tmp_path / "x.tgz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("say")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))
    daemon("create", name, "--tarball", path, "--entrypoint", "cat say")
    assert daemon("run", name, "-f").stdout == "hello"


@pytest.mark.parametrize(
    "args, part",
    [
        ([], "--script FILE, --dir FOLDER, --tarball FILE or --prompt TEXT"),
        (["--script", "a", "--dir", "b"], "only one of"),
        (["--tarball", "a"], "--entrypoint"),
        (["--script", "a", "--tz", "UTC"], "no --schedule"),
        (["--script", "a", "--timeout", "0"], "a whole number from 1"),
        (["--script", "a", "--shedule", "* * * * *"], "unknown option --shedule"),
        (["--script"], "--script needs a value"),
        (["extra", "--script", "a"], "one NAME is enough"),
        (["--script", "a", "--color", "sometimes"], "auto, always or never"),
    ],
)
def test_create__called_wrongly_exits_2_and_says_what_is_right(daemon, args, part):
    done = daemon("create", "x", *args, code=2)
    assert done.stderr.startswith("automation create: ") and part in done.stderr
    assert done.stdout == ""


def test_create__problems_of_the_server_are_readable_and_leave_nothing_behind(daemon, name):
    before = api(daemon, "/v1/uploads")["total"]
    done = daemon("create", name, "--script", "-", "--schedule", "61 * * * *", stdin=HELLO, code=1)
    assert "schedule: " in done.stderr and "{" not in done.stderr
    assert api(daemon, "/v1/uploads")["total"] == before
    assert api(daemon, f"/v1?name={name}")["total"] == 0


def test_create__several_problems_are_all_shown(daemon, name):
    done = daemon("create", name, "--script", "-", "--schedule", "nonsense", "--tz", "Nowhere/Land", "--model", "!",
                  stdin=HELLO, code=1)  # fmt: skip
    assert done.stderr.startswith("automation create: the server refused it (HTTP 422):\n  ")
    assert "model: " in done.stderr and "trigger.cron" in done.stderr


def test_create__file_errors_name_the_file(daemon, name, tmp_path):
    assert "missing.sh: No such file" in daemon("create", name, "--script", tmp_path / "missing.sh", code=1).stderr
    assert "is a folder" in daemon("create", name, "--script", tmp_path, code=1).stderr
    empty = tmp_path / "empty"
    empty.write_text("")
    assert "is empty" in daemon("create", name, "--script", empty, code=1).stderr
    assert "is no folder" in daemon("create", name, "--dir", empty, code=1).stderr
    assert "not a gzip tarball" in daemon("create", name, "--tarball", empty, "--entrypoint", "x", code=1).stderr


def test_create__folder_above_the_limit_is_refused_with_the_limit(daemon, name, tmp_path):
    (tmp_path / "noise").write_bytes(os.urandom(1_200_000))
    (tmp_path / "main.sh").write_text("true")
    assert "1 MiB (1048576 bytes)" in daemon("create", name, "--dir", tmp_path, code=1).stderr


def test_create__folder_without_a_known_start_asks_for_one(daemon, name, tmp_path):
    (tmp_path / "tool").write_text("true")
    assert "--entrypoint CMD" in daemon("create", name, "--dir", tmp_path, code=2).stderr


def test_create__second_of_a_name_is_noted_and_names_need_ids_then(daemon, name):
    ids = {daemon.create(name, HELLO)}
    done = daemon("create", name, "--script", "-", stdin=HELLO)
    assert "taken already" in done.stderr
    ids.add(done.stdout.strip())
    for command in (["run"], ["show"], ["pause"], ["rm"], ["logs"], ["runs"]):
        complaint = daemon(*command, name, code=1).stderr
        assert f"2 automations are called {name}" in complaint
        assert all(one in complaint for one in ids)
    for one in ids:
        daemon("rm", one)


# ---- list, show, pause, resume, rm -----------------------------------------------------------------


def test_list__table_is_aligned_without_tabs(daemon, name):
    one = daemon.create(name, HELLO, "--schedule", "5 4 * * *")
    lines = daemon("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "TRIGGER", "NEXT", "FIRE", "LAST", "ID"]
    row = next(line for line in lines if line.startswith(name + " "))
    assert row.split()[1] == "active" and "5 4 * * *  UTC" in row and row.endswith(one)
    assert "\t" not in row and "\x1b" not in row
    assert row.index("active") == lines[0].index("STATE")


def test_list__json_has_all_of_them(daemon, name):
    daemon.create(name, HELLO)
    reply = daemon.json("list")
    assert reply["total"] == len(reply["automations"])
    assert name in [one["name"] for one in reply["automations"]]


def test_list__many_are_read_page_by_page(own_daemon):
    for number in range(3):
        own_daemon.create(f"n{number}", HELLO)
    upload = own_daemon.json("show", "n0")["tarball_path"]
    body = {"trigger": {"type": "cron", "schedule": "@yearly"}, "tarball_path": upload, "entrypoint": "./script"}
    for number in range(3, 105):
        request = urllib.request.Request(
            f"{own_daemon.url()}/api/automation/v1",
            data=json.dumps({**body, "name": f"n{number}"}).encode(),
            headers={"Authorization": f"Bearer {own_daemon.key()}", "Content-Type": "application/json"},
        )
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()
    assert len(own_daemon.json("list")["automations"]) == 105
    assert own_daemon.json("show", "n0")["name"] == "n0"  # the oldest, beyond the first page


def test_list__empty_says_how_to_begin(own_daemon):
    done = own_daemon("list")
    assert done.stdout == "" and "automation create" in done.stderr
    assert own_daemon.json("list") == {"automations": [], "total": 0}


def test_show__automation_and_run(daemon, name):
    one = daemon.create(name, HELLO, "--schedule", "0 0 * * *")
    text = daemon("show", name).stdout
    assert re.search(rf"^id +{one}$", text, re.M)
    assert re.search(r"^next_fire_at +\d{4}-\d\d-\d\d 00:00:00 \+0000 \(in ", text, re.M)
    assert daemon.json("show", one)["name"] == name
    run = daemon("run", name).stdout.strip()
    assert daemon.json("show", run)["automation_id"] == one
    assert re.search(rf"^id +{run}$", daemon("show", run).stdout, re.M)
    wait_until(lambda: ended(daemon, run))


def test_show__unknown_names_say_where_to_look(daemon):
    assert "no automation is called nobody; automation list" in daemon("show", "nobody", code=1).stderr
    unknown = "01234567-89ab-7def-8123-456789abcdef"
    assert daemon("show", unknown, code=1).stderr.startswith("automation show: ")


def test_pause_resume__schedule_stops_and_goes_on(daemon, name):
    daemon.create(name, HELLO, "--schedule", "0 0 * * *")
    assert daemon("pause", name).stderr == "paused\n"
    paused = daemon.json("show", name)
    assert paused["state"] == "INACTIVE" and paused["next_fire_at"] is None
    assert re.match(r"active; next fire: \d{4}-", daemon("resume", name).stderr)
    assert daemon.json("pause", name)["enabled"] is False
    assert daemon.json("resume", name)["enabled"] is True


def test_rm__is_gone_afterwards(daemon, name):
    daemon.create(name, HELLO)
    assert daemon("rm", name).stderr == "deleted\n"
    assert "no automation is called" in daemon("rm", name, code=1).stderr


# ---- run, runs -----------------------------------------------------------------------------------------


def test_run__prints_the_id_alone(daemon, name):
    daemon.create(name, HELLO)
    run = daemon("run", name)
    assert re.fullmatch(UUID + "\n", run.stdout) and run.stderr == ""
    assert wait_until(lambda: ended(daemon, run.stdout.strip()))["status"] == "COMPLETED"


def test_run__followed_output_is_the_output_and_nothing_else(daemon, name):
    daemon.create(name, HELLO)
    done = daemon("run", name, "-f")
    assert done.stdout == "one\ntwo\n"
    assert re.fullmatch(rf"run {UUID} COMPLETED in [\d.]+ m?s", done.stderr.splitlines()[-1])


def test_run__followed_failure_exits_4_with_the_code(daemon, name):
    daemon.create(name, "#!/bin/sh\necho before\nexit 3\n")
    done = daemon("run", name, "-f", code=4)
    assert done.stdout == "before\n"
    assert re.match(rf"run {UUID} FAILED in [\d.]+ m?s, exit code 3", done.stderr.splitlines()[-1])


def test_run__followed_json_is_one_event_a_line(daemon, name):
    daemon.create(name, HELLO)
    events = [json.loads(line) for line in daemon("run", name, "-f", "--json").stdout.splitlines()]
    assert "".join(e["data"]["data"] for e in events if e["event"] == "output") == "one\ntwo\n"
    assert events[-1]["event"] == "end" and events[-1]["data"]["run"]["status"] == "COMPLETED"


SHOW_EVENT = """#!/usr/bin/env python3
import json, os
print(json.dumps(json.loads(os.environ["AUTOMATION_EVENT_PAYLOAD"]).get("event"), sort_keys=True))
"""


def test_run__input_reaches_the_run(daemon, name, tmp_path):
    daemon.create(name, SHOW_EVENT)
    assert json.loads(daemon("run", name, "-f", "-i", '{"a": [1, "ü\'\\n"]}').stdout) == {"a": [1, "ü'\n"]}
    file = tmp_path / "input.json"
    file.write_text('{"b": 2}')
    assert json.loads(daemon("run", name, "-f", "--input", f"@{file}").stdout) == {"b": 2}
    assert json.loads(daemon("run", name, "-f", "--input", "@-", stdin='{"c": 3}').stdout) == {"c": 3}


def test_run__bad_input_is_refused_before_anything_runs(daemon, name):
    daemon.create(name, HELLO)
    assert daemon("run", name, "--input", "{", code=2).stderr.startswith("automation run: --input: ")
    assert "No such file" in daemon("run", name, "--input", "@/nowhere.json", code=1).stderr
    assert daemon.json("runs", name)["total"] == 0


def test_run__delay_keeps_it_waiting(daemon, name):
    daemon.create(name, HELLO)
    begin = time.monotonic()
    daemon("run", name, "--delay", "1", "-f")
    assert time.monotonic() - begin >= 1.0


def test_run__paused_automation_can_be_run_by_hand(daemon, name):
    daemon.create(name, HELLO, "--schedule", "@daily", "--disabled")
    assert daemon("run", name, "-f").stdout == "one\ntwo\n"


def test_runs__newest_first_of_one_or_of_all(daemon, name):
    daemon.create(name, HELLO)
    first = daemon("run", name).stdout.strip()
    second = daemon("run", name).stdout.strip()
    for run in (first, second):
        wait_until(lambda: ended(daemon, run))
    lines = daemon("runs", name).stdout.splitlines()
    assert lines[0].split() == ["RUN", "AUTOMATION", "STATUS", "TRIGGER", "CREATED", "TOOK", "EXIT", "DETAIL"]
    assert [line.split()[0] for line in lines[1:]] == [second, first]
    assert lines[1].split()[1:4] == [name, "COMPLETED", "manual"]
    assert len(daemon("runs", name, "-n", "1").stdout.splitlines()) == 2
    assert daemon.json("runs", "-n1")["runs"][0]["id"] == second
    assert second in daemon("runs").stdout
    reply = daemon.json("runs", name)
    assert reply["total"] == 2 and reply["status_counts"] == {"COMPLETED": 2}


def test_runs__none_yet(daemon, name):
    daemon.create(name, HELLO)
    done = daemon("runs", name)
    assert done.stdout == "" and done.stderr == "no runs yet\n"


# ---- logs, cancel ------------------------------------------------------------------------------------------


def test_logs__by_id_by_beginning_and_by_name(daemon, name):
    daemon.create(name, HELLO)
    run = daemon("run", name).stdout.strip()
    wait_until(lambda: ended(daemon, run))
    assert daemon("logs", run).stdout == "one\ntwo\n"
    assert daemon("logs", run[:30].upper()).stdout == "one\ntwo\n"
    assert daemon("logs", run.replace("-", "")).stdout == "one\ntwo\n"
    assert daemon("logs", name).stdout == "one\ntwo\n"
    assert daemon.json("logs", run)["data"] == "one\ntwo\n"
    done = daemon("logs", name, "-f")
    assert done.stdout == "one\ntwo\n" and "COMPLETED" in done.stderr


def test_logs__what_is_no_run_is_said_to_be_none(daemon, name):
    daemon.create(name, HELLO)
    assert "has not run yet" in daemon("logs", name, code=1).stderr
    assert "no automation is called nobody" in daemon("logs", "nobody", code=1).stderr
    assert "there is no run 0123456789" in daemon("logs", "0123456789", code=1).stderr


def test_logs__beginning_of_several_runs_is_refused(daemon, name):
    daemon.create(name, HELLO)
    one, two = daemon("run", name).stdout.strip(), daemon("run", name).stdout.strip()
    common = os.path.commonprefix([one, two])
    if len(common.replace("-", "")) >= 8:  # the first digits are the time; it just may have moved on
        assert "give more digits" in daemon("logs", common, code=1).stderr
    for run in (one, two):
        wait_until(lambda: ended(daemon, run))


def test_logs__piped_bytes_are_untouched(daemon, name):
    daemon.create(name, "#!/bin/sh\nprintf 'a\\033[2J\\rb\\001\\tc'\n")
    run = daemon("run", name).stdout.strip()
    wait_until(lambda: ended(daemon, run))
    assert daemon("logs", run, text=False).stdout == b"a\x1b[2J\rb\x01\tc"


def test_logs__long_output_comes_whole_and_in_order(daemon, name):
    daemon.create(name, "#!/bin/sh\nseq 1 60000\n")
    expected = "".join(f"{n}\n" for n in range(1, 60001))
    assert daemon("run", name, "-f").stdout == expected
    assert daemon("logs", name).stdout == expected


def test_logs__closed_pipe_ends_quietly(daemon, name):
    daemon.create(name, "#!/bin/sh\nseq 1 60000\n")
    daemon("run", name, "-f")
    with daemon.popen("logs", name) as process:
        assert process.stdout.readline() == "1\n"
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""


WAITS = "#!/bin/sh\necho started\nsleep 300\n"


def started(daemon, name):
    """A run of it that has begun to work; its id."""
    run = daemon("run", name).stdout.strip()
    wait_until(lambda: daemon("logs", run).stdout, lambda text: text == "started\n")
    return run


def test_cancel__ends_the_run_for_everybody(daemon, name):
    daemon.create(name, WAITS)
    run = started(daemon, name)
    with daemon.popen("logs", run, "-f") as follower:
        assert follower.stdout.readline() == "started\n"
        assert daemon("cancel", run).stderr == "cancelled\n"
        _, errors = follower.communicate(timeout=60)
        assert follower.returncode == 4
        assert "CANCELLED" in errors.splitlines()[-1]
    assert daemon.json("show", run)["status"] == "CANCELLED"
    assert "CANCELLED" in daemon("cancel", run, code=1).stderr


def test_cancel__needs_a_run(daemon, name):
    assert "is no run" in daemon("cancel", name, code=1).stderr


def test_follow__interrupt_leaves_the_run_alone(daemon, name):
    daemon.create(name, WAITS)
    run = started(daemon, name)
    with daemon.popen("logs", run, "-f") as follower:
        assert follower.stdout.readline() == "started\n"
        follower.send_signal(signal.SIGINT)
        _, errors = follower.communicate(timeout=30)
        assert follower.returncode == 130
        assert f"automation logs {run} -f" in errors
    assert daemon.json("show", run)["status"] == "RUNNING"
    daemon("cancel", run)


def test_follow__survives_a_killed_and_restarted_daemon(own_daemon, tmp_path):
    go = tmp_path / "go"
    own_daemon.create("job", f"#!/bin/sh\necho started\nuntil [ -e {go} ]; do sleep 0.1; done\necho finished\n")
    run = started(own_daemon, "job")
    with own_daemon.popen("logs", run, "-f") as follower:
        assert follower.stdout.readline() == "started\n"
        own_daemon.kill()
        own_daemon.start()
        go.write_text("")
        output, errors = follower.communicate(timeout=60)
        assert follower.returncode == 0, errors
        assert output == "finished\n"


# ---- terminals ---------------------------------------------------------------------------------------------


def test_terminal__commands_in_output_are_shown_and_colours_pass(daemon, name):
    daemon.create(name, "#!/bin/sh\nprintf '\\033[31mred\\033[0m \\033[2J\\033]0;title\\007 a\\rb\\n'\n")
    daemon("run", name, "-f")
    assert daemon.terminal("logs", name) == "\x1b[31mred\x1b[0m \\x1b[2J\\x1b]0;title\\a a\\rb\n\x1b[0m"
    assert "\x1b[2J" in daemon.terminal("logs", name, "--raw")


def test_terminal__tables_are_coloured_and_times_relative(daemon, name):
    daemon.create(name, HELLO)
    run = daemon("run", name, "-f")
    text = daemon.terminal("runs", name)
    assert "\x1b[32mCOMPLETED\x1b[0m" in text
    assert re.search(r"now|\d+ s ago", text)
    assert run.stderr.split()[1] not in text  # short ids
    assert "\x1b" not in daemon.terminal("runs", name, env={"NO_COLOR": "1"})
    assert "\x1b" not in daemon.terminal("runs", name, "--color", "never")
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", daemon.terminal("runs", name, "--utc"))
    assert "\x1b[32mCOMPLETED" in daemon("runs", name, "--color=always").stdout


def test_terminal__hostile_names_cannot_command_it(daemon):
    daemon("create", "evil\x1b[2J\nname", "--script", "-", stdin=HELLO)
    text = daemon.terminal("list")
    assert "\x1b[2J" not in text and "evil\\x1b[2J\\nname" in text
    daemon("rm", "evil\x1b[2J\nname")


# ---- finding the daemon ---------------------------------------------------------------------------------------


def call(*args, **env):
    return subprocess.run(
        [PROGRAM, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        env=clean_environment(**env),
    )  # fmt: skip


def test_no_daemon__exits_3_and_says_how_to_start_one(tmp_path):
    done = call("list", XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr == f"automation list: no daemon is running for {tmp_path}/automation; start it with: automation serve\n"
    done = call("list", HOME=str(tmp_path), XDG_STATE_HOME="")
    assert f"{tmp_path}/.local/state/automation" in done.stderr
    done = call("list", "--data", tmp_path)
    assert done.returncode == 3 and done.stderr.endswith(f"automation serve --data {tmp_path}\n")


def test_no_daemon__one_that_died_is_noticed(own_daemon):
    own_daemon.kill()
    assert (own_daemon.data / "serve.json").exists()
    assert "no daemon is running" in own_daemon("list", code=3).stderr


def test_url__with_key_from_option_or_environment(daemon):
    url, key = daemon.url(), daemon.key()
    assert call("list", "--url", url, "--api-key", key, "--json").returncode == 0
    assert call("list", "--json", AUTOMATION_URL=url + "/", AUTOMATION_API_KEY=key).returncode == 0
    assert call("list", "--url", url + "/api/automation", "--api-key", key).returncode == 0


def test_url__mistakes_are_told_apart(daemon, tmp_path):
    url = daemon.url()
    done = call("list", "--url", url)
    assert done.returncode == 1 and "AUTOMATION_API_KEY" in done.stderr
    done = call("list", "--url", url, "--api-key", "wrong")
    assert done.returncode == 1 and "does not accept the API key" in done.stderr
    done = call("list", "--url", "localhost:1", "--api-key", "x")
    assert done.returncode == 2 and "http://" in done.stderr
    done = call("list", "--url", "http://127.0.0.1:1", "--api-key", "x")
    assert done.returncode == 3 and "127.0.0.1:1" in done.stderr


def test_help__describes_every_option_and_exits_0():
    for command in ("create", "list", "show", "run", "runs", "logs", "pause", "resume", "cancel", "rm"):
        done = call(command, "--help")
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.startswith(f"Usage: automation {command} ")
        assert "--json" in done.stdout


def test_output__full_disk_is_an_error(daemon):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            [PROGRAM, "list", "--json", "--data", str(daemon.data)], stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=60, env=clean_environment(),
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "automation list: standard output: No space left on device\n"
