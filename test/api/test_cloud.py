# SPDX-License-Identifier: MIT
"""The cloud backend end to end: a host, a stand-in for the cloud (test/fakes/cloud.py) and the embedded
agent behind every sandbox of it.

Runs against the daemon, and with AUT_API_HOST=extension against a worker in a cluster of its own.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid

import pytest

from conftest import BINARY, HOST, ROOT, Api, Daemon, until
from host_extension import Extension

sys.path.insert(0, os.path.join(ROOT, "test", "fakes"))

from cloud import Cloud  # noqa: E402

LOCAL_USER = str(uuid.uuid5(uuid.NAMESPACE_DNS, "openhands-local-user"))
LOCAL_ORG = str(uuid.uuid5(uuid.NAMESPACE_DNS, "openhands-local-org"))

pytestmark = pytest.mark.skipif(HOST == "url", reason="needs a host of its own settings")

# so that minutes of the contract pass in moments
FAST = {"sandbox_poll_interval": "0.2", "sandbox_provision_retry_delay": "0.2",
        "rate_limit_min_wait": "0.2", "rate_limit_max_wait": "1"}


class Agent:
    """The embedded agent, run alone."""

    def __init__(self):
        self.data = tempfile.mkdtemp(prefix="aut-cloud-agent-")
        self.process = subprocess.Popen([BINARY, "agent", "--port", "0", "--data", self.data],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, cwd="/")
        path = os.path.join(self.data, "agent.json")
        until(lambda: os.path.exists(path), bool, 20, "agent.json")
        with open(path) as f:
            state = json.load(f)
        self.url, self.key = state["url"], state["key"]

    def end(self):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.data, ignore_errors=True)


class DaemonHost:
    def __init__(self, cloud, **settings):
        env = {"AUTOMATION_SERVICE_KEY": cloud.service_key, "AUTOMATION_OPENHANDS_API_BASE_URL": cloud.url}
        for name, value in {**FAST, **settings}.items():
            env[f"AUTOMATION_{name.upper()}"] = value
        self.daemon = Daemon(env=env)

    def start(self):
        self.daemon.start()
        return self

    def api(self):
        return self.daemon.api()

    def kill(self):
        self.daemon.kill()

    def ledger(self):
        """State and sandbox of every row."""
        path = os.path.join(self.daemon.data, "automation.db")
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
            return db.execute("SELECT state, sandbox_id FROM sandbox").fetchall()

    def doctor(self):
        """What it says of sandboxes: (fine, text)."""
        run = subprocess.run([BINARY, "doctor", "--json", "--data", self.daemon.data], env=self.daemon.env,
                             capture_output=True, text=True, timeout=60)
        said = [f for f in json.loads(run.stdout) if f["check"] == "sandboxes"]
        return said[0]["level"] == "ok", said[0]["found"]

    def log(self):
        return self.daemon.log()

    def end(self):
        self.daemon.end()


class ExtensionHost:
    def __init__(self, cloud, **settings):
        self.extension = Extension(BINARY, ROOT)
        self.settings = {"agent_server_url": None, "agent_server_api_key_file": None, "workspace_base": None,
                         "openhands_api_base_url": cloud.url,
                         "service_key_file": self.extension.secret("service.key", cloud.service_key),
                         **FAST, **settings}

    def start(self):
        if not self.extension.environment:
            self.extension.start(until, **self.settings)
        return self

    def api(self):
        return Api(self.extension.url, self.extension.key)

    def worker(self):
        """The pid of the worker, or "" while there is none, or no server."""
        try:
            return self.extension.query(
                "SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'automation worker'")
        except subprocess.CalledProcessError:
            return ""

    def kill(self):
        killed = self.worker()
        os.kill(int(killed), 9)
        # the postmaster ends everything and starts it again
        until(self.worker, lambda pid: pid not in ("", killed), 60, "worker again")

        def listens():
            try:
                return self.api().get("/health", key=False).status_code == 200
            except OSError:
                return False

        until(listens, bool, 60, f"listener again; log: {self.log()[-2000:]}")

    def ledger(self):
        rows = self.extension.query("SELECT state, sandbox_id FROM automation.sandbox")
        return [tuple(row.split("|")) for row in rows.splitlines()]

    def doctor(self):
        row = self.extension.query("SELECT ok, detail FROM automation.doctor() WHERE item = 'sandboxes'")
        return row.split("|")[0] == "t", row.split("|")[1]

    def log(self):
        return self.extension.log()

    def end(self):
        self.extension.end()


@pytest.fixture(scope="module")
def agent():
    agent = Agent()
    yield agent
    agent.end()


@pytest.fixture
def cloud(agent):
    cloud = Cloud(agent.url, agent.key).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def host(cloud):
    """host(setting=value, …) gives one that runs."""
    made = []

    def make(**settings):
        kind = ExtensionHost if HOST == "extension" else DaemonHost
        made.append(kind(cloud, **settings))
        return made[-1].start()

    yield make
    for one in made:
        one.end()


def go(api, script="echo hello", **fields):
    return api.dispatch(api.create(script, **fields)["id"])["id"]


def nothing_left(host, cloud):
    until(host.ledger, lambda rows: rows == [], 30, "empty ledger")
    assert cloud.state()["alive"] == []
    assert sorted(cloud.deleted) == sorted(cloud.made)


def test_a_run_gets_a_sandbox_and_the_cloud_environment(host, cloud):
    h = host()
    api = h.api()
    run = go(api, "env; pwd; echo and out")
    assert api.ended(run)["status"] == "COMPLETED"
    output = api.output(run)
    env = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    box = cloud.made[0]
    assert env["SANDBOX_ID"] == box
    assert env["SESSION_API_KEY"].startswith("session-")
    assert env["OPENHANDS_API_KEY"] in cloud.keys
    assert env["OPENHANDS_CLOUD_API_URL"] == cloud.url
    assert "AGENT_SERVER_URL" not in env and "WORKSPACE_BASE" not in env
    assert "AUTOMATION_CALLBACK_API_KEY" not in env
    assert output.splitlines()[-2:] == [f"{cloud.folder}/{box}/project", "and out"]
    nothing_left(h, cloud)
    assert cloud.minted == 1
    # the same key for the next run of the same user; each of several dispatchers makes its own
    assert api.ended(go(api))["status"] == "COMPLETED"
    assert cloud.minted == 1 or "workers" in os.environ.get("AUT_API_SETTINGS", "")
    assert cloud.service_key not in h.log() and env["OPENHANDS_API_KEY"] not in h.log()


def failed(api, run_id):
    run = api.ended(run_id)
    assert run["status"] == "FAILED", run
    return run


def test_a_full_quota_skips_the_run_and_the_automation_stays(host, cloud):
    h = host()
    api = h.api()
    cloud.max_sandboxes = 0
    automation = api.create()
    run = api.ended(api.dispatch(automation["id"])["id"])
    assert run["status"] == "SKIPPED" and run["error_detail"] is None, run
    detail = run["status_detail"]
    assert detail["phase"] == "dispatch" and detail["kind"] == "concurrency_limit"
    assert detail["transient"] is True and detail["source"] == "sandbox_api"
    assert detail["operation"] == "get_execution_context"
    assert detail["detail"] == "You have reached your limit of sandboxes."
    cloud.max_sandboxes, cloud.daily = 5, 0
    run = api.ended(api.dispatch(automation["id"])["id"])
    assert run["status"] == "SKIPPED"
    assert run["status_detail"]["kind"] == "daily_sandbox_limit"
    assert run["status_detail"]["detail"] == "Daily sandbox limit reached"
    assert api.get(f"/v1/{automation['id']}").json()["enabled"] is True
    nothing_left(h, cloud)


def test_a_sandbox_that_does_not_start_is_replaced(host, cloud):
    h = host()
    api = h.api()
    cloud.script, cloud.detail = ["STARTING", "ERROR"], "pod-7: ImagePullBackOff at node.internal"
    run = failed(api, go(api))
    assert len(cloud.made) == 3
    detail = run["status_detail"]
    assert detail["kind"] == "environment_unavailable" and detail["transient"] is True
    assert detail["code"] == "sandbox_error" and detail["attempts"] == 3
    assert detail["sandbox_status"] == "ERROR"
    assert detail["sandbox_status_detail"] == "image_pull_error"
    assert "3 of 3 attempts" in run["error_detail"] and "node.internal" not in json.dumps(run)
    # one bad one, then a good one
    nothing_left(h, cloud)
    cloud.made.clear(), cloud.deleted.clear()
    cloud.script = ["MISSING"]
    run_id = go(api)
    until(lambda: len(cloud.made), lambda n: n == 1, 20, "first sandbox")
    cloud.script = None
    assert api.ended(run_id)["status"] == "COMPLETED"
    assert len(cloud.made) == 2
    nothing_left(h, cloud)


def test_a_sandbox_that_never_gets_ready_times_out(host, cloud):
    h = host(sandbox_ready_timeout="1", sandbox_provision_max_attempts="2")
    cloud.starting = 1 << 30
    run = failed(h.api(), go(h.api()))
    assert run["status_detail"]["code"] == "sandbox_ready_timeout"
    assert run["status_detail"]["sandbox_status"] is None and run["status_detail"]["attempts"] == 2
    assert len(cloud.made) == 2
    nothing_left(h, cloud)


def test_a_lost_sandbox_ends_its_run(host, cloud, gate):
    h = host()
    api = h.api()
    run_id = go(api, f"echo begun; {gate.wait}")
    until(lambda: len(cloud.commands), lambda n: n == 1, 20, "started command")
    cloud.control({"lose": "all"})
    run = failed(api, run_id)
    assert run["error_detail"].startswith("Timed out: ") and "MISSING" in run["error_detail"]
    assert run["status_detail"]["kind"] == "environment_unavailable"
    gate.open()
    until(h.ledger, lambda rows: rows == [], 30, "empty ledger")
    assert len(cloud.commands) == 1 and len(cloud.made) == 1


def test_one_missing_is_not_believed(host, cloud, gate):
    h = host()
    api = h.api()
    run_id = go(api, f"{gate.wait}; echo survived")
    until(lambda: len(cloud.commands), lambda n: n == 1, 20, "started command")
    box = cloud.boxes[cloud.made[0]]
    polls = box["polls"]
    box["script"] = ["MISSING", "RUNNING"]
    # a moment in which its agent cannot be reached makes the engine ask
    box["status"] = "STARTING"
    until(lambda: box["polls"], lambda n: n >= polls + 2, 30, "second question")
    gate.open()
    assert api.ended(run_id)["status"] == "COMPLETED"
    nothing_left(h, cloud)


def test_keys_are_made_again_when_they_are_refused(host, cloud):
    h = host()
    api = h.api()
    assert api.ended(go(api))["status"] == "COMPLETED"
    nothing_left(h, cloud)
    cloud.control({"revoke": True})
    assert api.ended(go(api))["status"] == "COMPLETED"
    assert cloud.minted >= 2
    nothing_left(h, cloud)
    # and a key that cannot be made is the run's end
    cloud.control({"revoke": True})
    cloud.mint = [{"status": 403, "body": {"detail": "no such organization"}}] * 5
    run = failed(api, go(api))
    assert "HTTP 403" in run["error_detail"] and "no such organization" in run["error_detail"]
    assert run["status_detail"]["operation"] == "get_execution_context"
    assert run["status_detail"]["transient"] is False
    cloud.mint = []
    nothing_left(h, cloud)


def test_rate_limits_are_waited_for(host, cloud):
    h = host()
    api = h.api()
    busy = {"status": 429, "body": {"message": "Too many requests"}, "headers": {"Retry-After": "1"}}
    cloud.create = [busy, busy, None]
    assert api.ended(go(api))["status"] == "COMPLETED"
    assert len(cloud.made) == 1
    # not for ever
    cloud.create = [{**busy, "headers": {}}] * 5
    run = failed(api, go(api))
    assert run["status_detail"]["kind"] == "rate_limited" and run["status_detail"]["status_code"] == 429
    assert cloud.create == []
    nothing_left(h, cloud)


def test_garbage_and_troubles_of_the_cloud(host, cloud):
    h = host()
    api = h.api()
    # polls that fail for a moment cost nothing but time
    cloud.poll = [{"status": 503}, {"status": 200, "body": "<html>"}, {"status": 200, "body": []},
                  {"status": 200, "body": [{"id": "somebody else's", "status": "RUNNING"}]},
                  {"drop": True}, {"status": 500, "body": "Internal Server Error"}]
    assert api.ended(go(api))["status"] == "COMPLETED"
    assert cloud.poll == []
    nothing_left(h, cloud)
    cloud.create = [{"status": 500, "body": "Internal Server Error"}]
    run = failed(api, go(api))
    assert run["status_detail"]["kind"] == "server_error" and run["status_detail"]["transient"] is True
    cloud.create = [{"status": 200, "body": {"no": "id"}}]
    assert "no id" in failed(api, go(api))["error_detail"]
    assert [state for state, _ in until(h.ledger, lambda rows: len(rows) == 1, 20, "ledger")] == ["LOST"]
    assert len(cloud.made) == 1


HUGE = "x" * 1500000
GARBAGE = ["", "{", "\x00\xff", "[" * 5000, None, True, 7, "text", [], {}, [None] * 200, [[]], [{"id": None}], [{"id": 7}],
           {"id": None}, {"id": ""}, {"id": []}, {"id": "x" * 100000}, {"id": "a/../b"}, {"key": None}, {"key": ""}, {"key": 7},
           {"key": "a\r\nX: y"}, {"items": [{}]}, HUGE]


def test_whatever_the_cloud_answers_the_service_goes_on(host, cloud):
    h = host(sandbox_provision_max_attempts="1", rate_limit_max_retries="1")
    api = h.api()
    answers = [{"status": 200, "body": body} for body in GARBAGE]
    # what is null is gone: that is no garbage, but ends a run that may not have another
    answers = [a for a in answers if a["body"] not in ([None] * 200, HUGE)]
    # twice the same sandbox, and one that says it is something else
    twice = [{"id": "a", "status": "ERROR"}] * 2
    cloud.poll = answers + [{"status": 200, "body": twice}]
    cloud.starting = 2
    run = api.ended(go(api), 90)
    assert run["status"] == "COMPLETED", run["error_detail"]
    assert cloud.poll == []
    cloud.poll = [{"status": 200, "body": HUGE}]
    assert "larger" in failed(api, go(api))["error_detail"]
    # the answer to a deletion is its code alone
    cloud.delete = [{"status": 502, "body": ["x"]}]
    assert api.ended(go(api))["status"] == "COMPLETED"
    made = len(cloud.made)
    for kind, body in [("mint", b) for b in GARBAGE] + [("create", b) for b in GARBAGE]:
        if isinstance(body, dict) and (body.get("id") or kind == "mint" and body.get("key")):
            continue  # it would do
        cloud.keys.clear()
        setattr(cloud, kind, [{"status": 200, "body": body}] * 3)
        run = api.ended(go(api), 60)
        assert run["status"] in ("FAILED", "SKIPPED", "COMPLETED"), (kind, body, run)
        setattr(cloud, kind, [])
    assert api.ended(go(api), 60)["status"] == "COMPLETED"
    until(h.ledger, lambda rows: all(state == "LOST" for state, _ in rows), 30, "only what is in doubt")
    assert cloud.state()["alive"] == [] and len(cloud.made) > made


def test_an_answer_that_is_lost_is_reported(host, cloud):
    h = host()
    api = h.api()
    cloud.create = [{"drop": True}]
    run = failed(api, go(api))
    assert run["status_detail"]["kind"] == "transport"
    assert until(h.ledger, lambda rows: len(rows) == 1 and rows[0][0] == "LOST", 20, "ledger")
    fine, text = h.doctor()
    assert not fine and "lost" in text
    listed = api.get("/v1/sandboxes").json()["sandboxes"]
    assert [(s["state"], s["count"]) for s in listed] == [("LOST", 1)]
    # it exists, and nobody can tell it from the user's own
    assert cloud.state()["alive"] == cloud.made and cloud.deleted == []


def test_deletions_are_repeated(host, cloud):
    h = host()
    api = h.api()
    cloud.delete = [{"status": 503, "body": {"detail": "still there"}}]
    assert api.ended(go(api))["status"] == "COMPLETED"
    until(lambda: cloud.deleted, lambda d: d == cloud.made, 30, "deletion")
    nothing_left(h, cloud)


def test_delayed_clean_up_pauses_first(host, cloud):
    h = host(sandbox_cleanup_delay_seconds="2")
    api = h.api()
    assert api.ended(go(api))["status"] == "COMPLETED"
    until(lambda: cloud.paused, lambda p: p == cloud.made, 20, "pause")
    assert cloud.deleted == []
    until(lambda: cloud.deleted, lambda d: d == cloud.made, 20, "deletion")
    nothing_left(h, cloud)


def test_keep_alive_keeps_the_sandbox(host, cloud):
    h = host()
    api = h.api()
    run = go(api, keep_alive=True)
    assert api.ended(run)["status"] == "COMPLETED"
    until(h.ledger, lambda rows: rows == [("KEPT", cloud.made[0])], 20, "ledger")
    assert cloud.deleted == [] and cloud.paused == []


REPORT = """python3 - <<'END'
import json, os, urllib.request
body = {"status": "COMPLETED", "run_id": os.environ["AUTOMATION_RUN_ID"], "cost": 0.5}
request = urllib.request.Request(os.environ["AUTOMATION_CALLBACK_URL"], json.dumps(body).encode(),
    {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENHANDS_API_KEY"]})
print(urllib.request.urlopen(request, timeout=10).status)
END
"""


def test_a_program_reports_with_the_users_key(host, cloud):
    h = host()
    api = h.api()
    run = api.ended(go(api, REPORT))
    assert run["status"] == "COMPLETED" and run["cost"] == 0.5, run
    nothing_left(h, cloud)


def test_a_cancelled_run_takes_its_sandbox_along(host, cloud, gate):
    h = host()
    api = h.api()
    cloud.starting = 1 << 30
    run_id = go(api)
    until(lambda: len(cloud.made), lambda n: n == 1, 20, "sandbox")
    assert api.post(f"/v1/runs/{run_id}/cancel").status_code == 200
    nothing_left(h, cloud)
    cloud.starting = 1
    run_id = go(api, f"{gate.wait}")
    until(lambda: len(cloud.commands), lambda n: n == 1, 20, "started command")
    assert api.post(f"/v1/runs/{run_id}/cancel").status_code == 200
    nothing_left(h, cloud)


def test_a_crash_on_the_way_to_a_sandbox(host, cloud):
    h = host()
    api = h.api()
    cloud.starting = 1 << 30
    runs = [go(api) for _ in range(3)]
    until(h.ledger, lambda rows: len([r for r in rows if r[0] == "STARTING"]) == 3, 20, "recorded sandboxes")
    h.kill()
    cloud.starting = 1
    api = h.start().api()
    for run in runs:
        assert api.ended(run)["status"] == "COMPLETED"
    assert len(cloud.made) == 3 and len(cloud.commands) == 3
    nothing_left(h, cloud)


def test_a_crash_while_a_creation_is_in_flight(host, cloud):
    h = host()
    api = h.api()
    cloud.create_delay = 600
    run = go(api)
    until(lambda: [c for c in cloud.calls if c[1:] == ("POST", "/api/v1/sandboxes")], bool, 20, "request")
    cloud.create_delay = 0  # of the next one
    h.kill()
    api = h.start().api()
    assert api.ended(run)["status"] == "COMPLETED"
    # the one whose answer was lost is known as such
    assert until(h.ledger, lambda rows: len(rows) == 1, 20, "ledger")[0][0] == "LOST"
    assert len(cloud.commands) == 1


def test_a_crash_while_it_runs(host, cloud, gate):
    h = host()
    api = h.api()
    run = go(api, f"echo one; {gate.wait}; echo two")
    until(lambda: api.run(run)["bash_command_id"], bool, 20, "start")
    h.kill()
    gate.open()
    api = h.start().api()
    assert api.ended(run)["status"] == "COMPLETED"
    assert api.output(run) == "one\ntwo\n"
    assert len(cloud.commands) == 1 and len(cloud.made) == 1
    nothing_left(h, cloud)


def test_output_is_not_fetched_before_somebody_wants_it(host, cloud, gate):
    h = host()
    api = h.api()
    run = go(api, f"echo early; {gate.wait}; echo late")
    until(lambda: api.run(run)["bash_command_id"], bool, 20, "start")
    assert cloud.downloads == 0
    assert api.logs(run)["data"] == ""
    gate.open()
    assert api.ended(run)["status"] == "COMPLETED"
    assert api.output(run) == "early\nlate\n"
    assert cloud.downloads > 0
    nothing_left(h, cloud)


def test_an_automation_may_wait_for_a_free_sandbox(host, cloud, gate):
    h = host()
    api = h.api()
    cloud.max_sandboxes = 1
    first = go(api, gate.wait)
    until(lambda: len(cloud.commands), lambda n: n == 1, 20, "started command")
    automation = api.create(wait_at_limit=True)
    assert automation["wait_at_limit"] is True
    run = api.dispatch(automation["id"])["id"]
    waiting = until(lambda: api.run(run), lambda r: r["current_phase"] == "Waiting for a free sandbox", 20, "phase")
    assert waiting["status"] == "PENDING"
    # off again: the run that waits is a run like any other
    assert api.patch(f"/v1/{automation['id']}", json={"wait_at_limit": False}).json()["wait_at_limit"] is False
    assert api.create()["wait_at_limit"] is False
    assert api.post(f"/v1/runs/{run}/cancel").status_code == 200
    gate.open()
    assert api.ended(first)["status"] == "COMPLETED"
    nothing_left(h, cloud)
