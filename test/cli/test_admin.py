# SPDX-License-Identifier: MIT
"""edit, doctor, config, backup, completion, the manual page and make install."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import tarfile
import time

import pytest
from conftest import PROGRAM, ROOT, clean_environment, wait_until
from test_cli import HELLO, api, name  # noqa: F401  (name is a fixture)


def call(*args, code=0, env=None, stdin=None):
    done = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=60, input=stdin,
                          env=clean_environment(**(env or {})))  # fmt: skip
    assert done.returncode == code, f"exit {done.returncode}: {done.stdout!r} {done.stderr!r}"
    return done


def commands():
    listed = call("--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    return [line.split()[0] for line in listed.splitlines()]


def options(command):
    """What --help of a command names, in the form in which it is typed."""
    return re.findall(r"^  (?:-(\w), )?(--[a-z-]+)", call("help", command).stdout, re.M)


# ---- edit ----------------------------------------------------------------------------------------


def test_edit__changes_what_is_named_and_leaves_the_rest(daemon, name):
    daemon("create", name, "--script", "-", "-s", "0 3 * * *", "--tz", "Europe/Berlin", "--timeout", "50",
           "--description", "before", stdin=HELLO)  # fmt: skip
    before = daemon.json("show", name)
    after = daemon.json("edit", name, "--description", "after", "--timeout", 60)
    changed = {key for key in before if before[key] != after[key]} - {"updated_at"}
    assert changed == {"description", "timeout"}
    assert after["description"] == "after" and after["timeout"] == 60


def test_edit__waiting_at_the_limit_is_switched_on_and_off(daemon, name):
    daemon("create", name, "--script", "-", "--wait-at-limit", "yes", stdin=HELLO)
    assert daemon.json("show", name)["wait_at_limit"] is True
    assert re.search(r"^wait_at_limit +true$", daemon("show", name).stdout, re.M)
    assert daemon.json("edit", name, "--description", "x")["wait_at_limit"] is True
    assert daemon.json("edit", name, "--wait-at-limit=no")["wait_at_limit"] is False
    assert "--wait-at-limit" in daemon("create", name, "--script", "-", "--wait-at-limit", "1", code=2).stderr


def test_edit__schedule_keeps_its_zone_and_zone_its_schedule(daemon, name):
    daemon("create", name, "--script", "-", "-s", "0 3 1 1 *", "--tz", "Europe/Berlin", stdin=HELLO)
    done = daemon("edit", name, "--schedule", "0 4 1 1 *")
    assert re.search(r"next fire: \d{4}-01-01 03:00:00 \+0000", done.stderr) and done.stdout == ""
    assert daemon.json("edit", name, "--tz", "UTC")["trigger"] == {
        "type": "cron", "schedule": "0 4 1 1 *", "timezone": "UTC"}  # fmt: skip
    assert daemon.json("edit", name, "--manual")["trigger"]["source"] == "manual"
    assert daemon.json("show", name)["next_fire_at"] is None
    assert "no schedule" in daemon("edit", name, "--tz", "UTC", code=2).stderr
    assert daemon.json("edit", name, "-s", "@daily")["trigger"]["schedule"] == "@daily"


def test_edit__program_is_replaced_and_runs(daemon, name, tmp_path):
    daemon("create", name, "--script", "-", stdin=HELLO)
    (tmp_path / "main.sh").write_text("echo from the folder\n")
    daemon("edit", name, "--dir", tmp_path)
    assert daemon("run", name, "-f").stdout == "from the folder\n"
    # a tarball says nothing about its command: that stays
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("main.sh")
        member.size = len(b"echo from the tarball\n")
        tar.addfile(member, io.BytesIO(b"echo from the tarball\n"))
    (tmp_path / "x.tgz").write_bytes(packed.getvalue())
    daemon("edit", name, "--tarball", tmp_path / "x.tgz")
    assert daemon("run", name, "-f").stdout == "from the tarball\n"
    daemon("edit", name, "--entrypoint", "echo only the command")
    assert daemon("run", name, "-f").stdout == "only the command\n"


def test_edit__name_and_texts_that_are_taken_away(daemon, name):
    daemon("create", name, "--script", "-", "--description", "x", "--model", "fast", "--timeout", 9, stdin=HELLO)
    after = daemon.json("edit", name, "--name", f"{name}-new", "--description", "", "--model=", "--timeout", "0")
    assert after["name"] == f"{name}-new" and after["description"] is None and after["model"] is None
    assert after["timeout"] is None
    daemon("show", name, code=1)


def test_edit__a_refused_change_leaves_nothing_behind(daemon, name):
    daemon("create", name, "--script", "-", stdin=HELLO)
    before, uploads = daemon.json("show", name), api(daemon, "/v1/uploads")["total"]
    done = daemon("edit", name, "--script", "-", "--schedule", "61 * * * *", stdin="echo x\n", code=1)
    assert "schedule: " in done.stderr
    assert daemon.json("show", name) == before and api(daemon, "/v1/uploads")["total"] == uploads


@pytest.mark.parametrize(
    "args, part",
    [
        ([], "what shall change?"),
        (["--script", "a", "--dir", "b"], "only one of"),
        (["--manual", "--schedule", "@daily"], "--manual"),
        (["--timeout", "-1"], "a whole number from 0"),
        (["--disabled"], "unknown option --disabled"),
        (["--wait-at-limit", "maybe"], "yes or no"),
    ],
)
def test_edit__called_wrongly_exits_2(daemon, args, part):
    done = daemon("edit", "x", *args, code=2)
    assert done.stderr.startswith("automation edit: ") and part in done.stderr


# ---- runs ----------------------------------------------------------------------------------------


def test_runs__detail_is_one_line(daemon, name):
    daemon.create(name, "#!/bin/sh\necho first >&2\necho second >&2\nexit 3\n")
    daemon("run", name, "-f", code=4)
    run = daemon.json("runs", name)["runs"][0]
    assert "\n" in run["error_detail"]
    row = daemon("runs", name).stdout.splitlines()[1]
    assert row.endswith(run["error_detail"].splitlines()[0].rstrip()) and "second" not in row


# ---- doctor --------------------------------------------------------------------------------------


def findings(data, *args, code=0, env=None):
    found = json.loads(call("doctor", "--data", data, "--json", *args, code=code, env=env).stdout)
    return {(one["check"], one["level"]): one for one in found}


def test_doctor__all_is_well_with_a_daemon(daemon):
    lines = daemon("doctor").stdout.splitlines()
    assert all(re.match(r"(ok|warn|fail)  ", line) for line in lines)
    found = findings(daemon.data)
    assert {"daemon", "database", "agent", "secrets", "folder", "settings", "disk"} <= {
        check for check, level in found if level == "ok"}  # fmt: skip
    assert not [check for check, level in found if level == "fail"]
    assert "not opened" in found["database", "ok"]["found"]


def test_doctor__needs_no_daemon_and_changes_nothing(own_daemon):
    own_daemon.create("x", HELLO)
    own_daemon.stop()
    before = sorted((p.name, p.stat().st_mtime_ns) for p in own_daemon.data.iterdir() if p.is_file())
    found = findings(own_daemon.data, env={"AUTOMATION_SERVER_PORT": "0"})
    assert "is whole" in found["database", "ok"]["found"] and ("daemon", "warn") in found
    own_daemon.start()
    own_daemon.kill()
    assert "was killed" in findings(own_daemon.data)["daemon", "warn"]["found"]
    own_daemon.start()
    own_daemon.stop()
    after = sorted(p.name for p in own_daemon.data.iterdir() if p.is_file())
    assert after == [n for n, _ in before]


def test_doctor__before_the_first_start(tmp_path):
    found = findings(tmp_path / "none", env={"AUTOMATION_SERVER_PORT": "0"})
    assert "serve makes it" in found["folder", "ok"]["found"]
    assert not (tmp_path / "none").exists()


def test_doctor__open_secrets_and_folder(own_daemon):
    own_daemon.stop()
    key = own_daemon.data / "api.key"
    key.chmod(0o644)
    own_daemon.data.chmod(0o755)
    found = findings(own_daemon.data, code=1)
    assert found["secrets", "fail"]["right"] == f"chmod 600 {key}"
    assert found["folder", "warn"]["right"] == f"chmod 700 {own_daemon.data}"
    key.write_text("short\n")
    key.chmod(0o600)
    assert "16 characters" in findings(own_daemon.data, code=1)["secrets", "fail"]["found"]


def test_doctor__damaged_database(own_daemon):
    own_daemon.create("x", HELLO)
    own_daemon.stop()
    path = own_daemon.data / "automation.db"
    content = bytearray(path.read_bytes())
    for at in range(4096 * 2, len(content), 4096):
        content[at : at + 64] = b"\xff" * 64
    path.write_bytes(content)
    assert ("database", "fail") in findings(own_daemon.data, code=1)
    path.write_bytes(b"no database at all" * 100)
    assert "not an SQLite database" in findings(own_daemon.data, code=1)["database", "fail"]["found"]


def test_doctor__settings_port_and_agent(own_daemon, tmp_path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        found = findings(tmp_path, code=1, env={
            "AUTOMATION_SERVER_PORT": str(port), "AUTOMATION_SERVER_PROT": "1",
            "AUTOMATION_AGENT_SERVER_URL": "http://127.0.0.1:1"})  # fmt: skip
    assert "PROT is not a setting" in found["settings", "warn"]["found"]
    assert str(port) in found["port", "fail"]["found"]
    assert ("agent", "fail") in found
    wrong = findings(tmp_path, code=1, env={"AUTOMATION_SERVER_PORT": "x"})
    assert "AUTOMATION_SERVER_PORT" in wrong["settings", "fail"]["found"]


def test_doctor__agent_that_died_and_another_daemon(own_daemon):
    url, key = own_daemon.url(), own_daemon.key()
    found = json.loads(call("doctor", "--url", url, "--api-key", key, "--json").stdout)
    assert [one["check"] for one in found] == ["daemon"] and found[0]["level"] == "ok"
    call("doctor", "--url", url, "--api-key", "wrong" * 5, code=1)
    own_daemon.process.send_signal(signal.SIGSTOP)  # it cannot start another
    try:
        pid = json.loads((own_daemon.data / "agent.json").read_text())["pid"]
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
    finally:
        own_daemon.process.send_signal(signal.SIGCONT)
    wait_until(lambda: findings_any(own_daemon.data), lambda f: ("agent", "ok") in f, seconds=20)


def findings_any(data):
    done = subprocess.run([PROGRAM, "doctor", "--data", str(data), "--json"], capture_output=True, text=True,
                          timeout=60, env=clean_environment())  # fmt: skip
    return {(one["check"], one["level"]): one for one in json.loads(done.stdout)}


# ---- config --------------------------------------------------------------------------------------


def test_config__value_default_and_origin_and_no_secret():
    env = {"AUTOMATION_LOCAL_API_KEY": "hush hush hush hush", "automation_lease_seconds": "9",
           "AUTOMATION_SERVER_PROT": "1", "AUTOMATION_URL": "http://x", "AUTOMATION_API_KEY": "y"}  # fmt: skip
    done = call("config", "--json", "--port=8123", "--data", "/tmp/x", env=env)
    assert "hush" not in done.stdout and "hush" not in done.stderr
    assert done.stderr.count("is not a setting") == 1 and "AUTOMATION_SERVER_PROT" in done.stderr
    all_of_it = json.loads(done.stdout)
    rows = {row["name"]: row for row in all_of_it["settings"]}
    assert rows["AUTOMATION_SERVER_PORT"] | {"help": ""} == {
        "name": "AUTOMATION_SERVER_PORT", "value": 8123, "default": 8000, "secret": False, "origin": "flag",
        "from": "--port", "help": ""}  # fmt: skip
    assert rows["AUTOMATION_LEASE_SECONDS"]["from"] == "automation_lease_seconds"
    assert rows["AUTOMATION_LOCAL_API_KEY"]["value"] == "(set)" and rows["AUTOMATION_HOST"]["origin"] == "default"
    assert all_of_it["data"] == "/tmp/x" and all_of_it["database"] == "/tmp/x/automation.db"
    text = call("config", "--show-origin", env=env).stdout
    assert re.search(r"^AUTOMATION_LOCAL_API_KEY +\(set\) +- +environment AUTOMATION_LOCAL_API_KEY", text, re.M)
    assert " ORIGIN" not in call("config").stdout


def test_config__says_what_serve_would_refuse():
    assert "--port" in call("config", "--port", "x", code=2).stderr
    assert "unknown option" in call("config", "--wat", "x", code=2).stderr


# ---- backup --------------------------------------------------------------------------------------


def test_backup__is_whole_while_the_daemon_runs_and_can_be_gone_back_to(own_daemon, tmp_path):
    own_daemon.create("kept", HELLO)
    file = tmp_path / "copy.db"
    assert "checked" in own_daemon("backup", file).stderr
    assert file.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(file) as copy:
        assert copy.execute("SELECT name FROM automation").fetchall() == [("kept",)]
    assert "overwrites nothing" in own_daemon("backup", file, code=1).stderr
    own_daemon.create("later", HELLO)
    own_daemon.stop()
    for left in own_daemon.data.glob("automation.db*"):
        left.unlink()
    shutil.copy(file, own_daemon.data / "automation.db")
    own_daemon.start()
    assert [a["name"] for a in own_daemon.json("list")["automations"]] == ["kept"]


def test_backup__without_a_database_or_a_folder(tmp_path):
    assert "no database" in call("backup", tmp_path / "x", "--data", tmp_path, code=1).stderr
    assert "FILE is missing" in call("backup", code=2).stderr


# ---- help, manual, completions -------------------------------------------------------------------


def test_help__every_command_is_described_and_its_options_are_taken():
    for command in commands():
        usage = call("help", command).stdout
        assert usage.startswith(f"Usage: automation {command}")
        assert call(command, "--help").stdout == usage
    # the hand-written ones: each option of the help is known, it is the next one that is not
    for command in ("serve", "agent", "config", "next"):
        for _, option in options(command):
            done = subprocess.run([PROGRAM, command, option, "1", "--no-such-option", "1"], capture_output=True, text=True,
                                  timeout=30, env=clean_environment())  # fmt: skip
            assert done.returncode == 2, done.stderr
            assert f"unknown option {option}" not in done.stderr and f"unknown option '{option}'" not in done.stderr


def test_manual__has_every_command_and_option():
    page = call("help", "--man").stdout
    assert page.count("\n.SS ") == len(commands())
    for command in commands():
        heading = command.replace("-", "\\-")
        section = page.partition(f"\n.SS {heading}\n")[2].partition("\n.SS ")[0]
        assert section, command
        for letter, option in options(command):
            assert "\\fB" + option.replace("-", "\\-") + "\\fR" in section, (command, option)
            assert not letter or f"\\fB\\-{letter}\\fR" in section
    assert "AUTOMATION_SERVER_PORT" in page


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff")
def test_manual__is_clean_roff():
    page = call("help", "--man").stdout
    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z"], input=page, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion__has_every_command_and_option(shell, tmp_path):
    text = call("completion", shell).stdout
    for command in commands():
        assert re.search(rf"\b{command}\b", text)
        for _, option in options(command):
            if shell == "fish":
                assert f"'__fish_seen_subcommand_from {command}' -l {option[2:]} " in text
            else:
                part = re.search(rf"^\t{command}\)\n(.*?)^\t\t;;\n", text, re.M | re.S).group(1)
                assert option in part, (command, option)
    if shutil.which(shell):
        (tmp_path / "file").write_text(text)
        done = subprocess.run([shell, "-n", str(tmp_path / "file")], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and done.stderr == ""


def complete(*words):
    """What bash offers for the last word."""
    script = call("completion", "bash").stdout + """
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _automation; printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, timeout=30,
                          cwd=ROOT)  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_completion__bash_offers_what_fits():
    assert complete("automation", "cr") == ["create"]
    assert complete("automation", "create", "--sch") == ["--schedule"]
    assert complete("automation", "create", "x", "--dir", "examples/py") == ["examples/python-setup"]
    assert complete("automation", "create", "x", "--script", "READ") == ["README.md"]
    assert complete("automation", "list", "--color", "a") == ["auto", "always"]
    assert complete("automation", "serve", "--log-level", "d") == ["debug"]
    assert complete("automation", "completion", "") == ["bash", "zsh", "fish"]
    assert "doctor" in complete("automation", "help", "d")
    assert complete("automation", "backup", "READ") == ["README.md"]
    assert complete("automation", "create", "x", "--timeout", "") == []


def in_shell(shell, daemon, *words, program=PROGRAM):
    """What that shell offers for the last word, with the daemon's folder named on the line."""
    line = [program, words[0], "--data", str(daemon.data), *words[1:]]
    if shell == "bash":
        script = call("completion", "bash").stdout + """
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _automation; printf '%s\\n' "${COMPREPLY[@]}"
"""
        argv = ["bash", "-c", script, "bash", *line]
    elif shell == "zsh":
        # without a terminal: the two functions of zsh that would show what is offered, print it
        script = call("completion", "zsh").stdout.replace('\n_automation "$@"\n', "\n") + """
_describe() { print -rl -- "${(@P)2}" }
_arguments() { eval "${${argv[-1]#1:name:}}" }
words=("$@"); CURRENT=$#; _automation
"""
        argv = ["zsh", "-f", "-c", script, "zsh", *line]
    else:
        text = " ".join(shlex.quote(word) for word in line[:-1]) + " " + line[-1]
        argv = ["fish", "--no-config", "-c", f"{call('completion', 'fish').stdout}\ncomplete -C {shlex.quote(text)}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env=clean_environment(HOME=str(daemon.folder)))
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion__offers_names_and_runs_of_the_daemon(own_daemon, shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    own_daemon.create("nightly", HELLO)
    own_daemon.create("my: own", HELLO)
    own_daemon.create("waits", f"#!/bin/sh\nread -r word <{gate}\n")
    ended = own_daemon.json("run", "nightly")["id"]
    wait_until(lambda: own_daemon.json("show", ended)["status"], lambda s: s == "COMPLETED")
    live = own_daemon.json("run", "waits")["id"]
    quoted = {"bash": "my:\\ own", "zsh": "my\\: own"}.get(shell, "my: own")
    names = in_shell(shell, own_daemon, "run", "")
    assert sorted(names) == sorted(["nightly", quoted, "waits"])
    offered = in_shell(shell, own_daemon, "logs", "")
    assert any(ended in word for word in offered) and any(live in word for word in offered) and "nightly" in offered
    offered = in_shell(shell, own_daemon, "cancel", "")
    assert len(offered) == 1 and live in offered[0]
    own_daemon("cancel", live)
    # silent and quick where nobody answers
    own_daemon.stop()
    began = time.monotonic()
    assert in_shell(shell, own_daemon, "run", "") == []
    assert time.monotonic() - began < 10


def test_completion__gives_up_on_a_daemon_that_hangs():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        done = call("completion", "words", "names", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}", "--api-key", "x")
        assert (done.stdout, done.stderr) == ("", "")
        assert time.monotonic() - began < 5


def test_completion__of_another_shell_is_refused():
    assert "bash, zsh or fish" in call("completion", "csh", code=2).stderr
    assert "bash, zsh or fish" in call("completion", code=2).stderr


# ---- installation --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    into = tmp_path_factory.mktemp("dest")
    build = os.path.dirname(PROGRAM)
    make(f"B={build}", f"DESTDIR={into}", "PREFIX=/usr", "install")
    return into


def make(*args):
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "--no-print-directory", *args], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, env=env)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


INSTALLED = [
    "usr/bin/automation",
    "usr/lib/systemd/system/automation.service",
    "usr/lib/systemd/user/automation.service",
    "usr/lib/sysusers.d/automation.conf",
    "usr/share/bash-completion/completions/automation",
    "usr/share/fish/vendor_completions.d/automation.fish",
    "usr/share/man/man1/automation.1",
    "usr/share/zsh/site-functions/_automation",
]


def test_install__puts_every_file_in_its_place(installed):
    assert files(installed) == INSTALLED
    done = subprocess.run([installed / "usr/bin/automation", "--version"], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("automation ")
    assert (installed / "usr/share/man/man1/automation.1").read_text() == call("help", "--man").stdout
    for unit in ("system", "user"):
        text = (installed / f"usr/lib/systemd/{unit}/automation.service").read_text()
        assert "ExecStart=/usr/bin/automation serve" in text and "Type=notify" in text and "@" not in re.sub(
            "=@system-service|automation@", "", text)  # fmt: skip


def test_install__and_uninstall_leaves_nothing(installed, tmp_path):
    shutil.copytree(installed, tmp_path / "dest")
    make(f"B={os.path.dirname(PROGRAM)}", f"DESTDIR={tmp_path}/dest", "PREFIX=/usr", "uninstall")
    assert files(tmp_path / "dest") == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
@pytest.mark.parametrize("unit", ["system", "user"])
def test_install__units_are_understood(installed, tmp_path, unit):
    # with the program where the unit wants it
    text = (installed / f"usr/lib/systemd/{unit}/automation.service").read_text()
    path = tmp_path / "automation.service"
    path.write_text(text.replace("/usr/bin/automation", PROGRAM).replace("Documentation=man:automation(1)\n", ""))
    args = ["--user"] if unit == "user" else []
    done = subprocess.run(["systemd-analyze", "verify", *args, str(path)], capture_output=True, text=True, timeout=60,
                          env=clean_environment(XDG_RUNTIME_DIR=str(tmp_path)))  # fmt: skip
    if "Failed to initialize manager" in done.stderr or "Failed to lookup" in done.stderr:
        pytest.skip("no manager here: " + done.stderr.strip())
    assert done.returncode == 0 and str(path) not in done.stderr, done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_install__system_unit_is_hardened(installed):
    unit = installed / "usr/lib/systemd/system/automation.service"
    args = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    if subprocess.run(args, capture_output=True, text=True, timeout=60).returncode != 0:
        pytest.skip("this systemd cannot judge a file")
    # 10 is open to everything; what is left is what runs need: the network, /tmp, their own programs
    done = subprocess.run([*args, "--threshold=25"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-200:]
