# SPDX-License-Identifier: MIT
"""Prompt and plugin presets, capabilities, validate: over HTTP, on both hosts.

No run is executed here (test/real does that): what counts is what is kept, and what the tarball holds.
The daemon's own agent has no conversations, so it gets the address of an agent server that is not there.
"""

import io
import json
import tarfile
import uuid

import pytest

from conftest import HOST, NEVER, Daemon

PROGRAM = {"finish_tool_hook.py", "main.py", "prompt.txt", "setup.sh"}
CRON = {"type": "cron", "schedule": "0 0 29 2 *"}


@pytest.fixture(scope="module")
def presets(api):
    """A server whose runs would go to an agent server."""
    if HOST != "daemon":
        yield api
        return
    # port 9 of loopback: nobody listens
    daemon = Daemon(env={"AUTOMATION_AGENT_SERVER_URL": "http://127.0.0.1:9"})
    try:
        yield daemon.start().api()
    finally:
        daemon.end()


def create(api, kind="prompt", status=201, **fields):
    body = {"name": f"test {uuid.uuid4().hex[:8]}", "prompt": "Say hello.", "trigger": NEVER}
    body.update(fields)
    reply = api.post(f"/v1/preset/{kind}", json=body)
    assert reply.status_code == status, reply.text
    return reply.json()


def members(api, automation):
    reply = api.get(f"/v1/{automation['id']}/tarball")
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(reply.content), mode="r:gz") as tar:
        found = {m.name: m for m in tar}
        assert all((m.uid, m.gid, m.mtime) == (0, 0, 0) for m in found.values())
        assert found["setup.sh"].mode == 0o755
        return {name: tar.extractfile(m).read().decode() for name, m in found.items()}, reply.content


def problems(reply):
    return {(".".join(str(part) for part in p["loc"]), p["type"]) for p in reply["detail"]}


def test_prompt__is_an_automation(presets):
    made = create(presets, description="d", model="fast", timeout=60, prompt="Grüße\n")
    assert made["entrypoint"] == ".venv/bin/python main.py"
    assert made["setup_script_path"] == "setup.sh"
    assert made["tarball_path"].startswith("oh-internal://uploads/")
    assert (made["prompt"], made["model"], made["timeout"]) == ("Grüße\n", "fast", 60)
    assert made["preset_metadata"]["preset_type"] == "prompt"
    assert made["preset_metadata"]["prompt"] == "Grüße\n"
    version = presets.get("/sdk-version", key=False).json()["version"]
    assert made["preset_metadata"]["sdk_version"] == version
    files, _ = members(presets, made)
    assert set(files) == PROGRAM
    assert files["prompt.txt"] == "Grüße\n"


def test_prompt__the_same_twice_is_the_same_tarball(presets):
    one, two = (members(presets, create(presets, repos=["https://x.test/r"]))[1] for _ in "ab")
    assert one == two


def test_prompt__repositories(presets):
    made = create(presets, repos=["http://x.test/a.git", {"url": "o/r", "provider": "github", "ref": "v1"}])
    wanted = [{"url": "https://x.test/a.git"}, {"url": "o/r", "ref": "v1", "provider": "github"}]
    assert made["preset_metadata"]["repos"] == wanted
    assert json.loads(members(presets, made)[0]["repos_config.json"]) == wanted


def test_prompt__all_problems_at_once(presets):
    bad = create(presets, status=422, name="", prompt="", repos=["x y", {"url": "o/r"}, {"ref": "v"}],
                 trigger={"type": "cron", "schedule": "x"}, timeout=0, tarball_path="https://x.test/a")
    assert problems(bad) == {
        ("body.name", "string_too_short"), ("body.prompt", "string_too_short"),
        ("body.repos.0.url", "value_error"), ("body.repos.1", "value_error"),
        ("body.repos.2.url", "missing"), ("body.trigger.cron.schedule", "value_error"),
        ("body.timeout", "value_error"), ("body.tarball_path", "extra_forbidden")}
    bad = presets.post("/v1/preset/prompt", json={})
    assert bad.status_code == 422
    assert problems(bad.json()) == {("body.name", "missing"), ("body.prompt", "missing"),
                                    ("body.trigger", "missing")}


def test_prompt__template_is_used_once(presets):
    template = {"id": uuid.uuid4().hex, "version": "1"}
    made = create(presets, template=template)
    again = create(presets, status=200, template=template, name="other")
    assert again["id"] == made["id"] and again["name"] == made["name"]
    assert made["preset_metadata"]["template"] == template


def test_prompt__needs_a_key(presets):
    assert presets.post("/v1/preset/prompt", json={}, key=False).status_code == 401


def test_prompt__embedded_agent_refuses(api):
    if HOST != "daemon":
        pytest.skip("only the daemon has an embedded agent")
    reply = api.post("/v1/preset/prompt", json={"name": "n", "prompt": "p", "trigger": NEVER})
    assert reply.status_code == 422
    assert "needs an agent server" in reply.json()["detail"]


def test_plugin__plugins_or_variants(presets):
    made = create(presets, "plugin", plugins={"source": "github:o/r", "repo_path": "p"})
    assert made["preset_metadata"]["preset_type"] == "plugin"
    files, _ = members(presets, made)
    assert set(files) == PROGRAM | {"plugins_config.json"}
    assert json.loads(files["plugins_config.json"]) == [{"source": "github:o/r", "repo_path": "p"}]
    variants = [{"name": "a", "weight": 1, "plugins": [{"source": "s"}]},
                {"name": "b", "weight": "3", "model": "m2", "plugins": [{"source": "t", "ref": "v"}]}]
    made = create(presets, "plugin", variants=variants, experiment_id="e", model="m1")
    files, _ = members(presets, made)
    assert set(files) == PROGRAM | {"experiment_config.json"}
    assert json.loads(files["experiment_config.json"]) == {
        "experiment_id": "e", "variants": [{**variants[0], "model": "m1"}, {**variants[1], "weight": 3}]}


@pytest.mark.parametrize("fields, at", [
    ({}, "body"),
    ({"plugins": []}, "body.plugins"),
    ({"plugins": [{"source": "s"}], "experiment_id": "e"}, "body"),
    ({"plugins": [{"source": "s", "repo_path": "../x"}]}, "body.plugins.0.repo_path"),
    ({"experiment_id": "e", "variants": [{"name": "a", "weight": 1, "plugins": [{"source": "s"}]}]}, "body.variants"),
])  # fmt: skip
def test_plugin__rules(presets, fields, at):
    assert (at, "value_error") in problems(create(presets, "plugin", 422, **fields))


def test_patch__prompt_and_repositories_pack_anew(presets):
    made = create(presets, "plugin", plugins={"source": "s"})
    first = made["tarball_path"].rsplit("/", 1)[1]
    changed = presets.patch(f"/v1/{made['id']}", json={"prompt": "Say goodbye.", "repos": "https://x.test/r"})
    assert changed.status_code == 200, changed.text
    changed = changed.json()
    assert changed["tarball_path"] != made["tarball_path"]
    assert changed["prompt"] == changed["preset_metadata"]["prompt"] == "Say goodbye."
    files, _ = members(presets, changed)
    assert files["prompt.txt"] == "Say goodbye."
    assert json.loads(files["repos_config.json"]) == [{"url": "https://x.test/r"}]
    assert json.loads(files["plugins_config.json"]) == [{"source": "s"}]
    assert presets.get(f"/v1/uploads/{first}").status_code == 404
    cleared = presets.patch(f"/v1/{made['id']}", json={"repos": None}).json()
    assert "repos_config.json" not in members(presets, cleared)[0]
    same = presets.patch(f"/v1/{made['id']}", json={"repos": [], "prompt": "Say goodbye."}).json()
    assert same["tarball_path"] == cleared["tarball_path"]


def test_patch__what_cannot_be_packed_anew(presets):
    made = create(presets)
    upload = made["tarball_path"].rsplit("/", 1)[1]
    assert presets.delete(f"/v1/uploads/{upload}").status_code == 204
    changed = presets.patch(f"/v1/{made['id']}", json={"prompt": "x"})
    assert changed.status_code == 200 and changed.json()["tarball_path"] == made["tarball_path"]
    assert presets.patch(f"/v1/{made['id']}", json={"repos": ["https://x.test/r"]}).status_code == 422
    plain = presets.create()
    reply = presets.patch(f"/v1/{plain['id']}", json={"repos": ["https://x.test/r"]})
    assert reply.status_code == 422 and "presets" in reply.json()["detail"]


def test_capabilities__are_what_works(presets):
    reply = presets.get("/v1/capabilities")
    assert reply.status_code == 200
    found = reply.json()
    assert found["ready"] is True and found["maxAutomationTimeoutSeconds"] == 1800
    assert {"presetPrompt", "presetPlugin", "customTarball", "repoUpdate"} <= set(found["features"])
    assert not {"automationDrafts", "kvStore", "conversationDispatch"} & set(found["features"])
    assert found["features"] == sorted(found["features"])
    assert found["triggers"]["cron"]["minIntervalSeconds"] == 60
    assert {"UTC", "Europe/Berlin"} <= set(found["triggers"]["cron"]["timezones"])
    assert presets.get("/v1/capabilities", key=False).status_code == 401


def test_capabilities__name_sources_of_webhooks(presets):
    source = f"shop-{uuid.uuid4().hex[:8]}"
    made = presets.post("/v1/webhooks", json={"name": "n", "source": source, "event_key_expr": "kind.name"})
    assert made.status_code == 201, made.text
    found = presets.get("/v1/capabilities").json()
    assert source in found["eventSources"] and found["eventSources"] == sorted(found["eventSources"])
    assert found["triggerKinds"] == ["cron", "event"] and "webhookDelivery" in found["features"]
    assert len(found["triggers"]["event"]["filterFunctions"]) == 31
    # its key is what its expression says
    draft = {"name": "n", "prompt": "p", "trigger": {"type": "event", "source": source, "on": "paid"}}
    for sample, matched in (({"kind": {"name": "paid"}}, True), ({"kind": {"name": "late"}}, False)):
        assert validate(presets, "/v1/preset/prompt", draft, sampleEvent=sample) == (set(), matched)
    presets.patch(f"/v1/webhooks/{made.json()['id']}", json={"enabled": False})
    assert source not in presets.get("/v1/capabilities").json()["eventSources"]


def validate(api, endpoint, draft, **more):
    reply = api.post("/v1/validate", json={"endpoint": endpoint, "draft": draft, **more})
    assert reply.status_code == 200, reply.text
    reply = reply.json()
    assert reply["valid"] == (not reply["errors"])
    return {(e["field"], e["code"]) for e in reply["errors"]}, reply["sampleEventMatched"]


def test_validate__says_what_creating_would(presets):
    good = {"name": "n", "prompt": "p", "trigger": CRON, "description": None}
    assert validate(presets, "/v1/preset/prompt", good) == (set(), None)
    bad = {"trigger": {"type": "cron", "schedule": "x"}, "repos": [{"url": "x"}]}
    assert validate(presets, "/v1/preset/prompt", bad)[0] == {
        ("name", "missing"), ("prompt", "missing"), ("trigger.schedule", "value_error"),
        ("repos[0].url", "value_error")}  # fmt: skip
    often = {**good, "trigger": {"type": "cron", "schedule": "* * * * * *"}}
    assert validate(presets, "/v1/preset/prompt", often)[0] == {("trigger.schedule", "interval_too_short")}


def test_validate__tries_a_sample_event(presets):
    source = f"shop-{uuid.uuid4().hex[:8]}"
    trigger = {"type": "event", "source": source, "on": "order.*", "filter": "total > `10`"}
    draft = {"name": "n", "prompt": "p", "trigger": trigger}
    for sample, matched in (({"type": "order.paid", "total": 11}, True),
                            ({"type": "order.paid", "total": 9}, False),
                            ({"type": "bill.paid", "total": 11}, False)):
        errors, found = validate(presets, "/v1/preset/prompt", draft, sampleEvent=sample)
        assert (errors, found) == ({("trigger.source", "event_source_not_configured")}, matched)
    errors, found = validate(presets, "/v1/preset/prompt", draft, sampleEvent={"total": 11})
    assert ("sampleEvent", "unparseable_sample_event") in errors and found is None


def test_validate__refuses_a_bad_envelope(presets):
    reply = presets.post("/v1/validate", json={"endpoint": "/v2", "draft": {}, "x": 1})
    assert reply.status_code == 422
    assert problems(reply.json()) == {("body.endpoint", "literal_error"), ("body.x", "extra_forbidden")}
