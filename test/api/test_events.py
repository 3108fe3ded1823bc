# SPDX-License-Identifier: MIT
"""Events: signed deliveries become runs, are kept and explained, matched again, and tried filters on.

Every test has sources of its own (custom webhooks), so that what others left matches nothing; built-in
sources are told apart by a repository's name.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
import uuid

import pytest
import requests

from conftest import PREFIX, SLOW, WEBHOOK_SECRET, until

SECRET = "secret-of-one-webhook"


def hexed(secret, data):
    return hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()


class Source:
    """A custom webhook, and deliveries to it."""

    def __init__(self, api, **fields):
        self.api = api
        self.name = "s" + uuid.uuid4().hex[:16]
        body = {"name": self.name, "source": self.name, "webhook_secret": SECRET, "event_id_header": "X-Id"}
        body.update(fields)
        reply = api.post("/v1/webhooks", json=body)
        assert reply.status_code == 201, reply.text
        self.id = reply.json()["id"]
        self.org = reply.json()["org_id"]
        self.path = f"/v1/events/{self.org}/{self.name}"

    def send(self, body, id=None, headers=None, secret=SECRET, session=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        all_headers = {"Content-Type": "application/json", "X-Signature-256": "sha256=" + hexed(secret, data)}
        if id is not None:
            all_headers["X-Id"] = id
        all_headers.update(headers or {})
        all_headers = {k: v for k, v in all_headers.items() if v is not None}
        if session is not None:
            return session.post(self.api.url + PREFIX + self.path, data=data, headers=all_headers, timeout=60)
        return self.api.post(self.path, key=False, data=data, headers=all_headers)

    def trigger(self, on="*", **fields):
        return {"type": "event", "source": self.name, "on": on, **fields}

    def automation(self, on="*", script="true", enabled=True, name=None, **fields):
        more = {"name": name} if name else {}
        return self.api.create(script, trigger=self.trigger(on, **fields), enabled=enabled, **more)

    def events(self, **params):
        reply = self.api.get("/v1/events", params={"source": self.name, **params})
        assert reply.status_code == 200, reply.text
        return reply.json()["events"]

    def newest(self):
        reply = self.api.get(f"/v1/events/{self.events(limit=1)[0]['id']}")
        assert reply.status_code == 200, reply.text
        return reply.json()


@pytest.fixture
def source(api):
    made = Source(api)
    yield made
    for automation in api.get("/v1", params={"limit": 100}).json()["automations"]:
        if automation["trigger"].get("source") == made.name:
            api.delete(f"/v1/{automation['id']}")


def taken(reply):
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert list(body) == ["received", "matched", "runs_created", "conversations_continued"]
    assert body["received"] is True and body["conversations_continued"] == []
    assert len(body["runs_created"]) == body["matched"]
    return body


# ---- from delivery to run -----------------------------------------------------------------------

def test_event__becomes_a_run_that_knows_it(api, source):
    automation = source.automation("order.*", filter="total > `10`",
                                   script='echo "$AUTOMATION_EVENT_PAYLOAD"; echo "$AUTOMATION_TRIGGER_SOURCE"')
    assert taken(source.send({"type": "order.paid", "total": 5}))["matched"] == 0
    body = taken(source.send({"type": "order.paid", "total": 50, "big": 123456789012345678901234567890}))
    run = api.run(body["runs_created"][0])
    assert run["automation_id"] == automation["id"]
    assert run["trigger_source"] == "event" and run["replayed"] is False
    assert run["trigger_event_id"] == source.newest()["id"]
    assert api.ended(run["id"])["status"] == "COMPLETED"
    first, second = api.output(run["id"]).split("\n")[:2]
    told = json.loads(first)
    assert told["trigger"] == "event" and told["automation_id"] == automation["id"]
    assert told["event"] == {"payload": {"type": "order.paid", "total": 50, "big": 123456789012345678901234567890},
                             "source_override": source.name, "event_key": "order.paid"}
    assert second == "event"


def test_event__continues_a_conversation_of_its_subject(api, source):
    source.automation(destination="continue_conversation", subject_key_expr="topic",
                      script='echo "<$AUTOMATION_CONVERSATION_ID>"')
    seen = []
    for topic in ("a", "a", "b", None):
        body = taken(source.send({"type": "t", "topic": topic}))
        assert api.ended(body["runs_created"][0])["status"] == "COMPLETED"
        seen.append(api.output(body["runs_created"][0]).strip())
    assert seen[0] == seen[1] != seen[2] and seen[3] == "<>"
    automation = source.newest()["runs"][0]["automation_id"]
    name = uuid.UUID("d7f3a2b1-5c48-4e9a-9b6d-2f1e8c3a7d40")
    assert seen[0] == f"<{uuid.uuid5(name, f'{source.org}/{automation}/{source.name}/a')}>"


def test_event__of_github_is_matched_on_the_whole_payload(api, source):
    repo = f"o/{source.name}"
    api.create("true", name=source.name, trigger={"type": "event", "source": "github", "on": ["pull_request.*"],
                                                  "filter": f"repository.full_name == '{repo}' && extra.deep[0]"})
    payload = {"action": "opened", "number": 7, "extra": {"deep": [1]},
               "pull_request": {"number": 7, "title": "t", "state": "open", "base": {"ref": "m", "sha": "1"},
                                "head": {"ref": "b", "sha": "2"}, "user": {"id": 1, "login": "ann"}},
               "repository": {"id": 1, "name": source.name, "full_name": repo, "private": False},
               "sender": {"id": 1, "login": "ann"}}
    data = json.dumps({"payload": payload}).encode()
    path = f"/v1/events/{source.org}/github"
    headers = {"X-Hub-Signature-256": "sha256=" + hexed(WEBHOOK_SECRET, data), "X-GitHub-Delivery": source.name}
    assert taken(api.post(path, key=False, data=data, headers=headers))["matched"] == 1
    assert taken(api.post(path, key=False, data=data, headers=headers))["matched"] == 0
    assert taken(api.post(path, key=False, data=data, headers={**headers, "X-GitHub-Delivery": source.name + "2"}))["matched"] == 1
    event = api.get("/v1/events", params={"source": "github", "key": "pull_request.opened"}).json()["events"][0]
    assert event["provider_event_id"] == source.name + "2"
    for automation in api.get("/v1", params={"name": source.name}).json()["automations"]:
        api.delete(f"/v1/{automation['id']}")


# ---- signatures ---------------------------------------------------------------------------------

def test_signature__is_asked_for_first(api, source):
    assert source.send({"type": "t"}, secret="another").status_code == 401
    assert source.send({"type": "t"}, headers={"X-Signature-256": None}).status_code == 401
    assert source.send(b"no json", secret="another").status_code == 401
    assert source.events() == []
    for path, code in ((f"/v1/events/{source.org}/nothing-of-the-kind", 404), (f"/v1/events/{uuid.uuid4()}/{source.name}", 404),
                       (f"/v1/events/no-uuid/{source.name}", 422), (f"/v1/events/{source.org}/a%20b%2fc", 404),
                       (f"/v1/events/{source.org}/{'x' * 300}", 404)):
        assert api.post(path, key=False, data=b"{}").status_code == code, path
    # a key of ours is no signature
    assert api.post(source.path, data=b"{}").status_code == 401
    api.patch(f"/v1/webhooks/{source.id}", json={"enabled": False})
    assert source.send({"type": "t"}).status_code == 404


def test_signature__of_every_scheme(api):
    data = b'{"type": "t"}'
    now = int(time.time())

    standard = Source(api, signature_scheme="standard_webhooks", signature_header="webhook-signature",
                      webhook_secret="whsec_" + base64.b64encode(b"k" * 24).decode())

    def of_standard(stamp):
        mac = hmac.new(b"k" * 24, f"m.{stamp}.".encode() + data, hashlib.sha256).digest()
        return {"webhook-id": "m", "webhook-timestamp": str(stamp), "X-Signature-256": None,
                "webhook-signature": "v1,AAAA v2,x v1," + base64.b64encode(mac).decode()}

    slack = Source(api, signature_scheme="slack_v0", signature_header="X-Slack-Signature")

    def of_slack(stamp):
        return {"X-Slack-Request-Timestamp": str(stamp), "X-Signature-256": None,
                "X-Slack-Signature": "v0=" + hexed(SECRET, f"v0:{stamp}:".encode() + data)}

    for made, headers in ((standard, of_standard), (slack, of_slack)):
        assert made.send(data, headers=headers(now)).status_code == 200
        for stamp in (now - 400, now + 400):
            assert made.send(data, headers=headers(stamp)).status_code == 401
        assert made.send(data, headers={**headers(now), "webhook-timestamp": "x", "X-Slack-Request-Timestamp": "x"}).status_code == 401
        assert len(made.events()) == 1


# ---- what is no event ---------------------------------------------------------------------------

def test_event__that_is_none_is_refused_and_kept(api, source):
    source.automation()
    for body in (b"", b"{", b"[1]", b"7", b'{"type": "a\x00b"}', b"\xff\xfe\x00", b'{"a":' * 100 + b"1" + b"}" * 100):
        reply = source.send(body, id="same")
        assert reply.status_code == 400, (body, reply.text)
        assert isinstance(reply.json()["detail"], str)
    kept = source.events()
    assert [e["state"] for e in kept] == ["UNPARSEABLE"] * 7
    assert all(e["why"] and e["provider_event_id"] is None for e in kept)
    for body in ({"kind": 1}, {"type": None}, {"type": {}}, {"type": "x" * 5000}):
        assert taken(source.send(body, id="same"))["matched"] == 0
    assert [e["state"] for e in source.events(state="IGNORED")] == ["IGNORED"] * 4
    shown = source.newest()
    assert shown["payload"] == {"type": "x" * 5000} and shown["runs"] == [] and shown["verdicts"] == []
    # the id is still free
    assert taken(source.send({"type": "t"}, id="same"))["matched"] == 1


def test_event__of_odd_numbers_and_texts(api, source):
    source.automation(filter="n == `123456789012345678901234567890`")
    source.automation(filter="n > `1e300`")
    for text, matched in (("123456789012345678901234567890", 1), ("1e400", 1), ("NaN", 0), ("-Infinity", 0), ("9" * 4000, 1)):
        reply = source.send(b'{"type": "t", "n": ' + text.encode() + b"}")
        assert taken(reply)["matched"] == matched, text
        assert source.newest()["payload"]["type"] == "t"
    assert taken(source.send('{"type": "\\ud800 \\u0000"}'.encode()))["received"]
    assert source.newest()["event_key"] == "\ufffd \ufffd"


def test_event__that_is_too_long_is_refused(api, source):
    long = {"type": "t", "x": "y" * 1048576}
    assert source.send(long).status_code == 413
    assert source.events() == []
    source.automation("none")
    assert taken(source.send({"type": "t", "x": "y" * 1048000}))["matched"] == 0


# ---- filters that others wrote -------------------------------------------------------------------

HOSTILE = ["regex(w, '(a+)+b')", "unknown(w)", "abs(w)", "w[*].w[*].w || sort_by(@.*, &nothing)", "`1` < 'a'",
           "regex(w, '(((a?){30}){30}){30}b')", "join('', w)", "avg(w)", "l[?l[?l[?@ == `x`]]]"]


def test_filters__that_fail_or_take_long_stop_nobody(api, source):
    made = {source.automation(filter=f)["id"]: f for f in HOSTILE}
    good = source.automation(filter="w")["id"]
    begun = time.monotonic()
    body = taken(source.send({"type": "t", "w": "a" * 5000, "l": list(range(300))}))
    assert time.monotonic() - begun < 10 * SLOW
    assert body["matched"] == 1 and api.run(body["runs_created"][0])["automation_id"] == good
    event = source.newest()
    assert event["considered"] == len(made) + 1
    told = {v["automation_id"]: v for v in event["verdicts"]}
    assert told[good]["verdict"] == "matched"
    assert all(told[id]["verdict"] in ("error", "filter") for id in made)
    assert all((told[id]["why"] is not None) == (told[id]["verdict"] == "error") for id in made)
    assert event["verdict_counts"]["matched"] == 1


# ---- once -----------------------------------------------------------------------------------------

def test_delivery__over_many_connections_at_once_is_one_run(api, source):
    automation = source.automation()
    ids = [uuid.uuid4().hex for _ in range(20)]
    answers, lock = [], threading.Lock()

    def client():
        session = requests.Session()
        session.trust_env = False
        for id in ids:
            reply = source.send({"type": "t", "id": id}, id=id, session=session)
            with lock:
                answers.append((id, reply.status_code, reply.json().get("matched") if reply.status_code == 200 else reply.text))

    clients = [threading.Thread(target=client) for _ in range(16)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert len(answers) == 16 * len(ids)
    assert {code for _, code, _ in answers} == {200}
    for id in ids:
        assert sorted(m for i, _, m in answers if i == id) == [0] * 15 + [1]
    assert api.get(f"/v1/{automation['id']}/runs", params={"limit": 1}).json()["total"] == len(ids)
    assert len(source.events(limit=100)) == len(ids)


# ---- definitions change -----------------------------------------------------------------------------

def test_matching__goes_by_the_definitions_of_now(api, source):
    one = source.automation("a")

    def matched(key):
        return taken(source.send({"type": key}))["matched"]

    assert (matched("a"), matched("b")) == (1, 0)
    api.patch(f"/v1/{one['id']}", json={"trigger": source.trigger(["b", "c.*"])})
    assert (matched("a"), matched("b"), matched("c.d"), matched("c")) == (0, 1, 1, 0)
    api.patch(f"/v1/{one['id']}", json={"enabled": False})
    assert matched("b") == 0
    assert [v["verdict"] for v in source.newest()["verdicts"]] == ["disabled"]
    api.patch(f"/v1/{one['id']}", json={"enabled": True})
    assert matched("b") == 1
    api.patch(f"/v1/{one['id']}", json={"trigger": source.trigger("b", filter="x == 'y'")})
    assert matched("b") == 0
    assert source.newest()["considered"] == 0
    assert taken(source.send({"type": "b", "x": "y"}))["matched"] == 1
    api.delete(f"/v1/{one['id']}")
    assert taken(source.send({"type": "b", "x": "y"}))["matched"] == 0


# ---- looking ----------------------------------------------------------------------------------------

def test_events__are_listed_and_explained(api, source):
    one = source.automation("a", name=f"explained {source.name}")
    source.automation("b*", enabled=False)
    for key in ("a", "b", "a", "c"):
        taken(source.send({"type": key}, id=uuid.uuid4().hex, headers={"User-Agent": "tester/1"}))
    pages, cursor = [], ""
    while cursor is not None:
        page = api.get("/v1/events", params={"source": source.name, "limit": 3, "cursor": cursor}).json()
        pages.append([e["event_key"] for e in page["events"]])
        cursor = page["next_cursor"]
    assert pages == [["c", "a", "b"], ["a"]]
    assert [e["event_key"] for e in source.events(key="a")] == ["a", "a"]
    assert [e["event_key"] for e in source.events(state="UNMATCHED")] == ["c", "b"]
    assert source.events(key="a", state="UNMATCHED") == []
    event = api.get(f"/v1/events/{source.events(key='a')[0]['id']}").json()
    assert event["payload"] == {"type": "a"} and event["body_text"] is None
    assert event["headers"]["User-Agent"] == "tester/1"
    assert "signature" not in json.dumps(event["headers"]).lower()
    assert event["verdicts"][0] == {"automation_id": one["id"], "automation_name": f"explained {source.name}",
                                    "verdict": "matched", "why": None}
    assert [v["verdict"] for v in event["verdicts"][1:]] == ["pattern"]
    assert event["runs"][0]["automation_id"] == one["id"]
    for query, code in (("limit=0", 422), ("limit=101", 422), ("state=matched", 422), ("cursor=x", 422), ("key=", 200)):
        assert api.get(f"/v1/events?{query}").status_code == code, query
    assert api.get(f"/v1/events/{uuid.uuid4()}").status_code == 404
    assert api.get("/v1/events/x").status_code == 422
    assert api.get("/v1/events", key=False).status_code == 401


def test_replay__matches_again_and_says_so(api, source):
    taken(source.send({"type": "t"}, id="1"))
    event = source.events()[0]
    assert event["state"] == "UNMATCHED"
    one = source.automation()
    reply = api.post(f"/v1/events/{event['id']}/replay")
    assert reply.status_code == 200, reply.text
    assert reply.json()["matched"] == 1 and reply.json()["event_id"] == event["id"]
    run = api.run(reply.json()["runs_created"][0])
    assert run["replayed"] is True and run["trigger_event_id"] == event["id"] and run["automation_id"] == one["id"]
    assert api.post(f"/v1/events/{event['id']}/replay").json()["matched"] == 1
    shown = source.newest()
    assert [r["replayed"] for r in shown["runs"]] == [True, True] and shown["state"] == "UNMATCHED"
    assert source.send(b"{").status_code == 400
    assert api.post(f"/v1/events/{source.events()[0]['id']}/replay").status_code == 409
    assert api.post(f"/v1/events/{uuid.uuid4()}/replay").status_code == 404
    assert api.post(f"/v1/events/{event['id']}/replay", key=False).status_code == 401


def test_filter__is_tried_before_it_is_kept(api, source):
    for n in range(5):
        taken(source.send({"type": f"k.{n}", "n": n}))
    reply = api.post("/v1/events/test-filter", json={"source": source.name, "on": "k.*", "filter": "n > `2`"})
    assert reply.status_code == 200, reply.text
    assert (reply.json()["considered"], reply.json()["matched"], reply.json()["truncated"]) == (5, 2, False)
    assert [e["matched"] for e in reply.json()["events"]] == [True, True, False, False, False]
    assert reply.json()["events"][4]["why"]
    reply = api.post("/v1/events/test-filter", json={"source": source.name, "filter": "abs('x')", "limit": 1})
    assert reply.json()["considered"] == 1 and "abs()" in reply.json()["events"][0]["why"]
    for body in ({"filter": "a =="}, {"limit": 0}, {"limit": 101}, {"on": 5}, {"on": [5]}, {"x": 1}, {"source": ""}):
        assert api.post("/v1/events/test-filter", json=body).status_code == 422, body
    assert api.post("/v1/events/test-filter", json={}, key=False).status_code == 401
    # bodies are read until it would take too long
    for n in range(6):
        taken(source.send({"type": "k.long", "x": "y" * 900000}))
    reply = api.post("/v1/events/test-filter", json={"source": source.name, "filter": "x"}).json()
    assert reply["truncated"] is True and 1 <= reply["considered"] < 6


# ---- processes of the daemon ----------------------------------------------------------------------------

def test_events__outlive_the_daemon(daemons):
    daemon = daemons().start()
    source = Source(daemon.api())
    source.automation(script="true")
    taken(source.send({"type": "t"}, id="1"))
    daemon.kill()
    daemon.start()
    source.api = daemon.api()
    assert taken(source.send({"type": "t"}, id="1"))["matched"] == 0
    assert taken(source.send({"type": "t"}, id="2"))["matched"] == 1
    until(lambda: [source.api.run(r["id"])["status"] for e in source.events()
                   for r in source.api.get(f"/v1/events/{e['id']}").json()["runs"]],
          lambda s: s == ["COMPLETED"] * 2, 60, "both runs")
