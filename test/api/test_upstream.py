# SPDX-License-Identifier: MIT
"""Section 2, who calls according to the cloud: credentials, what becomes of its answers, the cache, and
what people may.  The cloud is test/fakes/upstream.py."""

import socket
import threading
import uuid

import pytest
import requests

from conftest import HOST, NEVER, PREFIX, until
from upstream import MANAGE, VIEW, Upstream

URL_TARBALL = "https://example.test/a.tar.gz"


def key():
    return "key-" + uuid.uuid4().hex


def ask(shared, headers, path="/v1"):
    return shared(None).get(path, key=False, headers=headers)


def create(api, status=201, headers=None, **fields):
    body = {"name": "of the cloud", "trigger": NEVER, "entrypoint": "./run", "tarball_path": URL_TARBALL}
    body.update(fields)
    reply = api.post("/v1", json=body, headers=headers)
    assert reply.status_code == status, reply.text
    return reply.json()


# ---- credentials --------------------------------------------------------------------------------


def test_upstream__a_bearer_key_is_whom_the_cloud_says(shared, cloud):
    k = key()
    who = cloud.person(f"Bearer {k}")
    automation = create(shared(k))
    assert (automation["user_id"], automation["org_id"]) == (who["id"], who["org_id"])


def test_upstream__a_session_key_is_asked_as_a_bearer_key(shared, cloud):
    k = key()
    cloud.person(f"Bearer {k}")
    assert ask(shared, {"X-Session-API-Key": f"{k} \t"}).status_code == 200


@pytest.mark.parametrize("sent, forwarded", [
    ("openhands_auth={v}", "openhands_auth={v}"),
    ("keycloak_auth={v}", "keycloak_auth={v}"),
    ("a=b; openhands_auth={v}; keycloak_auth=other", "openhands_auth={v}"),
    ("openhands_auth=; keycloak_auth={v}", "keycloak_auth={v}"),
    ("openhands_auth=\"{v}\"", "openhands_auth={v}"),
    ("openhands_auth=first; openhands_auth={v}", "openhands_auth={v}"),
    ("keycloak_auth={v}; keycloak_auth_1=x; keycloak_auth_2=y=z", "keycloak_auth={v}xy=z"),
    # a gap ends it, and so do eight pieces
    ("keycloak_auth={v}; keycloak_auth_2=y", "keycloak_auth={v}"),
    ("keycloak_auth={v}; " + "; ".join(f"keycloak_auth_{i}={i}" for i in range(1, 10)),
     "keycloak_auth={v}1234567"),
])
def test_upstream__cookies_are_joined_and_forwarded(shared, cloud, sent, forwarded):
    v = key()
    cloud.person(forwarded.format(v=v))
    assert ask(shared, {"Cookie": sent.format(v=v)}).status_code == 200
    assert cloud.asked(forwarded.format(v=v)) == 1


@pytest.mark.parametrize("headers", [
    {}, {"Cookie": "other=x"}, {"Cookie": "openhands_auth="}, {"Cookie": "keycloak_auth_1=x"},
    {"Authorization": "Bearer "}, {"Authorization": "Basic x"},
    {"Cookie": "xopenhands_auth=x; openhands_authx=y"}, {"Authorization": "Bearer ", "Cookie": "openhands_auth=x"},
])
def test_upstream__without_a_credential_nobody_is_asked(shared, cloud, headers):
    before = len(cloud.calls)
    assert ask(shared, headers).status_code == 401
    assert len(cloud.calls) == before


def test_upstream__the_organization_is_chosen_by_header(shared, cloud):
    k, other = key(), str(uuid.uuid4())
    who = cloud.person(f"Bearer {k}", orgs=[other])
    api = shared(k)
    here = create(api)
    there = create(api, headers={"X-Org-Id": other.upper()})
    assert (here["org_id"], there["org_id"]) == (who["org_id"], other)
    assert api.get(f"/v1/{there['id']}").status_code == 404
    assert api.get(f"/v1/{there['id']}", headers={"X-Org-Id": "{" + other + "}"}).status_code == 200
    assert api.get("/v1", headers={"X-Org-Id": "nowhere"}).status_code == 400
    # the cloud does not let them there: as for the service this one replaces, that is no answer
    assert api.get("/v1", headers={"X-Org-Id": str(uuid.uuid4())}).status_code == 502


# ---- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status, body, wanted", [
    (401, {}, 401), (403, {}, 502), (404, {}, 502), (500, b"Internal Server Error", 502), (302, {}, 502),
    (204, b"", 502), (200, b"", 502), (200, b"<html>", 502), (200, b"[1]", 502), (200, b"null", 502),
    (200, b"[" * 100000, 502),
], ids=lambda value: str(value)[:12])
def test_upstream__answers_become_codes(shared, cloud, status, body, wanted):
    k = key()
    cloud.person(f"Bearer {k}")
    cloud.script(f"Bearer {k}", {"status": status, "body": body})
    reply = shared(k).get("/v1")
    assert reply.status_code == wanted, reply.text
    assert isinstance(reply.json()["detail"], str)
    assert k not in reply.text
    # failures are not remembered
    assert shared(k).get("/v1").status_code == 200


@pytest.mark.parametrize("change", [
    {"id": None}, {"id": "x"}, {"id": 1}, {"org_id": None}, {"org_id": "not-a-uuid"}, {"org_id": []},
    {"email": 1}, {"role": {}}, {"permissions": "view_automations"}, {"permissions": [1]},
    {"permissions": {"view_automations": True}},
])
def test_upstream__wrong_types_are_502(shared, cloud, change):
    k = key()
    cloud.person(f"Bearer {k}", **change)
    assert shared(k).get("/v1").status_code == 502


@pytest.mark.parametrize("profiles", [
    None, 1, "x", [], {}, {"profiles": []}, {"profiles": None, "active": "a"}, {"profiles": {}, "active": 1},
])
def test_upstream__malformed_profiles_count_as_absent(shared, cloud, profiles):
    k = key()
    cloud.person(f"Bearer {k}", llm_profiles=profiles)
    if profiles == {"profiles": {}, "active": 1} or not (isinstance(profiles, dict) and "profiles" in profiles):
        assert create(shared(k), model="anything")["model"] == "anything"
    assert create(shared(k))["model"] is None


def test_upstream__models_are_those_the_cloud_knows(shared, cloud):
    k = key()
    cloud.person(f"Bearer {k}", llm_profiles={"profiles": {"fast": {"api_key": "sk"}, "deep": {}}, "active": "fast"})
    api = shared(k)
    automation = create(api)
    assert automation["model"] == "fast"
    assert create(api, model="deep")["model"] == "deep"
    refused = create(api, status=422, model="slow")
    assert "slow" in refused["detail"]
    assert api.patch(f"/v1/{automation['id']}", json={"model": "slow"}).status_code == 422
    assert api.patch(f"/v1/{automation['id']}", json={"model": "deep"}).json()["model"] == "deep"
    assert api.patch(f"/v1/{automation['id']}", json={"model": None}).json()["model"] == "fast"


def test_upstream__too_many_requests_are_tried_again(shared, cloud):
    k = key()
    cloud.person(f"Bearer {k}")
    cloud.script(f"Bearer {k}", *[{"status": 429}] * 3)
    assert shared(k).get("/v1").status_code == 200
    assert cloud.asked(f"Bearer {k}") == 4
    k = key()
    cloud.person(f"Bearer {k}")
    cloud.script(f"Bearer {k}", *[{"status": 429}] * 4)
    assert shared(k).get("/v1").status_code == 429
    assert cloud.asked(f"Bearer {k}") == 4
    assert shared(k).get("/v1").status_code == 200


def test_upstream__a_silent_cloud_is_502_and_holds_nobody_up(shared, cloud):
    k, other = key(), key()
    cloud.person(f"Bearer {k}")
    cloud.person(f"Bearer {other}")
    hold = threading.Event()
    cloud.script(f"Bearer {k}", {"hold": hold})
    codes = []
    waiting = threading.Thread(target=lambda: codes.append(shared(k).get("/v1").status_code))
    waiting.start()
    until(lambda: cloud.asked(f"Bearer {k}"), bool, 10, "the question")
    assert shared(other).get("/v1").status_code == 200
    assert shared(None).get("/health", key=False).status_code == 200
    assert codes == []
    waiting.join(20)
    hold.set()
    assert codes == [502]


# ---- pages --------------------------------------------------------------------------------------

PAGE = "https://page.example"


def test_upstream__pages_of_the_cloud_may_use_its_cookies(shared, cloud):
    v = key()
    cloud.person(f"openhands_auth={v}")
    reply = ask(shared, {"Cookie": f"openhands_auth={v}", "Origin": cloud.url})
    assert reply.status_code == 200
    assert reply.headers["Access-Control-Allow-Origin"] == cloud.url
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert reply.headers["Vary"] == "Origin"
    # other pages may not: nobody is even asked
    v = key()
    cloud.person(f"openhands_auth={v}")
    for method in ("GET", "POST"):
        reply = shared(None).call(method, "/v1", key=False, headers={"Cookie": f"openhands_auth={v}", "Origin": PAGE})
        assert reply.status_code == 403
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert cloud.asked(f"openhands_auth={v}") == 0


def test_upstream__pages_with_a_key_may_come_from_anywhere(shared, cloud):
    k = key()
    cloud.person(f"Bearer {k}")
    cloud.script(f"Bearer {k}", {"status": 500}, {"status": 401})
    for status in (502, 401, 200):
        reply = shared(k).get("/v1", headers={"Origin": PAGE})
        assert reply.status_code == status
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in reply.headers


# ---- cache --------------------------------------------------------------------------------------


def test_upstream__an_answer_is_remembered(shared, cloud):
    k, other = key(), str(uuid.uuid4())
    cloud.person(f"Bearer {k}", orgs=[other])
    for _ in range(5):
        assert shared(k).get("/v1").status_code == 200
        assert ask(shared, {"X-Session-API-Key": k}).status_code == 200
    assert cloud.asked(f"Bearer {k}") == 1
    for _ in range(2):
        assert shared(k).get("/v1", headers={"X-Org-Id": other}).status_code == 200
    assert cloud.asked(f"Bearer {k}") == 2


def test_upstream__the_same_credential_asks_once_at_a_time(shared, cloud):
    k, hold = key(), threading.Event()
    cloud.person(f"Bearer {k}")
    cloud.script(f"Bearer {k}", {"hold": hold})
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(shared(k).get("/v1").status_code)) for _ in range(20)]
    for t in threads:
        t.start()
    # all have been heard once a request that came behind them has been answered
    until(lambda: cloud.asked(f"Bearer {k}"), bool, 10, "the question")
    assert shared(None).get("/health", key=False).status_code == 200
    hold.set()
    for t in threads:
        t.join(20)
    assert codes == [200] * 20
    assert cloud.asked(f"Bearer {k}") == 1


def test_upstream__clients_that_leave_while_the_cloud_thinks_do_no_harm(shared, cloud):
    k, hold = key(), threading.Event()
    cloud.person(f"Bearer {k}")
    cloud.script(f"Bearer {k}", {"hold": hold})
    host, port = shared.url.rsplit("/", 1)[1].split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port)), 10) as s:
            s.sendall(f"GET {PREFIX}/v1 HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {k}\r\n\r\n".encode())
            until(lambda: cloud.asked(f"Bearer {k}"), bool, 10, "the question")
    hold.set()
    assert shared(k).get("/v1").status_code == 200


# ---- what people may ----------------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [[], None, ["other"], [MANAGE]])
def test_upstream__without_view_nothing_is_answered(shared, cloud, permissions):
    k = key()
    cloud.person(f"Bearer {k}")["permissions"] = permissions
    api = shared(k)
    paths = api.get("/openapi.json").json()["paths"]
    count = 0
    for path, methods in paths.items():
        for method, operation in methods.items():
            if not path.startswith(PREFIX + "/v1") or not operation.get("security"):
                continue
            count += 1
            reply = api.call(method.upper(), path[len(PREFIX):], data="no json")
            assert reply.status_code == 403, (method, path, reply.text)
    assert count > 10


def test_upstream__permissions_decide_who_may_change(shared, cloud):
    org = str(uuid.uuid4())
    people = {}
    for name, permissions in (("creator", [VIEW]), ("colleague", [VIEW]), ("manager", [VIEW, MANAGE])):
        people[name] = key()
        cloud.person(f"Bearer {people[name]}", org=org, permissions=permissions)
    creator, colleague, manager = (shared(people[n]) for n in ("creator", "colleague", "manager"))
    path = f"/v1/{create(creator)['id']}"
    for who in (creator, colleague, manager):
        assert who.get(path).status_code == 200
        assert who.get(path + "/runs").status_code == 200
    # A
    assert colleague.post(path + "/dispatch").status_code == 403
    assert colleague.delete(path).status_code == 403
    run = manager.post(path + "/dispatch")
    assert run.status_code == 201
    # A and O of its runs
    run = f"/v1/runs/{run.json()['id']}"
    assert colleague.post(run + "/cancel").status_code == 403
    assert manager.post(run + "/phase", json={"phase": "x"}).status_code == 403
    assert manager.post(run + "/complete", json={"status": "FAILED"}).status_code == 403
    assert manager.post(run + "/cancel").status_code in (200, 409)
    # E: others may switch off, and nothing else with it
    assert colleague.patch(path, json={"enabled": False}).status_code == 403
    for body in ({"enabled": True}, {"state": "ACTIVE"}, {"name": "x"}, {}, {"enabled": False, "name": "x"},
                 {"state": "INACTIVE", "timeout": 5}, {"enabled": False, "state": "INACTIVE", "model": None}):
        assert manager.patch(path, json=body).status_code in (403, 422), body
    assert creator.get(path).json()["state"] == "ACTIVE"
    for body in ({"enabled": False}, {"state": "INACTIVE"}, {"enabled": False, "state": "INACTIVE"}):
        assert creator.patch(path, json={"enabled": True}).status_code == 200
        assert manager.patch(path, json=body).json()["state"] == "INACTIVE", body
    assert creator.patch(path, json={"name": "mine"}).status_code == 200
    assert manager.delete(path).status_code == 204


def test_upstream__lists_by_creator(shared, cloud):
    org, keys = str(uuid.uuid4()), [key(), key()]
    for k in keys:
        cloud.person(f"Bearer {k}", org=org)
    mine, theirs = create(shared(keys[0]))["id"], create(shared(keys[1]))["id"]

    def listed(**params):
        return [a["id"] for a in shared(keys[0]).get("/v1", params=params).json()["automations"]]

    assert listed() == [theirs, mine]
    assert listed(created_by="me") == [mine]
    assert listed(created_by="others") == [theirs]


def test_upstream__nothing_secret_reaches_the_log(shared, cloud):
    k = key()
    cloud.person(f"Bearer {k}")
    cloud.script(f"Bearer {k}", {"status": 500, "body": f"{k}".encode()}, {"status": 200, "body": k.encode()})
    assert [shared(k).get("/v1").status_code for _ in range(3)] == [502, 502, 200]
    assert k not in shared.log()
    assert "sk-canary-of-the-cloud" not in shared.log()


# ---- daemons of their own -----------------------------------------------------------------------


def test_upstream__a_local_key_never_falls_through(daemons):
    with Upstream() as cloud:
        cloud.person("Bearer known")
        cloud.person("openhands_auth=known")
        daemon = daemons(env={"AUTOMATION_OPENHANDS_API_BASE_URL": cloud.url, "AUTOMATION_LOCAL_API_KEY": "mine"}).start()
        api = daemon.api()
        assert api.get("/v1").status_code == 200
        assert api.get("/v1", key=False, headers={"Authorization": "Bearer known"}).status_code == 401
        assert api.get("/v1", key=False, headers={"X-Session-API-Key": "known"}).status_code == 401
        assert cloud.calls == []
        assert api.get("/v1", key=False, headers={"Cookie": "openhands_auth=known"}).status_code == 200


def test_upstream__without_a_cloud_nobody_else_is_known(daemons):
    api = daemons().start().api()
    assert api.get("/v1", key=False, headers={"Authorization": "Bearer x"}).status_code == 401
    assert api.get("/v1", key=False, headers={"Cookie": "openhands_auth=x"}).status_code == 401
    assert api.get("/v1", headers={"X-Org-Id": "nowhere"}).status_code == 200


def test_upstream__an_absent_cloud_is_502(daemons):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # not listening: refused
        daemon = daemons(env={"AUTOMATION_OPENHANDS_API_BASE_URL":
                              f"http://127.0.0.1:{unused.getsockname()[1]}"}).start()
        api = daemon.api()
        assert api.get("/v1").status_code == 200
        reply = api.get("/v1", key=False, headers={"Authorization": "Bearer x"})
        assert reply.status_code == 502


def test_upstream__answers_are_forgotten_in_time_and_the_oldest_make_room(daemons):
    with Upstream() as cloud:
        for name in "abc":
            cloud.person(f"Bearer {name}")
        env = {"AUTOMATION_OPENHANDS_API_BASE_URL": cloud.url, "AUTOMATION_AUTH_CACHE_SIZE": "2"}
        api = daemons(env=env).start().api()

        def call(name):
            assert api.get("/v1", key=False, headers={"Authorization": f"Bearer {name}"}).status_code == 200
            return cloud.asked(f"Bearer {name}")

        assert [call(n) for n in "aba"] == [1, 1, 1]
        assert call("c") == 1  # b was used least recently
        assert [call(n) for n in "ac"] == [1, 1]
        assert call("b") == 2
        env["AUTOMATION_AUTH_CACHE_TTL"] = "0.2"
        api = daemons(env=env).start().api()
        before = call("a")
        until(lambda: call("a"), lambda asked: asked > before, 10, "the next question")
        env["AUTOMATION_AUTH_CACHE_TTL"] = "0"
        api = daemons(env=env).start().api()
        assert call("a") == call("a") - 1


def test_upstream__agent_profiles_are_checked_in_the_cloud(daemons):
    there, missing, later = (str(uuid.uuid4()) for _ in range(3))
    with Upstream() as cloud:
        who = cloud.person("Bearer a")
        cloud.profiles[who["org_id"]] = [there.upper()]
        daemon = daemons(env={"AUTOMATION_OPENHANDS_API_BASE_URL": cloud.url, "AUTOMATION_BACKEND": "cloud",
                              "AUTOMATION_CLOUD_API_KEY": "of-the-runs"}).start()
        from conftest import Api
        api = Api(daemon.url, "a")
        path = "/api/agent-profiles"
        automation = create(api, agent_profile_id=there)
        assert automation["agent_profile_id"] == there and automation["model"] is None
        create(api, agent_profile_id=there)
        assert cloud.asked("Bearer a", path) == 1
        assert missing in create(api, status=422, agent_profile_id=missing)["detail"]
        # one that was made meanwhile is found, not looked for in what was said before
        cloud.profiles[who["org_id"]].append(later)
        assert api.patch(f"/v1/{automation['id']}", json={"agent_profile_id": later}).status_code == 200
        assert cloud.asked("Bearer a", path) == 3
        # a draft is told of it among its other problems
        draft = {"name": "x", "trigger": NEVER, "entrypoint": "./run", "tarball_path": URL_TARBALL}
        for profile, problems in ((there, []), (missing, ["invalid_agent_profile"])):
            reply = api.post("/v1/validate", json={"endpoint": "/v1", "draft": {**draft, "agent_profile_id": profile}})
            assert [e["code"] for e in reply.json()["errors"]] == problems, reply.text
        for status, wanted in ((401, 401), (403, 403), (404, 502), (500, 502), (429, 502)):
            cloud.script("Bearer a", {"status": status})
            create(api, status=wanted, agent_profile_id=missing)
        for body in (b"x", b"{}", b'{"profiles":{}}', b'{"profiles":[1]}', b'{"profiles":[{"id":"x"}]}'):
            cloud.script("Bearer a", {"status": 200, "body": body})
            create(api, status=502, agent_profile_id=missing)
        # what is wrong with the body is told first, and a body without a profile asks nobody
        asked = cloud.asked("Bearer a", path)
        create(api, status=422, name="", agent_profile_id=there)
        create(api)
        assert cloud.asked("Bearer a", path) == asked


REPORTING = """
{wait}
call() {{ curl -sS --fail -X POST -H "Authorization: Bearer $AUTOMATION_CALLBACK_API_KEY" \\
          -H 'Content-Type: application/json' -d "$2" "$1" >/dev/null; }}
call "$AUTOMATION_PHASE_URL" '{{"phase":"half way"}}'
call "$AUTOMATION_CALLBACK_URL" '{{"status":"COMPLETED","conversation_id":"c1"}}'
exit 7
"""


def test_upstream__a_run_reports_whosever_automation_it_is(request, server, api, cloud, gate):
    script = "#!/bin/sh" + REPORTING.format(wait=gate.wait)
    if HOST == "extension":
        # with a key of its own it knows no users of the cloud: the automation becomes one's while it runs
        automation = api.create(script=script)
        run = api.dispatch(automation["id"])
        server.query(f"UPDATE automation.automation SET org_id = '{uuid.uuid4()}', user_id = '{uuid.uuid4()}'"
                     f" WHERE id = '{automation['id']}'")
        assert api.get(f"/v1/runs/{run['id']}").status_code == 404
        gate.open()
        columns = "status, conversation_id, current_phase"
        until(lambda: server.query(f"SELECT {columns} FROM automation.run WHERE id = '{run['id']}'"),
              lambda row: row == "COMPLETED|c1|half way", 30, "the run's report")
        return
    name = key()
    cloud.person(f"Bearer {name}")
    api = request.getfixturevalue("shared")(name)
    run = api.dispatch(api.create(script=script)["id"])
    gate.open()
    ended = api.ended(run["id"])
    assert (ended["status"], ended["conversation_id"]) == ("COMPLETED", "c1"), ended
    assert ended["current_phase"] == "half way"


def test_upstream__many_at_once(shared, cloud):
    keys = [key() for _ in range(100)]
    for k in keys:
        cloud.person(f"Bearer {k}")
    codes = []

    def caller(part):
        with requests.Session() as session:
            session.trust_env = False
            for k in part:
                codes.append(session.get(shared.url + PREFIX + "/v1", headers={"Authorization": f"Bearer {k}"},
                                         timeout=30).status_code)

    threads = [threading.Thread(target=caller, args=(keys[i::10] * 3,)) for i in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert codes == [200] * 300
    assert all(cloud.asked(f"Bearer {k}") == 1 for k in keys)
