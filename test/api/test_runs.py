# SPDX-License-Identifier: MIT
"""Section 7 and the real path: upload, create, dispatch, output, end; callback, phase, cancel."""

import json
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from conftest import NEVER, PREFIX, TERMINAL, Api, until

FIELDS = {
    "id", "automation_id", "status", "trigger_source", "error_detail", "status_detail", "current_phase",
    "conversation_id", "cost", "timeout_at", "sandbox_id", "bash_command_id",
    "observability_associations", "run_metadata", "resolved_runtime", "created_at", "started_at",
    "completed_at",
}


def start(api, script, **fields):
    automation = api.create(script, **fields)
    return automation, api.dispatch(automation["id"])


# ---- the real path -------------------------------------------------------------------------------


def test_run__dispatch_runs_the_script_and_keeps_its_output(api):
    automation, run = start(api, "echo hello $((40 + 2)); echo oops >&2")
    assert FIELDS <= set(run)
    assert (run["status"], run["trigger_source"]) == ("PENDING", "manual")
    assert run["automation_id"] == automation["id"]
    assert run["started_at"] is None and run["completed_at"] is None
    ended = api.ended(run["id"])
    assert ended["status"] == "COMPLETED", ended
    assert ended["error_detail"] is None and ended["status_detail"] is None
    assert ended["started_at"] <= ended["completed_at"]
    output = api.output(run["id"])
    assert "hello 42\n" in output and "oops\n" in output
    assert api.get("/v1/" + automation["id"]).json()["last_triggered_at"]


@pytest.mark.parametrize("code", [1, 2, 42, 255])
def test_run__other_exit_code_is_failed_and_named(api, code):
    _, run = start(api, f"echo before; exit {code}")
    ended = api.ended(run["id"])
    assert ended["status"] == "FAILED"
    assert f"exit_code={code}" in ended["error_detail"]
    assert ended["status_detail"]["kind"] == "execution_error"
    assert "before" in api.output(run["id"])


def test_run__environment_and_folder_are_as_the_contract_says(api):
    automation, run = start(api, 'env; echo "pwd=$PWD"; cat "$0" >/dev/null', name="it's \"quoted\" $HOME")
    assert api.ended(run["id"])["status"] == "COMPLETED"
    output = api.output(run["id"])
    lines = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    assert lines["AUTOMATION_ID"] == automation["id"]
    assert lines["AUTOMATION_RUN_ID"] == run["id"]
    assert lines["AUTOMATION_NAME"] == "it's \"quoted\" $HOME"
    assert lines["AUTOMATION_TRIGGER_TYPE"] == "cron"
    assert lines["AUTOMATION_TRIGGER_SOURCE"] == "manual"
    assert lines["AUTOMATION_CALLBACK_URL"] == f"{lines['AUTOMATION_API_URL']}/v1/runs/{run['id']}/complete"
    assert lines["WORKSPACE_BASE"].endswith(f"/automation-runs/{run['id']}")
    assert lines["pwd"] == lines["WORKSPACE_BASE"]
    payload = json.loads(lines["AUTOMATION_EVENT_PAYLOAD"])
    assert payload["trigger"] == "cron"
    assert payload["automation_id"] == automation["id"]
    assert "event" not in payload


def test_run__reports_phase_and_completion_by_itself(api):
    script = """
    call() { curl -sS --fail -X POST -H "Authorization: Bearer $AUTOMATION_CALLBACK_API_KEY" \
             -H 'Content-Type: application/json' -d "$2" "$1" >/dev/null; }
    call "$AUTOMATION_PHASE_URL" '{"phase":"half way"}'
    call "$AUTOMATION_CALLBACK_URL" '{"status":"COMPLETED","cost":0.25,"conversation_id":"c1"}'
    exit 7
    """
    _, run = start(api, script)
    ended = api.ended(run["id"])
    # the callback decides, whatever the exit code says
    assert (ended["status"], ended["cost"], ended["conversation_id"]) == ("COMPLETED", 0.25, "c1")
    assert ended["current_phase"] == "half way"


def test_run__its_key_opens_nothing_but_its_own_report(api):
    _, run = start(api, 'echo "key=$AUTOMATION_CALLBACK_API_KEY"; exec sleep 300')
    _, other = start(api, "exec sleep 300")
    text = until(lambda: api.logs(run["id"], after=0, limit=1000)["data"], lambda data: "\n" in data, 20, "its key")
    token = text.split("key=", 1)[1].split()[0]
    mine = Api(api.url, token)
    assert token and token != api.key
    for method, path in [("GET", "/v1"), ("GET", f"/v1/runs/{run['id']}"), ("POST", f"/v1/runs/{run['id']}/cancel"),
                         ("POST", f"/v1/runs/{other['id']}/complete"), ("POST", f"/v1/runs/{other['id']}/phase"),
                         ("POST", f"/v1/runs/{uuid.uuid4()}/complete")]:  # fmt: skip
        assert mine.call(method, path, json={"status": "COMPLETED", "phase": "x"}).status_code == 401, (method, path)
    assert mine.post(f"/v1/runs/{run['id']}/phase", json={"phase": "mine"}).status_code == 200
    assert api.get(f"/v1/runs/{run['id']}").json()["current_phase"] == "mine"
    assert mine.post(f"/v1/runs/{run['id']}/complete", json={"status": "COMPLETED"}).status_code == 200
    assert api.ended(run["id"])["status"] == "COMPLETED"
    api.post(f"/v1/runs/{other['id']}/cancel")


def test_run__big_output_keeps_the_newest_part(api):
    _, run = start(api, "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end")
    assert api.ended(run["id"], 60)["status"] == "COMPLETED"
    last = until(lambda: api.logs(run["id"], after=0, limit=1048576), lambda l: l["total"] >= 3000009, 60,
                 "whole output")
    assert last["truncated"] is True
    text, after = "", 0
    while True:
        part = api.logs(run["id"], after=after, limit=1048576)
        text += part["data"]
        if part["next"] >= part["total"]:
            break
        assert part["next"] > after
        after = part["next"]
    assert text.endswith("x\nthe end\n")
    assert len(text) >= 1000000


def test_run__schedule_of_every_second_fires_by_itself(api):
    automation = api.create("echo tick", trigger={"type": "cron", "schedule": "* * * * * *"})
    path = f"/v1/{automation['id']}/runs"
    runs = until(lambda: api.get(path).json(),
                 lambda r: r["status_counts"].get("COMPLETED", 0) >= 3, 30, "three fires")
    assert api.patch("/v1/" + automation["id"], json={"enabled": False}).status_code == 200
    assert {r["trigger_source"] for r in runs["runs"]} == {"cron"}
    assert api.get("/v1/" + automation["id"]).json()["last_triggered_at"]


def test_run__timeout_fails_it(api, gate):
    _, run = start(api, f"echo waiting; {gate.wait}", timeout=1)
    ended = api.ended(run["id"], 40)
    assert ended["status"] == "FAILED"
    assert ended["error_detail"].startswith("Timed out: ")


def test_run__many_at_once_all_end_with_their_own_output(api):
    automation = api.create("echo run $AUTOMATION_RUN_ID")
    with ThreadPoolExecutor(20) as pool:
        ids = list(pool.map(lambda _: Api(api.url, api.key).dispatch(automation["id"])["id"], range(60)))
    assert len(set(ids)) == 60
    path = f"/v1/{automation['id']}/runs"
    until(lambda: api.get(path).json()["status_counts"], lambda c: c == {"COMPLETED": 60}, 120,
          "60 completed runs")
    for run_id in ids:
        assert api.output(run_id) == f"run {run_id}\n"


def test_request__of_a_client_that_has_gone_is_carried_out_all_the_same(api):
    name = f"gone {uuid.uuid4()}"
    where = urlsplit(api.url)
    body = json.dumps({"name": name, "entrypoint": "sh x", "trigger": NEVER,
                       "tarball_path": "https://example.com/x"}).encode()
    head = (f"POST {PREFIX}/v1 HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {api.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    with socket.create_connection((where.hostname, where.port)) as client:
        client.sendall(head + body)
    until(lambda: api.get("/v1", params={"name": name}).json()["total"], lambda n: n == 1, 10,
          "the automation of the client that left")


# ---- dispatch and trigger ------------------------------------------------------------------------


def test_dispatch__ignores_a_body_and_works_while_inactive(api):
    automation = api.create("echo x", enabled=False)
    reply = api.post(f"/v1/{automation['id']}/dispatch", data="no json")
    assert reply.status_code == 201
    assert api.ended(reply.json()["id"])["status"] == "COMPLETED"


def test_dispatch__unknown_id_is_404(api):
    assert api.post(f"/v1/{uuid.uuid4()}/dispatch").status_code == 404


def test_trigger__input_reaches_the_run_as_event(api):
    automation = api.create('printf "%s\\n" "$AUTOMATION_EVENT_PAYLOAD"')
    value = {"n": 1, "text": "a'b\n\"c\" $x 🌍", "list": [None, True]}
    reply = api.post(f"/v1/{automation['id']}/trigger", json={"input": value})
    assert reply.status_code == 201, reply.text
    run = reply.json()
    assert run["trigger_source"] == "manual"
    assert api.ended(run["id"])["status"] == "COMPLETED"
    assert json.loads(api.output(run["id"]))["event"] == value


def test_trigger__body_is_optional(api):
    automation = api.create("echo x")
    run = api.post(f"/v1/{automation['id']}/trigger").json()
    assert api.ended(run["id"])["status"] == "COMPLETED"


def test_trigger__dedupe_key_is_honoured_or_honestly_refused(api):
    automation = api.create("echo x")
    path = f"/v1/{automation['id']}/trigger"
    reply = api.post(path, json={"dedupe_key": "k"})
    if reply.status_code == 422:
        assert "dedupe_key" in reply.json()["detail"]
        assert api.get(f"/v1/{automation['id']}/runs").json()["total"] == 0
        return
    first = reply.json()
    assert api.post(path, json={"dedupe_key": "k"}).json()["id"] == first["id"]
    assert api.post(path, json={"dedupe_key": "other"}).json()["id"] != first["id"]


def test_trigger__delay_holds_it_back(api):
    automation = api.create("echo x")
    run = api.post(f"/v1/{automation['id']}/trigger", json={"delay": 3600}).json()
    assert run["status"] == "PENDING"
    other = api.dispatch(automation["id"])
    assert api.ended(other["id"])["status"] == "COMPLETED"
    assert api.run(run["id"])["status"] == "PENDING"
    assert api.post(f"/v1/runs/{run['id']}/cancel").status_code == 200


@pytest.mark.parametrize("body, name", [
    ({"dedupe_key": 1}, "dedupe_key"), ({"dedupe_key": ""}, "dedupe_key"),
    ({"dedupe_key": "x" * 256}, "dedupe_key"), ({"delay": -1}, "delay"), ({"delay": "x"}, "delay"),
    ({"delay": 31536001}, "delay"), ({"other": 1}, "other")])
def test_trigger__fields_are_checked(api, body, name):
    automation = api.create("echo x")
    reply = api.post(f"/v1/{automation['id']}/trigger", json=body)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["body", name]


# ---- lists ---------------------------------------------------------------------------------------


def test_runs__list_counts_by_status_and_pages_newest_first(api):
    automation = api.create("echo x")
    ids = [api.dispatch(automation["id"])["id"] for _ in range(3)]
    for run_id in ids:
        api.ended(run_id)
    path = f"/v1/{automation['id']}/runs"
    whole = api.get(path).json()
    assert set(whole) == {"runs", "total", "status_counts", "next_cursor"}
    assert [r["id"] for r in whole["runs"]] == ids[::-1]
    assert (whole["total"], whole["status_counts"]) == (3, {"COMPLETED": 3})
    page = api.get(path, params={"limit": 1, "offset": 1}).json()
    assert [r["id"] for r in page["runs"]] == [ids[1]]
    assert page["total"] == 3


def test_runs__list_of_an_unknown_automation_is_404(api):
    assert api.get(f"/v1/{uuid.uuid4()}/runs").status_code == 404


def test_runs__all_of_them_name_their_automation(api):
    automation, run = start(api, "echo x")
    found = [r for r in api.get("/v1/all-runs", params={"limit": 100}).json()["runs"]
             if r["id"] == run["id"]]
    assert found and found[0]["automation_name"] == automation["name"]


def test_runs__one_by_id(api):
    _, run = start(api, "echo x")
    assert api.run(run["id"])["id"] == run["id"]
    assert api.get(f"/v1/runs/{uuid.uuid4()}").status_code == 404
    reply = api.get("/v1/runs/xyz")
    assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, ["path", "run_id"])


# ---- output --------------------------------------------------------------------------------------


def test_logs__read_in_parts(api):
    _, run = start(api, "echo 0123456789")
    assert api.output(run["id"]) == "0123456789\n"
    part = api.logs(run["id"], after=4)
    assert (part["after"], part["next"], part["total"], part["data"]) == (4, 11, 11, "456789\n")
    assert api.logs(run["id"], after=11)["data"] == ""


def test_logs__bad_bytes_become_replacement_characters(api):
    _, run = start(api, r"printf 'a\377\000b\303\244\n'")
    assert api.output(run["id"]) == "a\ufffd\ufffdbä\n"


@pytest.mark.parametrize("params", [{"after": "-1"}, {"after": "x"}, {"limit": "0"},
                                    {"limit": "1048577"}, {"follow": "maybe"}])
def test_logs__parameters_are_checked(api, params):
    reply = api.get(f"/v1/runs/{uuid.uuid4()}/logs", params=params)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", list(params)[0]]


def test_logs__of_an_unknown_run_are_404(api):
    assert api.get(f"/v1/runs/{uuid.uuid4()}/logs").status_code == 404
    assert api.get(f"/v1/runs/{uuid.uuid4()}/logs", params={"follow": "true"}).status_code == 404


# ---- callback ------------------------------------------------------------------------------------


def waiting(api, gate):
    automation, run = start(api, f"echo waiting; {gate.wait}; echo done")
    api.prints(run["id"], "waiting")
    return run


def test_complete__ends_a_running_run(api, gate):
    run = waiting(api, gate)
    reply = api.post(f"/v1/runs/{run['id']}/complete",
                     json={"status": "COMPLETED", "run_id": "ignored", "cost": 1.5,
                           "conversation_id": "abc", "task_outcome": {}, "blocking_factor": {}})
    assert reply.status_code == 200, reply.text
    ended = reply.json()
    assert (ended["status"], ended["cost"], ended["conversation_id"]) == ("COMPLETED", 1.5, "abc")
    assert ended["completed_at"]
    again = api.post(f"/v1/runs/{run['id']}/complete", json={"status": "FAILED"})
    assert again.status_code == 409
    assert "COMPLETED" in again.json()["detail"] and "RUNNING" in again.json()["detail"]


def test_complete__failure_keeps_the_error(api, gate):
    run = waiting(api, gate)
    ended = api.post(f"/v1/runs/{run['id']}/complete",
                     json={"status": "FAILED", "error": {"code": "X", "detail": "bad"}}).json()
    assert ended["status"] == "FAILED"
    assert ended["error_detail"].startswith("X: bad")
    assert ended["status_detail"]["phase"] == "callback"


def test_complete__of_a_pending_run_is_409(api):
    automation = api.create("echo x")
    run = api.post(f"/v1/{automation['id']}/trigger", json={"delay": 3600}).json()
    assert api.post(f"/v1/runs/{run['id']}/complete", json={"status": "COMPLETED"}).status_code == 409
    api.post(f"/v1/runs/{run['id']}/cancel")


@pytest.mark.parametrize("body", [{}, {"status": "DONE"}, {"status": "COMPLETED", "x": 1},
                                  {"status": "COMPLETED", "cost": "much"}])
def test_complete__bodies_are_checked(api, body):
    reply = api.post(f"/v1/runs/{uuid.uuid4()}/complete", json=body)
    assert reply.status_code == 422
    assert isinstance(reply.json()["detail"], list)


def test_complete__unknown_run_is_404(api):
    path = f"/v1/runs/{uuid.uuid4()}/complete"
    assert api.post(path, json={"status": "COMPLETED"}).status_code == 404


# ---- phase ---------------------------------------------------------------------------------------


def test_phase__is_cleaned_and_kept(api, gate):
    run = waiting(api, gate)
    reply = api.post(f"/v1/runs/{run['id']}/phase", json={"phase": "  Working\n\ton\x07 it  "})
    assert reply.status_code == 200, reply.text
    assert reply.json()["current_phase"] == "Working on it"
    gate.open()
    assert api.ended(run["id"])["current_phase"] == "Working on it"
    assert api.post(f"/v1/runs/{run['id']}/phase", json={"phase": "x"}).status_code == 409


@pytest.mark.parametrize("body", [{}, {"phase": " "}, {"phase": "x" * 201}, {"phase": 1},
                                  {"phase": "x", "y": 1}])
def test_phase__bodies_are_checked(api, body):
    reply = api.post(f"/v1/runs/{uuid.uuid4()}/phase", json=body)
    assert reply.status_code == 422


# ---- cancel --------------------------------------------------------------------------------------


def test_cancel__running_run(api, gate):
    run = waiting(api, gate)
    reply = api.post(f"/v1/runs/{run['id']}/cancel")
    assert reply.status_code == 200
    ended = reply.json()
    assert (ended["status"], ended["error_detail"]) == ("CANCELLED", "Cancelled by user")
    assert ended["status_detail"] is None and ended["completed_at"]
    assert api.post(f"/v1/runs/{run['id']}/cancel").status_code == 409
    complete = api.post(f"/v1/runs/{run['id']}/complete", json={"status": "COMPLETED"})
    assert complete.status_code == 409


def test_cancel__stops_the_script_itself(api, tmp_path):
    pid_file = tmp_path / "pid"
    tmp_path.chmod(0o755)
    _, run = start(api, f"sleep 600 & echo $! >{pid_file}; echo waiting; wait")
    api.prints(run["id"], "waiting")
    pid = int(pid_file.read_text())
    assert api.post(f"/v1/runs/{run['id']}/cancel").status_code == 200

    def gone():
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    until(gone, bool, 20, "end of the script's processes")


def test_cancel__pending_run_never_starts(api, tmp_path):
    automation = api.create("echo x")
    run = api.post(f"/v1/{automation['id']}/trigger", json={"delay": 3600}).json()
    reply = api.post(f"/v1/runs/{run['id']}/cancel")
    assert (reply.status_code, reply.json()["status"]) == (200, "CANCELLED")
    assert reply.json()["started_at"] is None


def test_delete__skips_what_waits_and_lets_what_runs_go_on(api, gate):
    automation, run = start(api, f"echo waiting; {gate.wait}")
    api.prints(run["id"], "waiting")
    held = api.post(f"/v1/{automation['id']}/trigger", json={"delay": 3600}).json()
    assert api.delete("/v1/" + automation["id"]).status_code == 204
    gate.open()
    assert held["status"] == "PENDING"
    # the automation is gone, and its runs with it
    assert api.get(f"/v1/runs/{held['id']}").status_code in (200, 404)


def test_disable__skips_waiting_runs_that_are_not_manual(api):
    automation = api.create("echo x", trigger=NEVER)
    run = api.post(f"/v1/{automation['id']}/trigger", json={"delay": 3600}).json()
    api.patch("/v1/" + automation["id"], json={"enabled": False})
    assert api.run(run["id"])["status"] == "PENDING"
    api.post(f"/v1/runs/{run['id']}/cancel")
    assert api.run(run["id"])["status"] in TERMINAL
