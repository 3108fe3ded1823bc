# SPDX-License-Identifier: MIT
"""What belongs to somebody else cannot be read, changed, run or inferred, through any route.

Every operation that the server describes is called with every id of somebody else's in it: by a manager
of another organization, whose answers must be word for word those for an id that never was; and, for
what belongs to one user alone, by a colleague.  Afterwards all is as it was.  A route with a kind of id
this suite does not know fails it: teach `Owner` to make one."""

import re
import uuid

import pytest

from conftest import NEVER, PREFIX, tarball, until
from upstream import MANAGE, VIEW


def key():
    return "key-" + uuid.uuid4().hex


# Bodies that would succeed, by the last word of the path and method; others are sent none.
BODIES = {
    ("PATCH", "{automation_id}"): [{"name": "taken"}, {"enabled": False}, {"state": "INACTIVE"}],
    ("PATCH", "{webhook_id}"): [{"name": "taken"}, {"enabled": False}],
    ("POST", "complete"): [{"status": "COMPLETED"}, {"status": "FAILED", "error": "x"}],
    ("POST", "phase"): [{"phase": "taken"}],
    ("POST", "trigger"): [{}, {"input": {"a": 1}, "dedupe_key": "d"}],
}


class Owner:
    """Somebody with one of everything that has an id."""

    def __init__(self, shared, cloud, org=None, permissions=(VIEW, MANAGE)):
        self.key = key()
        self.who = cloud.person(f"Bearer {self.key}", org=org, permissions=permissions)
        self.api = shared(self.key)
        self.org = self.who["org_id"]
        self.paths = self.api.get("/openapi.json").json()["paths"]
        self.upload = self.api.upload(tarball({"main.sh": "sleep 600"}), name="private upload")
        self.automation = self.api.create(tarball_path=self.upload["tarball_path"], name=f"private {uuid.uuid4().hex}")
        self.run = self.api.dispatch(self.automation["id"])
        self.ids = {"automation_id": self.automation["id"], "run_id": self.run["id"], "upload_id": self.upload["id"]}
        if PREFIX + "/v1/webhooks" in self.paths:
            reply = self.api.post("/v1/webhooks", json={"name": "private hook", "source": f"s{uuid.uuid4().hex[:12]}",
                                                        "webhook_secret": "canary-secret-0123"})
            assert reply.status_code == 201, reply.text
            self.ids["webhook_id"] = reply.json()["id"]
            self.source = reply.json()["source"]
            if PREFIX + "/v1/events/{event_id}" in self.paths:
                self.ids["event_id"] = self.event()

    def event(self):
        import hashlib
        import hmac
        import json
        body = json.dumps({"type": "push", "word": "private"}).encode()
        signature = hmac.new(b"canary-secret-0123", body, hashlib.sha256).hexdigest()
        reply = self.api.post(f"/v1/events/{self.org}/{self.source}", key=False, data=body,
                              headers={"X-Signature-256": signature, "Content-Type": "application/json"})
        assert reply.status_code == 200, reply.text
        events = until(lambda: self.api.get("/v1/events").json()["events"], bool, 10, "the event")
        return events[0]["id"]

    def state(self):
        """All that others could have changed."""
        told = {}
        for name, path in (("automation_id", "/v1/{}"), ("upload_id", "/v1/uploads/{}"),
                           ("webhook_id", "/v1/webhooks/{}"), ("event_id", "/v1/events/{}")):
            if name in self.ids:
                reply = self.api.get(path.format(self.ids[name]))
                assert reply.status_code == 200, (path, reply.text)
                told[name] = reply.json()
        runs = self.api.get(f"/v1/{self.ids['automation_id']}/runs").json()
        told["runs"] = runs["total"]
        told["ended"] = [(r["status"], r["error_detail"]) for r in runs["runs"] if r["status"] in
                         ("COMPLETED", "FAILED", "CANCELLED", "SKIPPED")]
        told["phases"] = ["taken" == r["current_phase"] for r in runs["runs"]]
        if "webhook_id" in self.ids:
            told["events"] = len(self.api.get("/v1/events").json()["events"]) if "event_id" in self.ids else None
        return told

    def end(self):
        self.api.post(f"/v1/runs/{self.ids['run_id']}/cancel")
        self.api.delete(f"/v1/{self.ids['automation_id']}")


@pytest.fixture(scope="module")
def victim(shared, cloud):
    owner = Owner(shared, cloud)
    until(lambda: owner.api.run(owner.ids["run_id"])["status"], lambda s: s == "RUNNING", 30, "the run")
    yield owner
    owner.end()


def operations(paths):
    """(method, path with {ids}, names of the ids) of every operation that names something."""
    for path, methods in sorted(paths.items()):
        names = re.findall(r"\{(\w+)\}", path)
        if names and path.startswith(PREFIX + "/v1"):
            for method, operation in sorted(methods.items()):
                if operation.get("security"):
                    yield method.upper(), path[len(PREFIX):], names


def bodies(method, path):
    for body in BODIES.get((method, path.rsplit("/", 1)[1]), [None]):
        yield {} if body is None else {"json": body}


def call(api, method, path, ids, **kwargs):
    reply = api.call(method, path.format(**ids), **kwargs)
    text = reply.text
    for value in ids.values():
        text = text.replace(value, "ID")
    return reply.status_code, text


def test_foreign__no_route_tells_another_organization_from_nothing(shared, cloud, victim):
    k = key()
    cloud.person(f"Bearer {k}", permissions=[VIEW, MANAGE])
    stranger = shared(k)
    before, count = victim.state(), 0
    for method, path, names in operations(victim.paths):
        unknown = set(names) - set(victim.ids)
        assert not unknown, f"{method} {path}: this suite makes no {unknown}"
        for sent in bodies(method, path):
            foreign = call(stranger, method, path, {n: victim.ids[n] for n in names}, **sent)
            never = call(stranger, method, path, {n: str(uuid.uuid4()) for n in names}, **sent)
            assert foreign == never, (method, path, sent)
            assert foreign[0] == 404, (method, path, foreign)
            count += 1
    assert count >= 15
    assert victim.state() == before


def test_foreign__no_route_lets_a_reader_change_anything(shared, cloud, victim):
    """Of the same organization, with the right to look only."""
    k = key()
    cloud.person(f"Bearer {k}", org=victim.org, permissions=[VIEW])
    colleague = shared(k)
    before = victim.state()
    for method, path, names in operations(victim.paths):
        if method == "GET":
            continue
        for sent in bodies(method, path):
            code, text = call(colleague, method, path, {n: victim.ids[n] for n in names}, **sent)
            assert code in (403, 404), (method, path, sent, code, text)
    assert victim.state() == before


def test_foreign__uploads_are_of_one_user_alone(shared, cloud, victim):
    k = key()
    cloud.person(f"Bearer {k}", org=victim.org, permissions=[VIEW, MANAGE])
    colleague = shared(k)
    for method, path, names in operations(victim.paths):
        if names != ["upload_id"]:
            continue
        foreign = call(colleague, method, path, victim.ids)
        assert foreign == call(colleague, method, path, {"upload_id": str(uuid.uuid4())})
        assert foreign[0] == 404
    assert colleague.get("/v1/uploads").json()["total"] == 0
    assert victim.api.get(f"/v1/uploads/{victim.ids['upload_id']}").status_code == 200


@pytest.mark.parametrize("same_org", [False, True])
def test_foreign__uploads_are_not_read_by_way_of_an_automation(shared, cloud, victim, same_org):
    k = key()
    cloud.person(f"Bearer {k}", org=victim.org if same_org else None, permissions=[VIEW, MANAGE])
    thief = shared(k)
    own = thief.create()
    for path in (victim.upload["tarball_path"], victim.upload["tarball_path"].upper().replace("OH-INTERNAL", "oh-internal")
                 .replace("UPLOADS", "uploads"), f"oh-internal://uploads/{uuid.uuid4()}"):
        reply = thief.patch(f"/v1/{own['id']}", json={"tarball_path": path})
        assert (reply.status_code, reply.json()["detail"]) == (404, "Upload not found"), path
        reply = thief.post("/v1", json={"name": "x", "trigger": NEVER, "entrypoint": "./x", "tarball_path": path})
        assert (reply.status_code, reply.json()["detail"]) == (404, "Upload not found"), path
    assert thief.get(f"/v1/{own['id']}").json()["tarball_path"] == own["tarball_path"]
    thief.delete(f"/v1/{own['id']}")


def test_foreign__lists_hold_nothing_of_others(shared, cloud, victim):
    k = key()
    cloud.person(f"Bearer {k}", permissions=[VIEW, MANAGE])
    stranger = shared(k)
    count = 0
    for path, methods in victim.paths.items():
        if "get" not in methods or "{" in path or not methods["get"].get("security"):
            continue
        for query in ({}, {"limit": 100}, {"created_by": "others"}, {"name": victim.automation["name"]}, {"cursor": ""},
                      {"created_by": "others", "cursor": ""}):
            text = stranger.get(path[len(PREFIX):], params=query).text
            count += 1
            for secret in [*victim.ids.values(), victim.automation["name"], "private hook", victim.who["id"]]:
                assert secret not in text, (path, query)
    assert count >= 15
    # a place in somebody else's list is a place in one's own
    first = victim.api.create()
    cursor = victim.api.get("/v1", params={"limit": 1, "cursor": ""}).json()["next_cursor"]
    assert cursor
    assert stranger.get("/v1", params={"cursor": cursor}).json()["automations"] == []
    victim.api.delete(f"/v1/{first['id']}")


def test_foreign__the_same_person_in_another_organization_is_a_stranger(shared, cloud, victim):
    other = str(uuid.uuid4())
    with cloud.lock:
        cloud.people[f"Bearer {victim.key}"][1].add(other)
    for method, path, names in operations(victim.paths):
        for sent in bodies(method, path):
            code, text = call(victim.api, method, path, victim.ids, headers={"X-Org-Id": other}, **sent)
            assert code == 404, (method, path, code, text)


def test_foreign__followers_are_refused_like_any_reader(shared, cloud, victim):
    k = key()
    cloud.person(f"Bearer {k}", permissions=[VIEW, MANAGE])
    reply = shared(k).get(f"/v1/runs/{victim.ids['run_id']}/logs", params={"follow": "true"})
    assert reply.status_code == 404
    assert victim.api.get(f"/v1/runs/{victim.ids['run_id']}/logs").status_code == 200
