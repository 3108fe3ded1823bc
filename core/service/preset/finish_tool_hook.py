# SPDX-License-Identifier: MIT
"""finish_tool_hook.py: the agent may stop only after it has called its finish tool.

An agent that merely writes "done" ends its turn, and nobody would know how the task came out.  The
agent server runs this file as a hook, with the event as JSON on standard input: after each use of the
finish tool, which is remembered in a file beside this one, and when the agent wants to stop, which is
refused while there is no such file for its conversation.

Whatever goes wrong here lets the agent go: a run must not hang because of its guard.
"""

import json
import re
import sys
from pathlib import Path

REASON = (
    "The task has not been ended yet. Go on with it, and when it is done, or when you cannot get any "
    "further, call the finish tool and say how it came out."
)


def main():
    event = json.load(sys.stdin)
    session = re.sub(r"[^0-9A-Za-z-]", "", str(event.get("session_id") or "")) or "only"
    mark = Path(__file__).resolve().with_name(f".finish-called-{session}")
    kind = event.get("event_type")
    if kind == "PostToolUse" and event.get("tool_name") == "finish":
        mark.touch()
    elif kind == "Stop" and not mark.exists():
        print(json.dumps({"decision": "deny", "reason": REASON}))
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:
        print(f"finish hook: {error}", file=sys.stderr)
        sys.exit(0)
