# SPDX-License-Identifier: MIT
"""test/api/test_canary.py: secrets that are planted are found nowhere again in clear.

A daemon of its own is given canaries wherever a secret can be given; then its folder (database, its log,
backups), its own log, its answers and the command lines of its processes are searched for them.
"""
import base64
import os
import subprocess

import pytest

from conftest import BINARY, HOST

pytestmark = pytest.mark.skipif(HOST != "daemon", reason="starts daemons of its own; the extension has test/tap")

CANARIES = {name: f"canary-{name}-5f1c0d9a7b" for name in
            ("local-key", "agent-key", "hook", "own-secret", "builtin-secret", "env", "env-changed", "token", "cookie",
             "refused-secret")}
NEVER = {"type": "event", "source": "manual", "on": []}
# an operator's own files, and the key of the agent in the file that leads to it
OWN_FILES = {"api.key", "secret.key", "agent.json"}


def forms(secret):
    return [secret.encode(), secret.encode().hex().encode(), base64.b64encode(secret.encode()).rstrip(b"=")]


def found_in(data, secrets):
    return [name for name, secret in secrets.items() for form in forms(secret) if form in data]


def search_folder(folder, secrets):
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            if path == folder and name in OWN_FILES:
                continue
            try:
                with open(os.path.join(path, name), "rb") as f:
                    found += [(os.path.join(path, name), secret) for secret in found_in(f.read(), secrets)]
            except OSError:  # a socket or fifo, or gone meanwhile
                continue
    return found


def command_lines(daemon):
    """Of the daemon, its agent and all below them."""
    wanted = {daemon.process.pid, (daemon.state("agent.json") or {}).get("pid")}
    lines = b""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                line = f.read()
        except OSError:
            continue
        if int(entry) in wanted or parent in wanted or daemon.data.encode() in line:
            lines += line + b"\n"
    assert b"serve" in lines
    return lines


def test_canary__no_secret_is_found_in_clear(daemons, tmp_path):
    daemon = daemons(args=["--log-level", "debug"],
                     env={"AUTOMATION_LOCAL_API_KEY": CANARIES["local-key"],
                          "AUTOMATION_WEBHOOK_SECRET": CANARIES["builtin-secret"],
                          "AUTOMATION_AGENT_SERVER_API_KEY": CANARIES["agent-key"]}).start()
    api = daemon.api()
    said = []  # every answer but the two that tell a new secret, once

    def say(reply, *codes):
        assert reply.status_code in codes, reply.text
        said.append(repr(dict(reply.headers)) + reply.text)
        return reply

    # webhooks: a secret of one's own, a generated one, a rotated one, a refused one
    own = say(api.post("/v1/webhooks", json={"name": "a", "source": "a", "webhook_secret": CANARIES["own-secret"]}), 201)
    made = api.post("/v1/webhooks", json={"name": "b", "source": "b"}).json()
    told = {"generated": made["webhook_secret"],
            "rotated": api.post(f"/v1/webhooks/{made['id']}/rotate-secret").json()["webhook_secret"]}
    say(api.post("/v1/webhooks", json={"name": "a", "source": "a", "webhook_secret": CANARIES["refused-secret"]}), 409)
    say(api.post("/v1/webhooks", json={"name": "c", "source": "c", "webhook_secret": CANARIES["refused-secret"] * 20}), 422)
    say(api.patch(f"/v1/webhooks/{made['id']}", json={"name": "renamed"}), 200)
    # deliveries, signed wrongly
    org = own.json()["org_id"]
    for source in ("a", "github"):
        for headers in ({}, {"X-Signature-256": CANARIES["hook"], "X-Hub-Signature-256": CANARIES["hook"]}):
            say(api.post(f"/v1/events/{org}/{source}", json={"type": "x"}, headers=headers, key=False), 401)
    say(api.get("/v1/events/github/requested-types", key=False, headers={"X-Hub-Signature-256": CANARIES["hook"]}), 401)
    # variables of an automation, with a run that gets them
    automation = api.create("test -n \"$TOKEN\" && echo it is there", NEVER, environment={"TOKEN": CANARIES["env"]})
    run = api.dispatch(automation["id"])
    assert api.ended(run["id"])["status"] == "COMPLETED"
    assert "it is there" in api.output(run["id"])
    say(api.patch(f"/v1/{automation['id']}", json={"environment": {"TOKEN": CANARIES["env-changed"]}}), 200)
    say(api.patch(f"/v1/{automation['id']}", json={"environment": {"NOT A NAME": CANARIES["env"]}, "name": ""}), 422)
    say(api.post("/v1", json={"environment": {"A": CANARIES["env"]}, "enabled": True, "state": "INACTIVE"}), 422)
    # credentials that are none
    say(api.get("/v1", key=False, headers={"Authorization": f"Bearer {CANARIES['token']}"}), 401)
    say(api.get("/v1", key=False, headers={"X-Session-API-Key": CANARIES["token"]}), 401)
    say(api.get("/v1", key=False, headers={"Cookie": f"keycloak_auth={CANARIES['cookie']}"}), 401)
    for path in ("/v1", "/v1/webhooks", f"/v1/{automation['id']}", f"/v1/{automation['id']}/runs", "/v1/all-runs",
                 "/v1/events", f"/v1/runs/{run['id']}", "/server_info", "/openapi.json"):
        say(api.get(path), 200)

    secrets = {**CANARIES, **told}
    assert found_in(command_lines(daemon), secrets) == []
    assert found_in("\n".join(said).encode(), secrets) == []
    copy = tmp_path / "copy.db"
    subprocess.run([BINARY, "backup", str(copy), "--data", daemon.data], check=True, timeout=60, capture_output=True)
    assert found_in(copy.read_bytes(), secrets) == []
    assert search_folder(daemon.data, {"control": "renamed"}), "the search itself finds what is in clear"
    assert search_folder(daemon.data, secrets) == []
    shown = subprocess.run([BINARY, "config", "--show-origin"], env=daemon.env, capture_output=True, timeout=30)
    assert found_in(shown.stdout + shown.stderr, secrets) == []
    daemon.stop()
    assert search_folder(daemon.data, secrets) == []
    with open(os.path.join(daemon.data, "secret.key")) as f:
        assert os.stat(f.fileno()).st_mode & 0o777 == 0o600
    assert not [name for name in os.listdir("/tmp") if run["id"] in name]


def test_canary__another_key_opens_nothing(daemons):
    daemon = daemons().start()
    api = daemon.api()
    automation = api.create("echo never", NEVER, environment={"TOKEN": "x"})
    daemon.stop()
    path = os.path.join(daemon.data, "secret.key")
    with open(path, "w") as f:
        f.write("ab" * 32 + "\n")
    api = daemon.start().api()
    run = api.dispatch(automation["id"])
    ended = api.ended(run["id"])
    assert ended["status"] == "FAILED" and "another key" in ended["error_detail"]
    refused = api.patch(f"/v1/{automation['id']}", json={"environment": {"TOKEN": "y"}})
    assert refused.status_code == 503 and "another key" in refused.json()["detail"]
    # the way out: take all away, set it again
    assert api.patch(f"/v1/{automation['id']}", json={"environment": None}).status_code == 200
    assert api.patch(f"/v1/{automation['id']}", json={"environment": {"TOKEN": "y"}}).json()["environment"] == ["TOKEN"]
