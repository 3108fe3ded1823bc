# SPDX-License-Identifier: MIT
"""reports: a program that speaks for itself while it works.

    automation create reporter --script examples/reports.py
    automation run reporter -f

It posts what it is doing to AUTOMATION_PHASE_URL and says at the end how it went, with what it cost, to
AUTOMATION_CALLBACK_URL. A program that does not do so is judged by its exit code instead.
"""

import json
import os
import sys
import time
import urllib.request

# A request to our own service has no business at a proxy.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(variable, body):
    key = os.environ.get("AUTOMATION_CALLBACK_API_KEY", "")
    request = urllib.request.Request(
        os.environ[variable],
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        method="POST",
    )
    with OPENER.open(request, timeout=10) as reply:
        return json.load(reply)


def main():
    for number, phase in enumerate(("Collecting numbers", "Writing the summary"), 1):
        post("AUTOMATION_PHASE_URL", {"phase": phase})
        print(f"{number}: {phase}", flush=True)
        time.sleep(0.4)
    print("reporting the result", flush=True)
    run = post(
        "AUTOMATION_CALLBACK_URL",
        {"status": "COMPLETED", "run_id": os.environ["AUTOMATION_RUN_ID"], "cost": 0.25},
    )
    print(f"the service says: {run['status']}", flush=True)


if __name__ == "__main__":
    if "AUTOMATION_CALLBACK_URL" not in os.environ:
        sys.exit("reports.py: works only as a run of an automation")
    main()
