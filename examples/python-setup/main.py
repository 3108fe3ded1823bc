# SPDX-License-Identifier: MIT
"""python-setup: a folder with a preparation step; only Python's own library is used.

    automation create weights --dir examples/python-setup
    automation run weights -f
    automation run weights -f --input '{"at_least": 100}'

The command is `python3 main.py`, found by the file's name; --entrypoint would name another.
"""

import csv
import json
import os

import units


def main():
    event = json.loads(os.environ.get("AUTOMATION_EVENT_PAYLOAD", "{}")).get("event") or {}
    at_least = int(event.get("at_least", 0))
    total = 0
    with open("data/weights.csv", encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            weight = int(row["weight"])
            if weight >= at_least:
                total += weight
                print(f"{row['fruit']:<8} {units.grams(weight)}")
    print(f"total    {units.grams(total)}")


main()
