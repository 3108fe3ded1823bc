# SPDX-License-Identifier: MIT
"""test/cli/test_webhook.py: `automation webhook`, and --env of create and edit."""
import re
import subprocess

import pytest

from conftest import PROGRAM

SECRET = r"whsec_[A-Za-z0-9_-]{43}\n"


def test_webhook__from_creation_to_removal(daemon):
    made = daemon("webhook", "create", "cli-orders", "--key", "event.type", "--id-header", "X-Id", "--name", "Orders")
    assert re.fullmatch(SECRET, made.stdout)
    assert "/v1/events/" in made.stderr and made.stdout.strip() not in made.stderr
    shown = daemon("webhook", "show", "cli-orders").stdout
    assert re.search(r"^event_key_expr +event\.type$", shown, re.M) and re.search(r"^enabled +yes$", shown, re.M)
    assert "whsec_" not in shown
    listed = daemon("webhook", "list")
    assert re.search(r"^cli-orders +Orders +on +event\.type", listed.stdout, re.M)
    daemon("webhook", "edit", "cli-orders", "--off", "--id-header", "", "--scheme", "slack_v0")
    one = daemon.json("webhook", "show", "cli-orders")
    assert (one["enabled"], one["event_id_header"], one["signature_scheme"]) == (False, None, "slack_v0")
    rotated = daemon("webhook", "rotate", "CLI-orders")
    assert re.fullmatch(SECRET, rotated.stdout) and rotated.stdout != made.stdout
    daemon("webhook", "rm", "cli-orders")
    assert daemon("webhook", "show", "cli-orders", code=1).stderr.count("no webhook") == 1


def test_webhook__takes_a_secret_from_a_file(daemon, tmp_path):
    (tmp_path / "secret").write_text("my own secret\n")
    made = daemon("webhook", "create", "cli-own", "--secret-file", str(tmp_path / "secret"))
    assert made.stdout == ""
    assert "exists" in daemon("webhook", "create", "cli-own", code=1).stderr
    daemon("webhook", "rm", "cli-own")


@pytest.mark.parametrize("arguments", [["webhook"], ["webhook", "boil", "x"], ["webhook", "show"], ["webhook", "list", "x"],
                                       ["webhook", "edit", "x"], ["webhook", "edit", "x", "--on", "--off"]])
def test_webhook__says_how_it_is_called(daemon, arguments):
    daemon(*arguments, code=2)


def test_env__comes_from_names_files_and_arguments(daemon, tmp_path):
    script = '#!/bin/sh\necho "[$A][$B][$C]"\n'
    (tmp_path / "env").write_text("# two\nB=b = b\n\nC=c\n")
    daemon("create", "cli-env", "--script", "-", "--env", "@" + str(tmp_path / "env"), stdin=script)
    daemon("edit", "cli-env", "--env", "A=a b")
    assert daemon.json("show", "cli-env")["environment"] == ["B", "C", "A"]
    assert "[a b][b = b][c]" in daemon("run", "cli-env", "-f").stdout
    daemon("edit", "cli-env", "--env", "HOME,-B,-C")
    assert daemon.json("show", "cli-env")["environment"] == ["A", "HOME"]
    assert "there is no such variable" in daemon("edit", "cli-env", "--env", "NOT_THERE_1", code=1).stderr
    daemon("edit", "cli-env", "--env", "")
    assert daemon.json("show", "cli-env")["environment"] == []
    daemon("rm", "cli-env")


def test_webhook__is_in_help_and_completions():
    for arguments in (["help", "webhook"], ["completion", "bash"], ["completion", "fish"], ["completion", "zsh"]):
        said = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=20)
        assert "secret-file" in said.stdout.replace("\\-", "-"), arguments
