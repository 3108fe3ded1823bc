# SPDX-License-Identifier: MIT
"""main.py, finish_tool_hook.py and setup.sh of prompt automations, each by itself: what they say to whom,
what they make of an event, what they do when something is missing.  Nothing is installed."""

import http.server
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import threading
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

sys.dont_write_bytecode = True
FOLDER = pathlib.Path(__file__).resolve().parents[2] / "core" / "service" / "preset"


def load(name):
    spec = importlib.util.spec_from_file_location(f"preset_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def main():
    return load("main")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("AUTOMATION_", "OPENHANDS_", "OH_", "SESSION_", "AGENT_SERVER", "WORKSPACE_", "SANDBOX_")):
            monkeypatch.delenv(name)


class Service:
    """The automation service, as a script sees it."""

    def __init__(self):
        self.requests = []
        self.version = '{"version":"1.58.0"}'
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, text):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                service.requests.append((self.command, self.path, self.headers.get("Authorization"), body.decode()))
                self.send_response(200 if text else 503)
                self.end_headers()
                self.wfile.write((text or "").encode())

            def do_GET(self):
                self.answer(service.version)

            def do_POST(self):
                self.answer("{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def service():
    it = Service()
    yield it
    it.close()


# ---- main.py -----------------------------------------------------------------------------------


def test_compose__prompt_alone(main):
    assert main.compose("Do it.\n", "", {}) == "Do it.\n"


def test_compose__everything(main):
    told = main.compose("Do it.", "## Cloned Repositories\n\n- r\n", {"event": {"ü": 1}, "follow_up_turns": ["one", " ", 2, "two\n"]})
    assert told == ("## Cloned Repositories\n\n- r\n\n## Event Payload\n\n```json\n{\n  \"ü\": 1\n}\n```\n\n"
                    "## Follow-up messages\n\none\n\ntwo\n\n## Task\n\nDo it.")


def test_event_payload__whatever_it_is(main, monkeypatch):
    for text, wanted in (("{\"a\":1}", {"a": 1}), ("[1]", {}), ("{", {}), ("", {})):
        monkeypatch.setenv("AUTOMATION_EVENT_PAYLOAD", text)
        assert main.event_payload() == wanted


def test_choose__by_weight(main):
    variants = [{"name": "a", "weight": 1}, {"name": "b", "weight": 3}]
    seen = []
    assert main.choose(variants, lambda of, weights: seen.append(weights) or [of[1]])["name"] == "b"
    assert seen == [[1, 3]]
    assert {main.choose(variants)["name"] for _ in range(200)} == {"a", "b"}


def test_title__of_what_the_event_is_about(main):
    event = {"repository": {"full_name": "a/b"}, "pull_request": {"number": 7}}
    assert main.title("n", {"event": event}) == "n — a/b#7"
    assert main.title("n", {"event": {"payload": event}}) == "n — a/b#7"
    now = datetime(2026, 7, 1, 8, 0, 5, tzinfo=timezone.utc)
    assert main.title("n", {"event": {"repository": "x"}}, now) == "n — 2026-07-01 08:00:05 UTC"
    long = main.title("x" * 500, {"event": event})
    assert len(long) == 200 and long.endswith(" — a/b#7")


def test_tags__only_what_there_is(main, monkeypatch):
    monkeypatch.setenv("AUTOMATION_RUN_ID", "r")
    found = main.tags({"trigger": "cron", "automation_id": "i", "automation_name": "n" * 300}, "e", None, "p")
    assert found == {"automationtrigger": "cron", "automationid": "i", "automationname": "n" * 256,
                     "automationrunid": "r", "experimentid": "e", "modelprofile": "p"}
    assert all(name.isalnum() and name.islower() for name in found)


def test_reporter__at_most_every_four_seconds_and_no_arguments(main):
    now, told = [0.0], []
    reporter = main.Reporter(clock=lambda: now[0], tell=told.append)
    for at, event in ((0, SimpleNamespace(summary="one")), (3.9, SimpleNamespace(summary="two")),
                      (4.0, SimpleNamespace(summary="three")), (9, SimpleNamespace(other=1)),
                      (9, SimpleNamespace(summary=" ")),
                      (9, SimpleNamespace(summary='terminal: {"command": "x"}', tool_name="terminal"))):
        now[0] = at
        reporter(event)
    assert told == ["one", "three", "Using terminal"]


def test_redacted__our_own_keys(main, monkeypatch):
    monkeypatch.setenv("SESSION_API_KEY", "s3cret-of-the-session")
    monkeypatch.setenv("SHORT_KEY", "a")
    assert main.redacted("use s3cret-of-the-session at a") == "use <redacted> at a"


def test_phase__is_posted_with_the_key(main, monkeypatch, service):
    main.phase("nobody listens")  # no URL: nothing happens
    monkeypatch.setenv("AUTOMATION_PHASE_URL", service.url + "/phase")
    monkeypatch.setenv("OPENHANDS_API_KEY", "cloud")
    main.phase("  at\n work " + "x" * 300)
    monkeypatch.setenv("AUTOMATION_CALLBACK_API_KEY", "local")
    main.phase("again")
    assert [(r[0], r[1], r[2]) for r in service.requests] == [
        ("POST", "/phase", "Bearer cloud"), ("POST", "/phase", "Bearer local")]
    assert json.loads(service.requests[0][3])["phase"] == ("at work " + "x" * 300)[:200]
    monkeypatch.setenv("AUTOMATION_PHASE_URL", "http://127.0.0.1:9/")
    main.phase("a service that is not there stops nothing")


def test_check_environment__names_what_is_missing(main, monkeypatch, tmp_path):
    with pytest.raises(RuntimeError, match="OPENHANDS_CLOUD_API_URL and OPENHANDS_API_KEY and SANDBOX_ID"):
        main.check_environment()
    monkeypatch.setenv("AGENT_SERVER_URL", "http://127.0.0.1:9")
    with pytest.raises(RuntimeError, match="WORKSPACE_BASE must be set"):
        main.check_environment()
    monkeypatch.setenv("WORKSPACE_BASE", str(tmp_path / "none"))
    with pytest.raises(RuntimeError, match="does not exist"):
        main.check_environment()
    monkeypatch.setenv("WORKSPACE_BASE", str(tmp_path))
    main.check_environment()


# ---- finish_tool_hook.py -----------------------------------------------------------------------


def hook(folder, event):
    script = folder / "finish_tool_hook.py"
    if not script.exists():
        script.write_text((FOLDER / "finish_tool_hook.py").read_text())
    text = event if isinstance(event, str) else json.dumps(event)
    return subprocess.run([sys.executable, str(script)], input=text, capture_output=True, text=True, timeout=30)


def test_hook__refuses_until_finish_was_called(tmp_path):
    stop = {"event_type": "Stop", "session_id": "s-1"}
    refused = hook(tmp_path, stop)
    assert refused.returncode == 2
    answer = json.loads(refused.stdout)
    assert answer["decision"] == "deny" and "finish tool" in answer["reason"]
    assert hook(tmp_path, {"event_type": "PostToolUse", "tool_name": "terminal", "session_id": "s-1"}).returncode == 0
    assert hook(tmp_path, stop).returncode == 2
    assert hook(tmp_path, {"event_type": "PostToolUse", "tool_name": "finish", "session_id": "s-1"}).returncode == 0
    allowed = hook(tmp_path, stop)
    assert (allowed.returncode, allowed.stdout) == (0, "")
    # another conversation is another matter
    assert hook(tmp_path, {**stop, "session_id": "../s-2"}).returncode == 2


@pytest.mark.parametrize("event", ["", "{", "[]", "null"])
def test_hook__lets_go_when_it_cannot_tell(tmp_path, event):
    assert hook(tmp_path, event).returncode == 0


# ---- setup.sh ----------------------------------------------------------------------------------


def setup(folder, service, version="1.58.0", uv=True, **environment):
    """Run it in a folder, with a `uv` that only writes down how it was called."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for tool in ("bash", "sed", "curl", "cat", "mkdir", "env", "chmod", "python3"):
        path = next((p for p in (f"/usr/bin/{tool}", f"/bin/{tool}") if os.path.exists(p)), None)
        if path and not (tools / tool).exists():
            (tools / tool).symlink_to(path)
    if uv:
        (tools / "uv").write_text(
            '#!/bin/sh\nprintf "%s\\n" "uv $*" >> uv.log\n'
            'if [ "$1" = venv ]; then mkdir -p .venv/bin; printf "#!/bin/sh\\nexit ${UV_TEST_IMPORT:-0}\\n" > .venv/bin/python; '
            "chmod +x .venv/bin/python; fi\n")
        (tools / "uv").chmod(0o755)
    done = subprocess.run(["bash", str(FOLDER / "setup.sh")], cwd=folder, capture_output=True, text=True, timeout=60,
                          env={"PATH": str(tools), "AUTOMATION_API_URL": service.url, **environment})
    log = folder / "uv.log"
    return done, log.read_text().splitlines() if log.exists() else []


def test_setup__installs_exactly_the_version_the_service_names(tmp_path, service):
    done, calls = setup(tmp_path, service, AUTOMATION_PHASE_URL=service.url + "/phase", AUTOMATION_CALLBACK_API_KEY="k")
    assert done.returncode == 0, done.stderr
    assert [call.split()[1] for call in calls] == ["venv", "pip"]
    assert ">=3.12,<3.14" in calls[0]
    assert calls[1].split()[-3:] == ["openhands-sdk==1.58.0", "openhands-tools==1.58.0", "openhands-workspace==1.58.0"]
    assert service.requests == [("GET", "/sdk-version", "Bearer k", ""),
                                ("POST", "/phase", "Bearer k", '{"phase":"Installing dependencies"}')]


@pytest.mark.parametrize("answer", ["", "{}", '{"version":"$(touch x)"}', "not JSON"])
def test_setup__fails_without_a_version(tmp_path, service, answer):
    service.version = answer
    done, calls = setup(tmp_path, service)
    assert done.returncode != 0 and "sdk-version" in done.stderr and not calls
    assert not (tmp_path / "x").exists()


def test_setup__fails_when_the_sdk_cannot_be_imported(tmp_path, service):
    done, _ = setup(tmp_path, service, UV_TEST_IMPORT="1")
    assert done.returncode != 0 and "cannot be imported" in done.stderr


def test_setup__nobody_to_tell_is_no_reason_to_stop(tmp_path, service):
    done, _ = setup(tmp_path, service, AUTOMATION_PHASE_URL="http://127.0.0.1:9/")
    assert done.returncode == 0, done.stderr


def test_setup__needs_the_service(tmp_path, service):
    done, _ = setup(tmp_path, service, AUTOMATION_API_URL="")
    assert done.returncode != 0 and "AUTOMATION_API_URL" in done.stderr


def test_cloud_account__only_beside_an_agent_server(main, monkeypatch):
    assert main.cloud_account() is None
    monkeypatch.setenv("OPENHANDS_CLOUD_API_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("OPENHANDS_API_KEY", "key-of-the-cloud")
    assert main.cloud_account() is None  # in a sandbox the SDK asks
    monkeypatch.setenv("AGENT_SERVER_URL", "http://127.0.0.1:9")
    assert main.cloud_account() is None  # a cloud that is away stops nothing


def test_cloud_servers__are_named_as_in_the_cloud(main):
    config = {"sse_servers": [{"url": "u1", "api_key": "k"}], "shttp_servers": [{"url": "u2"}],
              "stdio_servers": [{"name": "n", "command": "c", "args": ["a"]}]}
    assert main.cloud_servers({"mcp_config": config}, dict) == {
        "sse_0": {"url": "u1", "transport": "sse", "headers": {"Authorization": "Bearer k"}},
        "shttp_0": {"url": "u2", "transport": "streamable-http", "headers": None},
        "n": {"command": "c", "args": ["a"], "env": None}}
    for account in (None, {}, {"mcp_config": None}, {"mcp_config": []}):
        assert main.cloud_servers(account, dict) == {}
