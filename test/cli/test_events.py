# SPDX-License-Identifier: MIT
"""test/cli/test_events.py: `automation events`, `replay`, `test-filter`, and --event of create and edit."""
import hashlib
import hmac
import json
import re
import subprocess
import urllib.request
import uuid

import pytest

from conftest import PROGRAM, wait_until

UUID = r"[0-9a-f]{8}-[0-9a-f-]{27}"


class Source:
    """A webhook of the test's own, and deliveries to it."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.name = "cli" + uuid.uuid4().hex[:12]
        made = daemon.json("webhook", "create", self.name, "--id-header", "X-Id")
        self.secret, self.url = made["webhook_secret"], made["webhook_url"]

    def send(self, body, id=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = hmac.new(self.secret.encode(), data, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Signature-256": f"sha256={signature}", "X-Id": id or uuid.uuid4().hex}
        url = self.url if self.url.startswith("http") else self.daemon.url() + self.url
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as reply:
            return json.load(reply)

    def events(self, *more):
        return self.daemon.json("events", "--source", self.name, *more)["events"]


@pytest.fixture
def source(daemon):
    return Source(daemon)


def test_events__start_what_was_created_for_them(daemon, source):
    made = daemon("create", source.name, "--script", "-", "--event", source.name, "--on", "order.paid, order.refunded",
                  "--filter", "total > `10`", stdin="#!/bin/sh\necho paid\n")
    assert "events start it" in made.stderr
    trigger = daemon.json("show", source.name)["trigger"]
    assert [trigger[k] for k in ("type", "source", "on", "filter")] == [
        "event", source.name, ["order.paid", "order.refunded"], "total > `10`"]
    run = source.send({"type": "order.paid", "total": 50})["runs_created"][0]
    source.send({"type": "order.paid", "total": 5})
    source.send({"type": "order.sent", "total": 50})
    assert daemon("logs", run, "-f").stdout == "paid\n"
    newest = source.events()
    assert [(e["event_key"], e["state"]) for e in newest] == [
        ("order.sent", "UNMATCHED"), ("order.paid", "UNMATCHED"), ("order.paid", "MATCHED")]
    assert [e["id"] for e in source.events("--limit", "2")] == [e["id"] for e in newest[:2]]
    assert [e["id"] for e in source.events("--state", "MATCHED")] == [newest[2]["id"]]
    assert [e["id"] for e in source.events("--key", "order.sent")] == [newest[0]["id"]]
    listed = daemon("events", "--source", source.name).stdout.splitlines()
    assert re.match(r"EVENT +SOURCE +KEY +STATE +MATCHED +ASKED +RECEIVED", listed[0])
    assert re.match(rf"{newest[2]['id']}  {source.name}  order\.paid +MATCHED +1 +1 ", listed[3])
    # which clause stopped it?
    shown = daemon("events", "show", newest[1]["id"]).stdout
    assert re.search(r"^state +UNMATCHED$", shown, re.M) and re.search(rf"^{source.name} +filter +the filter is not true$", shown, re.M)
    assert json.loads(shown[shown.index("\n{") :]) == {"type": "order.paid", "total": 5}
    shown = daemon("events", "show", newest[2]["id"]).stdout
    assert re.search(rf"^{source.name} +matched\b", shown, re.M) and re.search(rf"^{run} +COMPLETED +event$", shown, re.M)
    # a filter that is edited holds for what comes and what is matched again
    assert daemon.json("edit", source.name, "--filter", "")["trigger"].get("filter") is None
    again = daemon("replay", newest[1]["id"])
    assert re.fullmatch(UUID + "\n", again.stdout) and "matched 1 of 1" in again.stderr
    wait_until(lambda: daemon.json("show", again.stdout.strip())["completed_at"])
    assert re.search(rf"^{again.stdout.strip()} +COMPLETED +replay$", daemon("events", "show", newest[1]["id"]).stdout, re.M)
    daemon("edit", source.name, "--on", "nothing")
    assert daemon("replay", newest[1]["id"]).stdout == ""
    daemon("edit", source.name, "--manual")
    assert "no events start it" in daemon("edit", source.name, "--on", "x", code=2).stderr
    daemon("rm", source.name)


def test_events__filters_are_tried(daemon, source):
    for total in (1, 20, 300):
        source.send({"type": "t", "total": total})
    tried = daemon("test-filter", "total > `10`", "--source", source.name)
    assert [line.split()[3] for line in tried.stdout.splitlines()] == ["PASSES", "yes", "yes", "no"]
    assert "2 of 3 would pass" in tried.stderr and "the filter is not true" in tried.stdout
    assert daemon.json("test-filter", "total", "--source", source.name, "--last", "1")["considered"] == 1
    assert daemon.json("test-filter", "total", "--source", source.name, "--on", "x,y*")["matched"] == 0
    assert "JMESPath" in daemon("test-filter", "a[", code=1).stderr


def test_events__are_strangers_words(daemon, source):
    source.send({"type": "\x1b[2J\u202eevil\n", "text": "\x1b]0;title\x07"})
    for said in (daemon.terminal("events", "--source", source.name), daemon.terminal("events", "show", source.events()[0]["id"]),
                 daemon.terminal("test-filter", "text", "--source", source.name)):
        assert source.name in said and "\x1b[2J" not in said and "\u202e" not in said and "\x07" not in said


@pytest.mark.parametrize("arguments", [
    ["events", "show"], ["events", "boil"], ["events", "--limit", "0"], ["replay"], ["test-filter"], ["test-filter", "a", "--last", "101"],
    ["create", "x", "--script", "-", "--on", "push"], ["create", "x", "--script", "-", "--event", "s", "--schedule", "@daily"],
    ["edit", "x", "--event", "s", "--manual"]])
def test_events__say_how_they_are_called(daemon, arguments):
    daemon(*arguments, code=2)


def test_events__tell_what_is_not_there(daemon):
    nothing = "00000000-0000-7000-8000-000000000000"
    assert daemon("events", "show", nothing, code=1).stdout == ""
    assert daemon("replay", nothing, code=1).stdout == ""
    for words in (["events", "show", "boil"], ["replay", "boil"]):
        assert "'boil' is not the id of an event; `automation events` lists them" in daemon(*words, code=1).stderr
    assert daemon("events", "--state", "GONE", code=1).stdout == ""
    assert "no such events" in daemon("events", "--source", "nobody").stderr


def test_events__are_in_help_and_completions():
    for arguments in (["help", "test-filter"], ["completion", "bash"], ["completion", "fish"], ["completion", "zsh"], ["help"]):
        said = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=20).stdout.replace("\\-", "-")
        assert "test-filter" in said and ("last" in said or arguments == ["help"]), arguments
