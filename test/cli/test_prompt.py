# SPDX-License-Identifier: MIT
"""Automations made of a prompt, from the command line.  No run executes: the agent server is not there."""

import pytest

from conftest import Daemon


@pytest.fixture(scope="module")
def prompts():
    # port 9 of loopback: nobody listens
    it = Daemon(AUTOMATION_AGENT_SERVER_URL="http://127.0.0.1:9")
    try:
        yield it.start()
    finally:
        it.remove()


def test_create__of_a_prompt(prompts, tmp_path):
    file = tmp_path / "prompt.md"
    file.write_text("Say grüße.\n")
    made = prompts.json("create", "triage", "--prompt", f"@{file}", "--schedule", "@daily", "--model", "fast",
                        "--repo", "github:acme/shop#v1,https://x.test/r.git")
    assert made["prompt"] == "Say grüße.\n" and made["model"] == "fast"
    assert made["preset_metadata"]["repos"] == [
        {"url": "acme/shop", "ref": "v1", "provider": "github"}, {"url": "https://x.test/r.git"}]
    assert made["trigger"]["schedule"] == "@daily"


def test_create__with_plugins(prompts):
    made = prompts.json("create", "plugged", "--prompt", "Do it", "--plugin", "github:a/b,github:a/c#main:sub/dir")
    assert made["preset_metadata"]["plugins"] == [
        {"source": "github:a/b"}, {"source": "github:a/c", "ref": "main", "repo_path": "sub/dir"}]


def test_edit__prompt_and_repositories(prompts):
    made = prompts.json("create", "edited", "--prompt", "one", "--repo", "https://x.test/r")
    changed = prompts.json("edit", "edited", "--prompt", "two")
    assert changed["prompt"] == "two" and changed["tarball_path"] != made["tarball_path"]
    assert changed["preset_metadata"]["repos"] == [{"url": "https://x.test/r"}]
    changed = prompts.json("edit", "edited", "--repo", "")
    assert "repos" not in changed["preset_metadata"]


@pytest.mark.parametrize("args, words", [
    (["--prompt", "x", "--script", "/etc/hostname"], "not both"),
    (["--prompt", "x", "--entrypoint", "y"], "--entrypoint goes with"),
    (["--script", "/etc/hostname", "--plugin", "x"], "--plugin goes with"),
    (["--script", "/etc/hostname", "--repo", "x"], "--repo goes with"),
    ([], "--prompt TEXT"),
])  # fmt: skip
def test_create__wrong_calls(prompts, args, words):
    done = prompts("create", "wrong", *args, code=2)
    assert words in done.stderr


def test_create__what_the_server_refuses(prompts):
    done = prompts("create", "wrong", "--prompt", "x", "--repo", "acme/shop", code=1)
    assert "provider" in done.stderr
    assert prompts("create", "wrong", "--prompt", "@/no/such/file", code=1).stdout == ""
