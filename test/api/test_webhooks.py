# SPDX-License-Identifier: MIT
"""test/api/test_webhooks.py: custom webhooks (http-api.md section 13) and what forwarders ask for (section 12)."""
import hashlib
import hmac
import hashlib
import hmac
import re
import uuid

import pytest

from conftest import WEBHOOK_SECRET

MEMBERS = ["id", "org_id", "name", "source", "webhook_url", "event_key_expr", "signature_header", "signature_scheme",
           "event_id_header", "enabled", "created_at", "updated_at"]


def a_source():
    return "src-" + uuid.uuid4().hex[:12]


@pytest.fixture
def webhook(api):
    made = []

    def make(**members):
        body = {"name": "orders", "source": a_source(), **members}
        reply = api.post("/v1/webhooks", json=body)
        assert reply.status_code == 201, reply.text
        made.append(reply.json()["id"])
        return reply.json()

    yield make
    for id_ in made:
        api.delete(f"/v1/webhooks/{id_}")


def test_webhook__is_made_with_its_defaults_and_a_secret_told_once(api, webhook):
    source = a_source()
    made = webhook(source=source.upper())
    secret = made.pop("webhook_secret")
    assert re.fullmatch(r"whsec_[A-Za-z0-9_-]{43}", secret)
    assert list(made) == MEMBERS
    assert made["source"] == source
    assert made["webhook_url"].endswith(f"/api/automation/v1/events/{made['org_id']}/{source}")
    assert (made["event_key_expr"], made["signature_header"], made["signature_scheme"], made["event_id_header"],
            made["enabled"]) == ("type", "X-Signature-256", "hmac_sha256_hex", None, True)
    got = api.get(f"/v1/webhooks/{made['id']}")
    assert got.json() == made
    assert secret not in got.text + api.get("/v1/webhooks?limit=100").text


def test_webhook__keeps_a_secret_of_the_callers(api, webhook):
    made = webhook(webhook_secret="my-own-secret-1", event_id_header="X-Id", signature_scheme="slack_v0")
    assert made["webhook_secret"] is None
    assert (made["event_id_header"], made["signature_scheme"]) == ("X-Id", "slack_v0")
    assert "my-own-secret-1" not in api.get(f"/v1/webhooks/{made['id']}").text


def test_webhook__has_one_row_per_source(api, webhook):
    made = webhook()
    again = api.post("/v1/webhooks", json={"name": "x", "source": made["source"].title()})
    assert again.status_code == 409, again.text
    assert isinstance(again.json()["detail"], str)


@pytest.mark.parametrize("body, loc", [
    ({"source": "x"}, ["body", "name"]),
    ({"name": "x"}, ["body", "source"]),
    ({"name": "x", "source": "github"}, ["body", "source"]),
    ({"name": "x", "source": "-a"}, ["body", "source"]),
    ({"name": "x", "source": "a b"}, ["body", "source"]),
    ({"name": "x", "source": "ok", "webhook_secret": "short"}, ["body", "webhook_secret"]),
    ({"name": "x", "source": "ok", "event_key_expr": "a["}, ["body", "event_key_expr"]),
    ({"name": "x", "source": "ok", "signature_header": "1x"}, ["body", "signature_header"]),
    ({"name": "x", "source": "ok", "signature_scheme": "none"}, ["body", "signature_scheme"]),
    ({"name": "x", "source": "ok", "enabled": False}, ["body", "enabled"]),
])
def test_webhook__refuses_what_is_none(api, body, loc):
    reply = api.post("/v1/webhooks", json=body)
    assert reply.status_code == 422, reply.text
    assert loc in [problem["loc"] for problem in reply.json()["detail"]]


def test_webhook__is_changed_but_for_source_and_secret(api, webhook):
    made = webhook(event_id_header="X-Id")
    path = f"/v1/webhooks/{made['id']}"
    changed = api.patch(path, json={"name": "bills", "event_key_expr": "kind", "signature_header": "X-Sig",
                                    "signature_scheme": "standard_webhooks", "event_id_header": None,
                                    "enabled": False})
    assert changed.status_code == 200, changed.text
    got = changed.json()
    assert (got["name"], got["event_key_expr"], got["signature_header"], got["signature_scheme"],
            got["event_id_header"], got["enabled"]) == ("bills", "kind", "X-Sig", "standard_webhooks", None, False)
    assert api.get(path).json() == got
    assert api.patch(path, json={"signature_scheme": None}).json()["signature_scheme"] == "hmac_sha256_hex"
    before = api.get(path).json()
    assert api.patch(path, json={}).json() == before
    for body in ({"source": "other"}, {"webhook_secret": "long enough"}, {"name": None}, {"enabled": None}):
        assert api.patch(path, json=body).status_code == 422, body
    assert api.get(path).json() == before


def test_webhook__has_its_secret_rotated(api, webhook):
    made = webhook()
    reply = api.post(f"/v1/webhooks/{made['id']}/rotate-secret")
    assert reply.status_code == 200, reply.text
    assert list(reply.json()) == ["webhook_secret"]
    assert re.fullmatch(r"whsec_[A-Za-z0-9_-]{43}", reply.json()["webhook_secret"])
    assert reply.json()["webhook_secret"] != made["webhook_secret"]


def test_webhook__is_gone_when_deleted(api, webhook):
    made = webhook()
    path = f"/v1/webhooks/{made['id']}"
    assert api.delete(path).status_code == 204
    assert api.delete(path).status_code == 404
    assert api.get(path).status_code == 404
    assert api.patch(path, json={"name": "x"}).status_code == 404
    assert api.post(path + "/rotate-secret").status_code == 404
    assert api.post("/v1/webhooks", json={"name": "x", "source": made["source"]}).status_code == 201
    for row in api.get("/v1/webhooks?limit=100").json()["webhooks"]:
        if row["source"] == made["source"]:
            api.delete(f"/v1/webhooks/{row['id']}")


def test_webhook__lists_come_in_pages(api, webhook):
    ids = [webhook(name=f"n{i}")["id"] for i in range(5)]
    whole = api.get("/v1/webhooks?limit=100").json()
    assert whole["total"] == len(whole["webhooks"]) >= 5
    wanted = [row["id"] for row in whole["webhooks"]]
    assert set(ids) <= set(wanted)
    by_offset = [row["id"] for offset in range(0, len(wanted), 2)
                 for row in api.get(f"/v1/webhooks?limit=2&offset={offset}").json()["webhooks"]]
    assert by_offset == wanted
    by_cursor, cursor = [], ""
    while cursor is not None:
        page = api.get("/v1/webhooks", params={"limit": 2, "cursor": cursor}).json()
        by_cursor += [row["id"] for row in page["webhooks"]]
        assert page["total"] is None
        cursor = page["next_cursor"]
    assert by_cursor == wanted
    assert api.get("/v1/webhooks?limit=0").status_code == 422


def test_webhook__needs_a_key(api):
    for call in (lambda: api.get("/v1/webhooks", key=False), lambda: api.post("/v1/webhooks", json={}, key=False),
                 lambda: api.delete(f"/v1/webhooks/{uuid.uuid4()}", key=False)):
        assert call().status_code == 401


def test_requested_types__are_asked_for_with_the_shared_secret(api):
    reply = api.get("/v1/events/nothing/requested-types", key=False)
    assert reply.status_code == 404, reply.text
    reply = api.get("/v1/events/github/requested-types", key=False)
    assert reply.status_code == 401, reply.text
    signature = hmac.new(WEBHOOK_SECRET.encode(), b"github", hashlib.sha256).hexdigest()
    reply = api.get("/v1/events/github/requested-types", key=False, headers={"X-Hub-Signature-256": signature})
    assert reply.status_code == 200, reply.text
    assert "push" in reply.json()["event_types"]


def test_requested_types__are_not_there_without_a_secret(daemons):
    api = daemons().start().api()
    for source in ("github", "nothing"):
        reply = api.get(f"/v1/events/{source}/requested-types", key=False)
        assert reply.status_code == 404, reply.text


def test_requested_types__are_told_to_who_knows_the_secret(daemons):
    secret = "secret-of-the-forwarder"
    daemon = daemons(env={"AUTOMATION_WEBHOOK_SECRET": secret}, args=["--no-agent"]).start()
    api = daemon.api()

    def ask(source, key=secret):
        signature = "sha256=" + hmac.new(key.encode(), source.encode(), hashlib.sha256).hexdigest()
        return api.get(f"/v1/events/{source}/requested-types", key=False, headers={"x-hub-signature-256": signature})

    for on, source in ((["issue:created", "comment.*"], "jira_dc"), ("pr:opened.x", "bitbucket_data_center"),
                       (["*.x", "repo"], "azure_devops")):
        api.create("x", {"type": "event", "source": source, "on": on})
    github = ask("github")
    assert github.status_code == 200, github.text
    assert github.json()["event_types"] == ["pull_request", "pull_request_review", "issues", "issue_comment", "push",
                                            "release"]
    rules = github.json()["event_detection_rules"]
    assert [rule["event_type"] for rule in rules][:2] == ["pull_request_review", "pull_request"] and len(rules) == 8
    assert ask("jira_dc").json() == {"source": "jira_dc", "event_types": ["comment", "issue:created"],
                                     "event_detection_rules": []}
    assert ask("bitbucket_data_center").json()["event_types"] == ["pr:opened"]
    assert ask("azure_devops").json()["event_types"] == ["*"]
    assert ask("github", "wrong").status_code == 401
    assert api.get("/v1/events/github/requested-types", key=False).status_code == 401
    assert ask("my-own").status_code == 404
