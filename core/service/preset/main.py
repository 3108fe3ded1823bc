# SPDX-License-Identifier: MIT
"""main.py: a conversation with an agent, as an automation's run.

The prompt is in prompt.txt beside this file; repos_config.json, plugins_config.json and
experiment_config.json are there when the automation has repositories, plugins, or variants to choose
from.  The conversation is held by the agent server; this program sets it up, tells the automation
service how it goes, and reports the end.  It runs against a local agent server (AGENT_SERVER_URL is
set) or inside a sandbox of the cloud.

The workspace is opened before anything that may fail, because leaving it is what reports the end: an
exception on the way becomes the failure of the run.  Once the agent has done its work nothing that only
keeps books may fail the run any more.
"""

import contextlib
import json
import os
import random
import shlex
import sys
import time
import urllib.request
import uuid
from datetime import datetime, timezone
from pathlib import Path

# The price list of a moment ago is not worth a download that may hang.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("OPENHANDS_SUPPRESS_BANNER", "1")

HERE = Path(__file__).resolve().parent
SUMMARY_EVERY_S = 4.0
PHASE_MAX = 200
TITLE_MAX = 200
TAG_MAX = 256
ACCOUNT_MAX = 4 * 1048576
RUN_MAX_S = 7 * 86400.0  # the service's own limit ends the run long before


def note(text):
    print(text, flush=True)


def variable(*names):
    """The first of these that is set and not empty, else None."""
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def read_json(name, default=None):
    path = HERE / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else default


# ---- telling the service -----------------------------------------------------------------------


def phase(text):
    """What the run is at.  Only news: a service that does not listen stops nothing."""
    url = variable("AUTOMATION_PHASE_URL")
    text = " ".join(text.split())[:PHASE_MAX].strip()
    if not url or not text:
        return
    request = urllib.request.Request(
        url, data=json.dumps({"phase": text}).encode(), headers={"Content-Type": "application/json"}
    )
    key = variable("AUTOMATION_CALLBACK_API_KEY", "OPENHANDS_API_KEY")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    with contextlib.suppress(OSError, ValueError):
        urllib.request.urlopen(request, timeout=5).close()


class Reporter:
    """The agent's own words for what it does, at most one every few seconds."""

    def __init__(self, clock=time.monotonic, tell=phase):
        self.clock = clock
        self.tell = tell
        self.last = None

    def __call__(self, event):
        summary = getattr(event, "summary", None)
        tool = getattr(event, "tool_name", None)
        now = self.clock()
        if not isinstance(summary, str) or not summary.strip():
            return
        # without words of the agent's the SDK shows the arguments, which are nobody's business
        if isinstance(tool, str) and summary.startswith(f"{tool}: {{"):
            summary = f"Using {tool}"
        if self.last is not None and now - self.last < SUMMARY_EVERY_S:
            return
        self.last = now
        self.tell(redacted(summary))


def redacted(text):
    """Without what looks like a secret, or is one of ours."""
    for name, value in os.environ.items():
        if len(value) >= 8 and any(word in name for word in ("KEY", "TOKEN", "SECRET", "PASSWORD")):
            text = text.replace(value, "<redacted>")
    with contextlib.suppress(ImportError):
        from openhands.sdk.utils import redact

        for clean in (redact.redact_text_secrets, redact.redact_api_key_literals, redact.redact_url_credentials_in_text):
            text = clean(text)
    return text


# ---- what to do --------------------------------------------------------------------------------


def event_payload():
    try:
        payload = json.loads(variable("AUTOMATION_EVENT_PAYLOAD") or "{}")
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def compose(prompt, repos_context, payload):
    """The first message: the prompt, behind what the agent must know of where and why it runs."""
    sections = []
    if repos_context and repos_context.strip():
        sections.append(repos_context.strip())
    event = payload.get("event")
    if event is not None:
        text = json.dumps(event, indent=2, ensure_ascii=False)
        sections.append(f"## Event Payload\n\n```json\n{text}\n```")
    turns = [turn for turn in payload.get("follow_up_turns") or [] if isinstance(turn, str) and turn.strip()]
    if turns:
        sections.append("## Follow-up messages\n\n" + "\n\n".join(turn.strip() for turn in turns))
    return "\n\n".join([*sections, f"## Task\n\n{prompt}"]) if sections else prompt


def choose(variants, draw=random.choices):
    """One of the variants, each as likely as its weight says."""
    return draw(variants, weights=[variant["weight"] for variant in variants])[0]


def title(name, payload, now=None):
    """"<automation> - <repository>#<number>" of what the event is about, else with the time."""
    event = payload.get("event")
    event = event if isinstance(event, dict) else {}
    event = event if not isinstance(event.get("payload"), dict) else event["payload"]
    repository = event.get("repository")
    repository = repository.get("full_name") if isinstance(repository, dict) else None
    subject = next((event[key] for key in ("pull_request", "issue") if isinstance(event.get(key), dict)), {})
    number = subject.get("number")
    if isinstance(repository, str) and repository and isinstance(number, int):
        about = f" — {repository}#{number}"
    else:
        about = f" — {(now or datetime.now(timezone.utc)):%Y-%m-%d %H:%M:%S} UTC"
    # the name gives way: what it is about tells one conversation from another
    return (name[: max(0, TITLE_MAX - len(about))] + about)[:TITLE_MAX]


def tags(payload, experiment, variant, profile):
    found = {
        "automationtrigger": payload.get("trigger") or variable("AUTOMATION_TRIGGER_TYPE"),
        "automationid": payload.get("automation_id") or variable("AUTOMATION_ID"),
        "automationname": payload.get("automation_name") or variable("AUTOMATION_NAME"),
        "automationrunid": variable("AUTOMATION_RUN_ID"),
        "experimentid": experiment,
        "variant": variant,
        "modelprofile": profile,
    }
    return {name: str(value)[:TAG_MAX] for name, value in found.items() if value}


# ---- setting up --------------------------------------------------------------------------------


def open_workspace():
    from openhands.sdk.workspace import RemoteWorkspace
    from openhands.workspace import OpenHandsCloudWorkspace

    key = variable("OH_SESSION_API_KEYS_0", "SESSION_API_KEY")
    server = variable("AGENT_SERVER_URL")
    if not server:
        return OpenHandsCloudWorkspace(
            local_agent_server_mode=True,
            cloud_api_url=variable("OPENHANDS_CLOUD_API_URL") or "",
            cloud_api_key=variable("OPENHANDS_API_KEY") or "",
        )
    folder = variable("WORKSPACE_BASE")
    return RemoteWorkspace(host=server, api_key=key, working_dir=folder or str(HERE))


def check_environment():
    """What the service always gives; without it there is no place to work in."""
    wanted = ("WORKSPACE_BASE",) if variable("AGENT_SERVER_URL") else (
        "OPENHANDS_CLOUD_API_URL", "OPENHANDS_API_KEY", "SANDBOX_ID")
    missing = [name for name in wanted if not variable(name)]
    if missing:
        raise RuntimeError(f"{' and '.join(missing)} must be set by the automation service")
    folder = variable("WORKSPACE_BASE")
    if folder and not Path(folder).is_dir():
        raise RuntimeError(f"the work folder WORKSPACE_BASE={folder} does not exist")


def clone(workspace, repos):
    """Clone what the automation names; the folders and a text about them for the agent."""
    if not repos:
        return [], ""
    phase("Cloning repositories")
    result = workspace.clone_repos(repos)
    if result.failed_repos:
        raise RuntimeError("cannot clone " + ", ".join(redacted(url) for url in result.failed_repos))
    folders = [mapping.local_path for mapping in result.repo_mappings.values()]
    return folders, workspace.get_repos_context(result.repo_mappings)


def get_llm(workspace, profile):
    """The named profile's model, else the user's own; (model, name of the profile really used)."""
    if profile:
        try:
            return workspace.get_llm(profile_name=profile), profile
        except FileNotFoundError:
            note(f"the model profile {profile!r} does not exist; using the default one")
    return workspace.get_llm(), None


def cloud_account():
    """What the cloud tells of the user, where a run at an agent server has a key of it; else None.  Plain
    model keys and secrets are for the cloud's own sandboxes: those are the agent server's."""
    api, key = variable("OPENHANDS_CLOUD_API_URL"), variable("OPENHANDS_API_KEY")
    if not (api and key and variable("AGENT_SERVER_URL")):
        return None
    request = urllib.request.Request(f"{api.rstrip('/')}/api/v1/users/me",
                                     headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            found = json.loads(reply.read(ACCOUNT_MAX))
    except (OSError, ValueError) as error:
        note(f"the cloud does not tell of its user: {redacted(str(error))}")
        return None
    return found if isinstance(found, dict) else None


def cloud_servers(account, make=None):
    """The tool servers of such an account, under the names they have in the cloud."""
    config = (account or {}).get("mcp_config")
    if not isinstance(config, dict):
        return {}
    if make is None:
        from openhands.sdk.mcp.config import MCPServer as make
    found = {}
    for kind, name, transport in (("sse_servers", "sse", "sse"), ("shttp_servers", "shttp", "streamable-http")):
        for index, server in enumerate(config.get(kind) or []):
            key = server.get("api_key")
            found[f"{name}_{index}"] = make(
                url=server["url"], transport=transport,
                headers={"Authorization": f"Bearer {key}"} if key else None)
    for server in config.get("stdio_servers") or []:
        found[server["name"]] = make(
            command=server["command"], args=server.get("args") or [], env=server.get("env"))
    return found


def make_agent(workspace, llm, folders):
    from openhands.tools.preset.default import get_default_agent
    from openhands.tools.preset.task_outcome import TaskOutcome

    # "cli_mode" is the agent without a browser
    agent = get_default_agent(llm=llm, cli_mode=True, finish_tool_response_schema=TaskOutcome)
    changes = {}
    phase("Loading skills")
    _, changes["agent_context"] = workspace.load_skills_from_agent_server(project_dirs=folders or None)
    phase("Configuring agent")
    servers = {**cloud_servers(cloud_account()), **(workspace.get_mcp_config() or {})}
    if servers:
        changes["mcp_config"] = {**(agent.mcp_config or {}), **servers}
    return agent.model_copy(update=changes)


def finish_hooks():
    from openhands.sdk.hooks import HookConfig, HookDefinition, HookMatcher

    # An interpreter that finds no file ends with 2, which would mean "refused", for ever.
    hook = shlex.quote(str(HERE / "finish_tool_hook.py"))
    command = f"test ! -f {hook} || {shlex.quote(sys.executable)} {hook}"
    run = [HookDefinition(command=command, timeout=30)]
    return HookConfig(
        post_tool_use=[HookMatcher(matcher="finish", hooks=run)],
        stop=[HookMatcher(matcher="*", hooks=run)],
    )


def give_secrets(workspace, conversation):
    """The user's secrets, and in the cloud the address of the conversation.  Not worth a failure."""
    secrets = {}
    try:
        secrets.update(workspace.get_secrets())
    except Exception as error:
        note(f"the user's secrets are not available: {redacted(str(error))}")
    api = variable("OPENHANDS_CLOUD_API_URL")
    if api and not variable("AGENT_SERVER_URL"):
        secrets["AUTOMATION_SESSION_URL"] = f"{api.rstrip('/')}/canvas/conversations/{conversation.id}"
    if not secrets:
        return
    try:
        conversation.update_secrets(secrets)
    except Exception as error:
        note(f"the user's secrets could not be given to the agent: {redacted(str(error))}")


def set_title(workspace, conversation, text):
    try:
        reply = workspace.client.patch(f"/api/conversations/{conversation.id}", json={"title": text})
        reply.raise_for_status()
    except Exception as error:
        note(f"the conversation keeps its own title: {redacted(str(error))}")


# ---- the run -----------------------------------------------------------------------------------


def converse(workspace):
    from openhands.sdk import Conversation
    from openhands.sdk.plugin import PluginSource

    phase("Setting up workspace")
    check_environment()
    payload = event_payload()
    prompt = (HERE / "prompt.txt").read_text(encoding="utf-8")
    plugins = read_json("plugins_config.json", [])
    profile = variable("AUTOMATION_MODEL")
    experiment = read_json("experiment_config.json")
    variant = None
    if experiment:
        variant = choose(experiment["variants"])
        plugins = variant["plugins"]
        profile = variant.get("model") or profile
        note(f"experiment {experiment['experiment_id']}: variant {variant['name']}")

    folders, about_repos = clone(workspace, read_json("repos_config.json", []))
    llm, profile = get_llm(workspace, profile)
    agent = make_agent(workspace, llm, folders)
    wanted = variable("AUTOMATION_CONVERSATION_ID")
    conversation = Conversation(
        agent=agent,
        workspace=workspace,
        plugins=[PluginSource(**plugin) for plugin in plugins] or None,
        conversation_id=uuid.UUID(wanted) if wanted else None,
        callbacks=[Reporter()],
        hook_config=finish_hooks(),
        visualizer=None,
        delete_on_close=False,
        tags=tags(payload, (experiment or {}).get("experiment_id"), (variant or {}).get("name"), profile),
    )
    # one that was there before is not registered by itself
    workspace.register_conversation(str(conversation.id))
    note(f"conversation {conversation.id}")
    try:
        give_secrets(workspace, conversation)
        set_title(workspace, conversation, title(variable("AUTOMATION_NAME") or "Automation", payload))
        conversation.send_message(compose(prompt, about_repos, payload))
        phase("Agent is working on the task")
        conversation.run(timeout=RUN_MAX_S)
    finally:
        # hands the cost to the workspace, which reports it
        with contextlib.suppress(Exception):
            conversation.close()
    note("the agent has finished")


def main():
    with open_workspace() as workspace:
        converse(workspace)


if __name__ == "__main__":
    main()
