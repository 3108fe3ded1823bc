# SPDX-License-Identifier: MIT
"""The embedded agent as a process: folder, lock, end, linger, restart."""
import json
import os
import signal
import stat
import subprocess
import time

import pytest
import requests

from conftest import COMMAND, DEADLINE_S, wait_until


def run(*options, **more):
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=DEADLINE_S, **more)


def test_state_file_tells_url_key_and_pid_privately(agents):
    agent = agents()
    path = agent.data / "agent.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    state = json.loads(path.read_text())
    assert list(state) == ["url", "key", "pid", "started_at"]
    assert state["pid"] == agent.process.pid
    assert len(bytes.fromhex(state["key"])) == 32
    assert state["url"].startswith("http://127.0.0.1:")
    assert agent.end() == 0
    assert not path.exists()


def test_second_agent_on_the_folder_names_the_first(agents):
    agent = agents()
    second = run("--data", str(agent.data))
    assert second.returncode == 3
    assert f"pid {agent.process.pid}" in second.stderr
    assert agent.get("/alive").status_code == 200
    agent.end(signal.SIGKILL)
    third = agents(data=agent.data)  # a lock dies with its process
    assert third.state["pid"] != agent.state["pid"]


def test_key_from_file_or_option_is_used(agents, tmp_path):
    (tmp_path / "key").write_text("secret one\nrest\n")
    assert agents("--key-file", str(tmp_path / "key")).key == "secret one"
    agent = agents("--key", "two", "--json-file", str(tmp_path / "elsewhere.json"), data=prepared(tmp_path))
    assert agent.key == "two"


def prepared(tmp_path):
    """A folder whose agent.json is a link to the other place, so that the fixture finds it."""
    folder = tmp_path / "linked"
    folder.mkdir()
    (folder / "agent.json").symlink_to(tmp_path / "elsewhere.json")
    return folder


@pytest.mark.parametrize(
    "options",
    [["--what"], ["--port", "70000"], ["--port"], ["--no-key", "--host", "0.0.0.0"], ["--fault", "x"],
     ["--fault", "upload:200"], ["--linger", "soon"], ["--key", ""], ["--key-file", "/nonexistent"]],
)
def test_wrong_usage_is_told(options):
    done = run(*options)
    assert done.returncode == 2
    assert done.stderr.startswith("automation: ") and done.stderr.count("\n") == 1


def test_busy_port_is_told(agents):
    port = agents().url.rsplit(":", 1)[1]
    done = run("--port", port)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr


def test_sigterm_ends_at_once_and_leaves_commands(agents, tmp_path):
    agent = agents()
    agent.start(f"trap : PIPE; echo $$ >{tmp_path}/p; mv {tmp_path}/p {tmp_path}/pid; "
                f"read x <{tmp_path}/go; : >{tmp_path}/finished")
    os.mkfifo(tmp_path / "go")
    wait_until((tmp_path / "pid").exists)
    begin = time.monotonic()
    assert agent.end() == 0
    assert time.monotonic() - begin < 1
    wait_until(lambda: open_fifo(tmp_path / "go"))
    wait_until((tmp_path / "finished").exists)


def open_fifo(path):
    """Write to a fifo once somebody reads it."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    os.write(fd, b"\n")
    os.close(fd)
    return True


def test_kill_on_exit_ends_commands_even_deaf_ones(agents, tmp_path):
    agent = agents("--kill-on-exit")
    agent.start(f'trap "" TERM; echo $$ >{tmp_path}/p; mv {tmp_path}/p {tmp_path}/pid; sleep 30; sleep 30')
    wait_until((tmp_path / "pid").exists)
    begin = time.monotonic()
    assert agent.end() == 0
    assert time.monotonic() - begin < 1
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not running(pid))


def running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_restarted_agent_knows_no_old_command(agents):
    agent = agents()
    command = agent.start("echo x")
    agent.ended(command)
    agent.end()
    second = agents(data=agent.data)
    assert second.get("/api/bash/bash_events/" + command).status_code == 404
    assert second.search(command_id__eq=command)["items"] == []
    assert second.stop(command).status_code == 404
    assert second.get("/server_info").json()["uptime"] < 10


def test_lingers_while_commands_run_and_ends_after(agents, tmp_path):
    agent = agents("--linger", "1")
    os.mkfifo(tmp_path / "go")
    agent.start(f"read x <{tmp_path}/go")
    begin = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        agent.process.wait(2.5)  # longer than the linger time, as the command still runs
    wait_until(lambda: open_fifo(tmp_path / "go"))
    assert agent.process.wait(DEADLINE_S) == 0
    assert time.monotonic() - begin > 3
    assert not (agent.data / "agent.json").exists()


def test_refused_requests_do_not_keep_it_alive(agents):
    agent = agents("--linger", "1")
    end = time.monotonic() + DEADLINE_S
    while agent.process.poll() is None and time.monotonic() < end:
        try:
            requests.get(agent.url + "/api/bash/bash_events/search", timeout=1)
        except requests.RequestException:
            break
    assert agent.process.wait(DEADLINE_S) == 0


def test_idle_time_ignores_polling(agents):
    agent = agents()
    wait_until(lambda: agent.get("/server_info").json()["idle_time"], lambda idle: idle >= 1)
    agent.search()
    assert agent.get("/server_info").json()["idle_time"] >= 1
    agent.execute("true")
    assert agent.get("/server_info").json()["idle_time"] == 0
