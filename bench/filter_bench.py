# SPDX-License-Identifier: MIT
"""filter_bench.py SECONDS FILTER < EVENT: bench/filter_bench.c with Python's json and jmespath (see there)."""

import json
import sys
import time

import jmespath

ROUND = 64


def measure(way, seconds, ask):
    done, matched, start = 0, 0, time.perf_counter()
    while (took := time.perf_counter() - start) < seconds:
        for _ in range(ROUND):
            matched += bool(ask())
        done += ROUND
    print(json.dumps({"way": way, "us": took / done * 1e6, "matched": matched == done}), flush=True)


text = sys.stdin.read()
wanted = jmespath.compile(sys.argv[2])
event = json.loads(text)
measure("first", float(sys.argv[1]), lambda: wanted.search(json.loads(text)))
measure("further", float(sys.argv[1]), lambda: wanted.search(event))
