# SPDX-License-Identifier: MIT
"""Prompt and plugin presets on the real agent server, with a stand-in for the language model: our main.py
against the real SDK, from the request to the end of the run."""

import contextlib
import importlib.util
import json
import subprocess
import urllib.request

import pytest

from conftest import HERE, KEY, Daemon

_spec = importlib.util.spec_from_file_location("fake_llm", HERE.parent / "fakes" / "llm.py")
fake_llm = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_llm)

# Installing the SDK takes seconds with a warm cache of uv, minutes without.
SECONDS = 280


@pytest.fixture
def model(request):
    it = fake_llm.Model(**getattr(request, "param", {}))
    yield it
    it.close()


@pytest.fixture(scope="module")
def daemon(real_server):
    it = Daemon(real_server)
    try:
        yield it.start()
    finally:
        it.remove()


def ask(server, method, path, body=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}", method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Session-API-Key": KEY, "Content-Type": "application/json"})  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read() or b"null")


@contextlib.contextmanager
def profile(server, name, model):
    """A model profile of the agent server that leads to the stand-in, at prices of its own."""
    llm = {"model": "openai/stand-in", "base_url": model.url, "api_key": "sk-stand-in",
           "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}  # fmt: skip
    ask(server, "POST", f"/api/profiles/{name}", {"llm": llm})
    try:
        yield
    finally:
        ask(server, "DELETE", f"/api/profiles/{name}")


def said_by_user(model):
    """What the agent was told, as one text."""
    return "\n".join(json.dumps(m["content"], ensure_ascii=False) for r in model.requests if r.get("tools")
                     for m in r["messages"] if m["role"] == "user")  # fmt: skip


def completed(daemon, run_id):
    run = daemon.ended(run_id, SECONDS)
    assert run["status"] == "COMPLETED", (run, daemon.output(run_id)[-3000:])
    assert run["conversation_id"]
    return run


@pytest.mark.timeout(SECONDS + 60)
def test_prompt__completes_with_conversation_and_cost(daemon, real_server, model, tmp_path):
    repository = real_server.path("/workspace/suite-repository")
    for command in (["init", "-q", "-b", "main", str(repository)],
                    ["-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@x.test",
                     "commit", "-q", "--allow-empty", "-m", "first"]):  # fmt: skip
        subprocess.run(["git", *command], check=True, timeout=60)
    with profile(real_server, "suite", model):
        daemon("create", "greets", "--prompt", "Say grüße.", "--model", "suite", "--timeout", "900",
               "--repo", "file:///workspace/suite-repository")
        run_id = daemon("run", "greets", "--input", '{"issue": {"number": 7}, "repository": {"full_name": "a/b"}}').stdout.strip()
        run = completed(daemon, run_id)
    # 1,000 tokens in, 100 out, for each request
    assert run["cost"] == pytest.approx(0.0012 * len([r for r in model.requests if r.get("tools")]))
    told = said_by_user(model)
    for words in ("## Cloned Repositories", "suite-repository", "## Event Payload", "full_name", "## Task", "Say grüße."):
        assert words in told, told
    conversation = ask(real_server, "GET", f"/api/conversations/{run['conversation_id']}")
    assert conversation["title"] == "greets — a/b#7"
    tags = conversation["tags"]
    assert tags["automationname"] == "greets" and tags["automationrunid"] == run_id
    assert tags["automationid"] == run["automation_id"] and tags["modelprofile"] == "suite"
    assert "automationtrigger" in tags


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("model", [{"say_first": True}], indirect=True)
def test_plugin__must_finish_and_falls_back_to_the_default_profile(daemon, real_server, model):
    plugin = real_server.path("/workspace/suite-plugin/.plugin")
    plugin.mkdir(parents=True, exist_ok=True)
    (plugin / "plugin.json").write_text(json.dumps({"name": "suite", "version": "1", "description": "d"}))
    with profile(real_server, "other", model):
        ask(real_server, "POST", "/api/profiles/other/activate")
        daemon("create", "plugged", "--prompt", "Go on.", "--model", "nowhere", "--timeout", "900",
               "--plugin", "/workspace/suite-plugin")
        run = completed(daemon, daemon("run", "plugged").stdout.strip())
    assert "'nowhere' does not exist" in daemon.output(run["id"])
    # the first answer was no call of finish, and the hook did not let it pass
    assert "call the finish tool" in json.dumps(model.requests)
    conversation = ask(real_server, "GET", f"/api/conversations/{run['conversation_id']}")
    assert conversation["execution_status"] == "finished"
    assert conversation["title"].startswith("plugged — 20") and conversation["title"].endswith(" UTC")
    assert "modelprofile" not in conversation["tags"]


@pytest.mark.timeout(SECONDS + 60)
def test_prompt__a_failure_is_reported_with_its_reason(daemon, real_server):
    daemon("create", "clones", "--prompt", "x", "--timeout", "900", "--repo", "file:///no/such/repository")
    run = daemon.ended(daemon("run", "clones").stdout.strip(), SECONDS)
    assert run["status"] == "FAILED"
    assert "cannot clone" in run["error_detail"], run
