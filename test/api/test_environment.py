# SPDX-License-Identifier: MIT
"""test/api/test_environment.py: variables of automations: handed to runs, never shown."""
import pytest

SCRIPT = """#!/bin/sh
printf 'A=[%s]\\nB=[%s]\\nNAME=[%s]\\n' "$A" "$B" "$AUTOMATION_NAME"
"""


def make(api, **members):
    return api.create(SCRIPT, name="env", **members)


def output_of_a_run(api, id_):
    run = api.dispatch(id_)
    assert api.ended(run["id"])["status"] == "COMPLETED"
    return api.output(run["id"])


def test_environment__reaches_runs_and_nobody_else(api):
    made = make(api, environment={"A": "it's \"quoted\" $(and) more\nlines", "AUTOMATION_NAME": "not mine to say"})
    assert made["environment"] == ["A", "AUTOMATION_NAME"]
    for text in (api.get(f"/v1/{made['id']}").text, api.get("/v1?limit=100").text):
        assert "$(and)" not in text
    said = output_of_a_run(api, made["id"])
    assert "A=[it's \"quoted\" $(and) more\nlines]" in said
    assert "NAME=[env]" in said  # the contract's variables win


def test_environment__changes_by_name(api):
    made = make(api, environment={"A": "1", "B": "2"})
    path = f"/v1/{made['id']}"
    assert api.patch(path, json={"environment": {"B": None, "C": "3"}}).json()["environment"] == ["A", "C"]
    assert api.patch(path, json={"name": "renamed"}).json()["environment"] == ["A", "C"]
    assert "A=[1]\nB=[]" in output_of_a_run(api, made["id"])
    assert api.patch(path, json={"environment": {"A": "new"}}).json()["environment"] == ["A", "C"]
    assert "A=[new]" in output_of_a_run(api, made["id"])
    assert api.patch(path, json={"environment": None}).json()["environment"] == []
    assert "A=[]" in output_of_a_run(api, made["id"])


@pytest.mark.parametrize("environment", [
    "text", ["A"], {"1A": "canary-1"}, {"A-B": "canary-1"}, {"": "canary-1"}, {"A": 5}, {"A": {"x": "canary-1"}},
    {"A": "canary-1" * 5000}, {f"V{i}": "canary-1" for i in range(101)},
])
def test_environment__refuses_what_is_none_and_does_not_repeat_it(api, environment):
    body = {"name": "env", "trigger": {"type": "cron", "schedule": "0 0 29 2 *"}, "tarball_path": "https://x.test/a",
            "entrypoint": "x", "environment": environment}
    reply = api.post("/v1", json=body)
    assert reply.status_code == 422, reply.text
    assert ["body", "environment"] == reply.json()["detail"][0]["loc"][:2]
    assert "canary-1" not in reply.text


def test_environment__is_not_repeated_beside_other_mistakes(api):
    reply = api.post("/v1", json={"environment": {"A": "canary-2"}, "enabled": True, "state": "INACTIVE", "name": ""})
    assert reply.status_code == 422
    assert "canary-2" not in reply.text
