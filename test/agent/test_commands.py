# SPDX-License-Identifier: MIT
"""The embedded agent's commands: processes, ends, output, events."""
import concurrent.futures
import datetime
import os
import re
import signal
import time

import pytest

from conftest import wait_until


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


# ---- what a command is ---------------------------------------------------------------------------------


def test_start_answers_with_the_command(agent):
    reply = agent.post("/api/bash/start_bash_command", json={"command": "true", "extra": 1})
    body = reply.json()
    assert list(body) == ["command", "cwd", "timeout", "id", "timestamp", "kind"]
    assert (body["command"], body["cwd"], body["timeout"], body["kind"]) == ("true", None, 300, "BashCommand")
    assert re.fullmatch(r"[0-9a-f]{32}", body["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", body["timestamp"])
    assert agent.get("/api/bash/bash_events/" + body["id"]).json() == body
    agent.ended(body["id"])


def test_execute_gives_streams_and_exit_code(agent, tmp_path):
    body = agent.execute("echo out; echo err >&2; exit 3")
    assert list(body) == [
        "id", "timestamp", "command_id", "order", "exit_code", "stdout", "stderr", "kind",
    ]
    assert (body["order"], body["exit_code"], body["stdout"], body["stderr"]) == (0, 3, "out\n", "err\n")
    assert agent.execute("true")["stdout"] is None
    assert agent.execute("")["exit_code"] == 0
    assert agent.execute("pwd", cwd=str(tmp_path))["stdout"] == f"{tmp_path}\n"
    assert agent.execute("pwd")["stdout"] == f"{agent.data}\n"
    (agent.data / "sub").mkdir(exist_ok=True)
    assert agent.execute("pwd", cwd="sub")["stdout"] == f"{agent.data}/sub\n"


@pytest.mark.parametrize(
    "command, code",
    [
        ("exit 255", 255),
        ("nosuchcommand", 127),
        ("kill -9 $$", -9),
        ("kill -TERM $$", -15),
        ('sh -c "kill -TERM \\$\\$"; exit $?', 143),
        ("read x; echo rc=$? >&2; exit 0", 0),
    ],
)
def test_exit_codes(agent, command, code):
    assert agent.execute(command)["exit_code"] == code


def test_command_that_cannot_start_says_why(agent):
    body = agent.execute("echo x", cwd="/no/such/dir")
    assert body["exit_code"] == -1
    assert body["stderr"].startswith("Error executing command: [Errno 2] No such file or directory")
    assert "/no/such/dir" in body["stderr"]
    assert agent.execute("echo nul\0x")["stderr"] == "Error executing command: embedded null byte"


def test_process_has_its_own_session_null_input_and_pipes(agent):
    text = agent.execute(
        "echo $$ $(ps -o pgid=,sid= -p $$); readlink /proc/$$/fd/0; "
        "readlink /proc/$$/fd/1; ls /proc/$$/fd; echo direct >/dev/stdout"
    )["stdout"].split("\n")
    assert len(set(text[0].split())) == 1
    assert text[1] == "/dev/null"
    assert text[2].startswith("pipe:")
    # nothing of the agent's is inherited (10 is dash's own, if any)
    assert [fd for fd in text[3:-2] if fd not in ("0", "1", "2", "10")] == []
    assert text[-2] == "direct"


def test_environment_has_no_keys(agents):
    agent = agents(
        env={
            "SESSION_API_KEY": "k1",
            "OH_SESSION_API_KEYS_0": "k2",
            "OH_SECRET_KEY": "k3",
            "AUTOMATION_LOCAL_API_KEY": "k4",
            "AUTOMATION_SECRET_KEY": "k5",
            "KEPT": "yes",
        }
    )
    env = agent.execute("env")["stdout"]
    assert "AI_AGENT=openhands\n" in env and "KEPT=yes\n" in env
    for word in ("SESSION_API_KEY", "OH_SE", "AUTOMATION_", "=k"):
        assert word not in env
    assert agent.key not in env


@pytest.mark.parametrize(
    "timeout, ok, kind",
    [(2.0, True, ""), ("7", True, ""), (99999999999, True, ""), (1.5, False, "int_from_float"),
     (None, False, "int_type"), ("x", False, "int_parsing"), (True, False, "int_type")],
)
def test_timeout_is_an_integer_in_disguise_at_most(agent, timeout, ok, kind):
    reply = agent.post("/api/bash/execute_bash_command", json={"command": "true", "timeout": timeout})
    assert reply.status_code == (200 if ok else 422)
    if not ok:
        entry = reply.json()["detail"][0]
        assert (entry["type"], entry["loc"], entry["input"]) == (kind, ["body", "timeout"], timeout)


def test_body_errors_are_those_of_the_contract(agent):
    url = "/api/bash/start_bash_command"
    assert agent.post(url, json={"cwd": "/tmp"}).json() == {
        "detail": [
            {"type": "missing", "loc": ["body", "command"], "msg": "Field required", "input": {"cwd": "/tmp"}}
        ]
    }
    reply = agent.post(url, data=b"not json", headers={"Content-Type": "application/json"})
    assert reply.status_code == 422 and reply.json()["detail"][0]["type"] == "json_invalid"
    assert agent.post(url, json=[1]).status_code == 422
    assert agent.post(url, json={"command": 5}).status_code == 422
    assert agent.post(url, json={"command": "x", "cwd": 5}).status_code == 422
    assert agent.post(url, data=b"{}", headers={"Content-Type": "text/plain"}).status_code == 500
    big = agent.post(url, json={"command": ": " + "x" * (5 << 20)})
    assert big.status_code == 413


# ---- ends ----------------------------------------------------------------------------------------------


def test_timeout_keeps_the_output_and_gives_minus_one(agent):
    begin = time.monotonic()
    body = agent.execute("echo a; sleep 30; echo b", timeout=1)
    assert (body["exit_code"], body["stdout"]) == (-1, "a\n")
    assert 0.9 < time.monotonic() - begin < 5
    body = agent.execute('trap "echo cleanup; exit 7" TERM; while :; do sleep 0.05; done', timeout=1)
    assert (body["exit_code"], body["stdout"]) == (-1, None)


def test_timeout_kills_what_ignores_sigterm(agent):
    body = agent.execute('echo $$; trap "" TERM; sleep 30; sleep 30', timeout=1)
    assert body["exit_code"] == -1
    assert not alive(int(body["stdout"]))


def test_timeout_of_nothing_kills_at_once(agent):
    for timeout in (0, -5):
        assert agent.execute("sleep 30", timeout=timeout)["exit_code"] == -1


def test_background_child_holds_the_command_open(agent):
    begin = time.monotonic()
    body = agent.execute("sleep 1 & echo started", timeout=10)
    assert (body["exit_code"], body["stdout"]) == (0, "started\n")
    assert time.monotonic() - begin > 0.9
    begin = time.monotonic()
    agent.execute("sleep 30 >/dev/null 2>&1 & echo started", timeout=10)
    assert time.monotonic() - begin < 5


def test_background_child_survives_the_timeout(agent):
    body = agent.execute("sleep 30 & echo $!", timeout=1)
    assert body["exit_code"] == -1
    pid = int(body["stdout"])
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_stop_ends_the_group_and_answers_when_it_has(agent):
    command = agent.start("sleep 3011 & echo $! $$; wait; sleep 30", timeout=100)
    wait_until(lambda: agent.execute("ps -eo args= | grep -c '^[s]leep 3011$'")["stdout"] == "1\n")
    reply = agent.stop(command)
    assert (reply.status_code, reply.json()) == (200, {"success": True})
    end = agent.ended(command)
    assert end["exit_code"] == -15
    for pid in end["stdout"].split():
        wait_until(lambda: not alive(int(pid)))
    assert agent.stop(command).json() == {"success": True}
    assert agent.stop(end["id"]).json() == {"success": True}


def test_stop_lets_a_trap_speak_and_kills_the_deaf(agent, tmp_path):
    ready = tmp_path / "ready"
    command = agent.start(f'trap "echo cleaned; exit 9" TERM; : >{ready}; while :; do sleep 0.05; done')
    wait_until(ready.exists)
    assert agent.stop(command).status_code == 200
    end = agent.ended(command)
    assert (end["exit_code"], end["stdout"]) == (9, "cleaned\n")
    deaf = tmp_path / "deaf"
    command = agent.start(f'trap "" TERM; : >{deaf}; sleep 30; sleep 30')
    wait_until(deaf.exists)
    assert agent.stop(command).status_code == 200
    assert agent.ended(command)["exit_code"] == -9


def test_stop_takes_both_forms_of_ids_and_refuses_others(agent):
    command = agent.start("sleep 30")
    dashed = f"{command[:8]}-{command[8:12]}-{command[12:16]}-{command[16:20]}-{command[20:]}"
    assert agent.stop(dashed).status_code == 200
    assert agent.stop("0" * 32).json() == {"detail": "Not Found"}
    reply = agent.stop("xyz")
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["msg"].endswith("invalid character: found `x` at 0")
    assert reply.json()["detail"][0]["loc"] == ["path", "command_id"]


# ---- output --------------------------------------------------------------------------------------------


def test_long_output_comes_in_pieces_while_it_runs(agent, tmp_path):
    go = tmp_path / "go"
    os.mkfifo(go)
    command = agent.start(f"yes x | head -c 1200000; read x <{go}; echo end; echo E >&2", timeout=60)
    first = wait_until(lambda: agent.last(command))
    assert (first["exit_code"], first["order"], len(first["stdout"])) == (None, 0, 1048576)
    assert first["stderr"] is None
    go.write_text("\n")
    end = agent.ended(command)
    assert (end["order"], end["exit_code"], end["stderr"]) == (1, 0, "E\n")
    pieces = agent.outputs(command)
    assert [p["order"] for p in pieces] == [0, 1]
    assert "".join(p["stdout"] for p in pieces) == "x\n" * 600000 + "end\n"
    assert [p["order"] for p in agent.outputs(command, order__gt=0)] == [1]
    assert agent.outputs(command, limit=1) == pieces


def test_short_output_appears_only_at_the_end(agent, tmp_path):
    go = tmp_path / "go"
    os.mkfifo(go)
    command = agent.start(f"echo early; : >{tmp_path}/said; read x <{go}")
    wait_until((tmp_path / "said").exists)
    assert agent.search(command_id__eq=command) == {"items": [], "next_page_id": None}
    go.write_text("\n")
    assert agent.ended(command)["stdout"] == "early\n"


def test_output_is_valid_text_whatever_is_printed(agent):
    assert agent.execute(r'printf "\377\376ok\000z"')["stdout"] == "\ufffd\ufffdok\0z"
    body = agent.execute(r"head -c 65535 /dev/zero | tr '\0' a; printf '\303'; sleep 0.2; printf '\251'")
    assert body["stdout"] == "a" * 65535 + "é"
    assert agent.execute(r"printf 'x\303'")["stdout"] == "x\ufffd"
    assert agent.execute("head -c 300000 /dev/urandom >/dev/stdout")["exit_code"] == 0


def test_kept_output_is_bounded_to_the_newest(agent):
    command = agent.start("yes 0123456789abcde | head -c 50331648; echo last", timeout=60)
    end = agent.ended(command)
    assert (end["order"], end["exit_code"]) == (48, 0)
    assert end["stdout"] == "last\n"
    pieces = agent.outputs(command, limit=5)
    size = sum(len(p["stdout"]) for p in pieces)
    assert 15 << 20 <= size <= 16 << 20
    orders = [p["order"] for p in pieces]
    assert orders == list(range(orders[0], 49)) and orders[0] > 0


def test_many_commands_at_once(agent):
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        bodies = list(pool.map(lambda i: agent.execute(f"echo {i}; exit {i % 200}"), range(150)))
    for i, body in enumerate(bodies):
        assert (body["stdout"], body["exit_code"]) == (f"{i}\n", i % 200)
    ids = [agent.start(f"sleep 0.2; echo {i}") for i in range(100)]
    for i, command in enumerate(ids):
        assert agent.ended(command)["stdout"] == f"{i}\n"


# ---- search --------------------------------------------------------------------------------------------


def test_search_pages_through_all_events_in_order(agents):
    agent = agents()
    ids = [agent.start(f"echo {i}") for i in range(5)]
    for command in ids:
        agent.ended(command)
    whole = agent.search()
    assert whole["next_page_id"] is None and len(whole["items"]) == 10
    times = [item["timestamp"] for item in whole["items"]]
    assert times == sorted(times) and len(set(times)) == 10
    for order, wanted in (("TIMESTAMP", whole["items"]), ("TIMESTAMP_DESC", whole["items"][::-1])):
        seen, page = [], None
        while True:
            answer = agent.search(limit=3, sort_order=order, **({"page_id": page} if page else {}))
            seen += answer["items"]
            page = answer["next_page_id"]
            if page is None:
                break
            assert re.fullmatch(r"\d{20}_Bash(Command_|Output_[0-9a-f]{32}_)[0-9a-f]{32}", page)
        assert seen == wanted
    assert [e["id"] for e in agent.search(kind__eq="BashCommand")["items"]] == ids
    assert len(agent.search(kind__eq="BashOutput")["items"]) == 5
    assert agent.search(kind__eq="BashCommand", command_id__eq=ids[0])["items"] == []
    assert agent.search(command_id__eq="0" * 32) == {"items": [], "next_page_id": None}
    assert agent.search(page_id="nonsense", limit=1)["items"] == whole["items"][:1]
    middle = times[4]
    assert [e["timestamp"] for e in agent.search(timestamp__gte=middle)["items"]] == times[4:]
    assert [e["timestamp"] for e in agent.search(timestamp__lt=middle)["items"]] == times[:4]
    shifted = datetime.datetime.fromisoformat(middle.replace("Z", "+00:00")).astimezone(
        datetime.timezone(datetime.timedelta(hours=2))
    )
    found = agent.search(timestamp__gte=shifted.isoformat(timespec="microseconds"))["items"]
    assert [e["timestamp"] for e in found] == times[4:]


@pytest.mark.parametrize(
    "query, kind, name",
    [
        ("command_id__eq=xyz", "uuid_parsing", "command_id__eq"),
        ("kind__eq=Other", "literal_error", "kind__eq"),
        ("kind__eq=", "literal_error", "kind__eq"),
        ("limit=0", "greater_than", "limit"),
        ("limit=101", "less_than_equal", "limit"),
        ("limit=x", "int_parsing", "limit"),
        ("sort_order=timestamp", "enum", "sort_order"),
        ("timestamp__gte=2026-13-01", "datetime_from_date_parsing", "timestamp__gte"),
        ("order__gt=x", "int_parsing", "order__gt"),
    ],
)
def test_search_refuses_what_the_contract_refuses(agent, query, kind, name):
    reply = agent.get("/api/bash/bash_events/search?" + query)
    assert reply.status_code == 422
    entry = reply.json()["detail"][0]
    assert (entry["type"], entry["loc"], entry["input"]) == (kind, ["query", name], query.split("=")[1])


def test_single_events_by_plain_id_only(agent):
    command = agent.start("echo x")
    end = agent.ended(command)
    assert agent.get("/api/bash/bash_events/" + end["id"]).json() == end
    dashed = f"{command[:8]}-{command[8:12]}-{command[12:16]}-{command[16:20]}-{command[20:]}"
    for wrong in (dashed, "0" * 32, "BashOutput_x", "x" * 500):
        assert agent.get("/api/bash/bash_events/" + wrong).status_code == 404


def test_ended_commands_are_forgotten_in_order(agents):
    agent = agents("--stub-no-callback")  # commands end at once: a thousand of them are quick
    first = agent.start("first")
    second = agent.start("second")
    for i in range(999):
        agent.start(f"n{i}")
    assert agent.get("/api/bash/bash_events/" + first).status_code == 404
    assert agent.search(command_id__eq=first)["items"] == []
    assert agent.ended(second)["exit_code"] == 0
