# SPDX-License-Identifier: MIT
"""Settings and their two doors: each that the daemon knows is a parameter of the extension, or is named
here as one that means nothing there; each secret is a file and is shown to superusers only."""

import json
import os
import subprocess

import pytest

from conftest import BINARY, HOST

NOT_THERE = {"host", "server_port", "db_url", "log_level"}


def settings():
    env = {k: v for k, v in os.environ.items() if not k.startswith("AUTOMATION_")}
    run = subprocess.run([BINARY, "config", "--json", "--data", "/nonexistent"], capture_output=True, text=True, timeout=30,
                         env=env)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)["settings"]


def psql(server, sql):
    environment = {**os.environ, **server.environment}
    run = subprocess.run([os.path.join(server.environment["PG_BINDIR"], "psql"), "-X", "-q", "-A", "-t", "-c",
                          "LOAD 'automation'", "-c", sql], env=environment, capture_output=True, text=True, timeout=60)
    return run.stdout.strip() if run.returncode == 0 else "failed: " + run.stderr


@pytest.mark.skipif(HOST != "extension", reason="about the extension")
def test_parameters__each_setting_is_one(server):
    lines = psql(server, "SELECT name, boot_val FROM pg_settings WHERE name LIKE 'automation.%'").splitlines()
    shown = dict(line.removeprefix("automation.").split("|", 1) for line in lines)
    for setting in settings():
        name = setting["name"].removeprefix("AUTOMATION_").lower()
        default = setting["default"]
        if setting["secret"]:
            assert name not in shown and name + "_file" in shown, name
            for secret in (name, name + "_file"):
                hidden = psql(server, f"SET ROLE pg_database_owner; SHOW automation.{secret}")
                assert hidden.startswith("failed") and "must be superuser" in hidden, secret
        elif name in NOT_THERE:
            assert name not in shown, name
        elif isinstance(default, bool):
            assert shown[name] == ("on" if default else "off"), name
        else:
            assert shown[name] == str(default), name


@pytest.mark.skipif(HOST != "extension", reason="about the extension")
@pytest.mark.parametrize("name, value, says", [
    ("backend", "clowd", "agent-server"), ("allow_private_urls", "maybe", "true"),
    ("allowed_url_hosts", "10.0.0.0/40", "10.0.0.0/40"), ("http_timeout", "0", "0.001"),
])
def test_parameters__bad_values_are_refused_when_they_are_set(server, name, value, says):
    said = psql(server, f"SET automation.{name} = '{value}'")
    assert said.startswith("failed") and says in said, said


@pytest.mark.skipif(HOST != "extension", reason="about the extension")
def test_parameters__a_secret_given_by_value_is_complained_about(server):
    check = "SELECT ok, detail FROM automation.doctor() WHERE item = 'secrets'"
    assert psql(server, check).startswith("t|"), psql(server, check)
    said = psql(server, f"SET automation.service_key = 'x'; {check}")
    assert said.startswith("f|") and "automation.service_key_file" in said, said
    said = psql(server, "SET automation.backend = 'cloud'; SELECT ok, detail FROM automation.doctor() "
                        "WHERE item = 'settings'")
    assert said.startswith("f|") and "AUTOMATION_SERVICE_KEY" in said, said


@pytest.mark.skipif(HOST != "daemon", reason="about the daemon")
def test_parameters__origins_and_what_has_no_effect():
    env = {k: v for k, v in os.environ.items() if not k.startswith("AUTOMATION_")}
    env.update(AUTOMATION_SERVICE_KEY="canary-of-settings", AUTOMATION_AUTH_CACHE_TTL="2.5", LOG_LEVEL="warning",
               AUTOMATION_DB_POOL_SIZE="3", AUTOMATION_WAT="1", AUTOMATION_BACKEND="embedded")
    run = subprocess.run([BINARY, "config", "--show-origin", "--data", "/nonexistent", "--port", "8123"], env=env,
                         capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr
    rows = {line.split()[0]: line.split() for line in run.stdout.splitlines()}
    assert rows["AUTOMATION_AUTH_CACHE_TTL"] == ["AUTOMATION_AUTH_CACHE_TTL", "2.5", "20", "environment",
                                                 "AUTOMATION_AUTH_CACHE_TTL"]
    assert rows["AUTOMATION_SERVER_PORT"][1:] == ["8123", "8000", "flag", "--port"]
    assert rows["AUTOMATION_LOG_LEVEL"][1:] == ["warning", "info", "environment", "LOG_LEVEL"]
    assert rows["AUTOMATION_AUTH_MAX_RETRIES"][1:] == ["3", "3", "default"]
    assert rows["AUTOMATION_SERVICE_KEY"][1] == "(set)"
    assert "canary" not in run.stdout + run.stderr
    assert "AUTOMATION_DB_POOL_SIZE has no effect: " in run.stderr
    assert "AUTOMATION_WAT is not a setting" in run.stderr
