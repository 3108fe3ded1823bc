# SPDX-License-Identifier: MIT
"""The last table of RESULTS.md: what was aimed for, what was measured in these runs, and what it comes to.

The figures come from the parts (Bench.note); verdicts are computed where the aim is a number, and the reasons
stand here, because a program cannot know them.
"""

import re

UNMEASURED = "not measured in these runs"


def numbers(text):
    plain = re.sub(r"\bp99(\.9)?\b", "", text or "")  # a name, not a figure
    return [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\.?\d*", plain)]


def at(text, index):
    found = numbers(text)
    return found[index] if len(found) > index else None


def least(bound):
    return lambda value: value is not None and value >= bound


def most(bound):
    return lambda value: value is not None and value <= bound


def after(text, word):
    """The number before a word."""
    found = re.search(r"(\d[\d,]*\.?\d*)" + re.escape(word), text or "")
    return float(found[1].replace(",", "")) if found else None


def named(text, name):
    """The number after its name."""
    found = re.search(re.escape(name) + r" (\d[\d,]*\.?\d*)", text or "")
    return float(found[1].replace(",", "")) if found else None


def ahead(text):
    """Our rate beside the best of the others'; ours is told first."""
    rates = [float(n) for n in re.findall(r"(\d+)/s", text)]
    return rates[0] / max(rates[1:]) if len(rates) > 1 else None


# aim, notes to quote, [(note, how to find its number, test)], reason when missed
ROWS = [
    ("in-database run, one worker: 0.6 of the anchor, ahead of every peer", ["engine 100", "engine 1000", "peers"],
     [("engine 1000", lambda t: after(t, " of the anchor"), least(0.6)), ("peers", ahead, least(1))],
     "The anchor is two statements for 1,000 rows of four columns with one index. A run's row has 28 columns and up to eight indexes, and an end is "
     "one guarded statement for each run, so that one bad row costs only itself. Ends of a batch in one statement would change it most (docs/performance.md)."),
    ("SQL actions: start within 5 ms, as many as pg_cron", ["actions"],
     [("actions", lambda t: after(t, " ms median"), most(5)), ("actions", lambda t: (after(t, " starts/s") or 0) / max(at(t, 2) or 1, 1), least(1))],
     "A start is a process of its own and a new session that loads its catalogs. One take of each, one after the other, so near figures are alike."),
    ("SQLite, insert + claim + end, FULL: 0.6 of plain SQLite by 100; FULL 0.7 of NORMAL", ["store FULL", "store ratio"],
     [("store FULL", lambda t: after(t, " of plain"), least(0.6)), ("store ratio", lambda t: at(t, 0), least(0.7))],
     "The store writes 28 columns and up to eight indexes where plain SQLite writes four and one; and an end is a statement for each run."),
    ("full runs through the stub: 1,000/s", ["drain daemon", "drain extension"],
     [("drain daemon", lambda t: at(t, 0), least(1000)), ("drain extension", lambda t: at(t, 0), least(1000))],
     "Engine and stand-in share two cores, and a run is six to seven calls: fewer calls a run, or a second dispatcher "
     "(automation.workers), would change it."),
    ("plain HTTP, 64 at once: 0.8 of bare curl multi, ahead of pg_net", ["http 64"],
     [("http 64", lambda t: at(t, 0), least(0.8)), ("http 64", lambda t: after(t, " times pg_net"), least(1))],
     "What is left is the loop and the bookkeeping of a request over libcurl's own."),
    ("enqueue → start, idle: commit + 0.3 ms", ["start FULL", "start NORMAL", "start postgres"],
     [("start FULL", lambda t: at(t, 1), most(0.3)), ("start postgres", lambda t: at(t, 1), most(0.3))],
     "A run that is made in the engine's process (HTTP, schedules, events) is claimed by the transaction that makes it. One that a SQL session makes is "
     "claimed by the worker after that session's commit, with a commit of its own; its way to the first agent call stands in part a."),
    ("request or commit → first agent call: median under 5 ms, p99 under ten times that", ["latency daemon", "latency extension", "latency extension HTTP"],
     [(f"latency {host}", find, test) for host in ("daemon", "extension")
      for find, test in ((lambda t: at(t, 0), most(5)), (lambda t: at(t, 1) / at(t, 0), most(10)))], ""),
    ("lateness, at most 10 due at an instant, among 1,000 and 1,000,000: p99 5 ms, medians within 1.2", ["cron daemon 1000", "cron daemon 1000000",
     "cron extension 1000", "cron extension 1000000", "floor"],
     [(f"cron {host} {size}", lambda t: at(t, 1), most(5)) for host in ("daemon", "extension") for size in (1000, 1000000)],
     "Fires of one instant are one transaction, so fifteen seconds are fifteen independent samples a row: too few for a p99 worth its name, and none for a p99.9. "
     "make bench-long has six hundred: the next row."),
    ("ten sustained minutes, at most 10 due at an instant, among 1,000,000: p99 5 ms, no drift", ["sustained daemon", "sustained extension"],
     [(f"sustained {host}", find, test) for host in ("daemon", "extension")
      for find, test in ((lambda t: named(t, "p99"), most(5)), (lambda t: after(t, " times the first's"), most(1.2)))], ""),
    ("10,000 due at one instant: inserted within a second, no other fire delayed", ["burst daemon", "burst extension"],
     [(f"burst {host}", find, test) for host in ("daemon", "extension")
      for find, test in ((lambda t: at(t, 0), most(1000)), (lambda t: at(t, 2), most(20)))],
     "Fires are taken by 500 and each batch is committed and synced; the runs they make start at the same time and share the thread."),
    ("as many fires as there can be at 1,000,000 for ten minutes, autovacuum on: 0.8 of the narrow-table limit, no drift",
     ["saturated daemon", "saturated extension"],
     [(f"saturated {host}", find, test) for host in ("daemon", "extension")
      for find, test in ((lambda t: after(t, " of the narrow table's"), least(0.8)), (lambda t: after(t, " times the first;"), least(0.9)))],
     "The narrow table's loop is two set statements for 500 rows. The engine reads each schedule, evaluates it, inserts a run of 28 columns with up to eight "
     "indexes and moves the schedule, one statement each."),
    ("events: 20 times the reference at 10 automations; at 10,000 half of that", ["events daemon", "events extension"],
     [(f"events {host}", find, test) for host in ("daemon", "extension")
      for find, test in ((lambda t: after(t, "x)"), least(20)), (lambda t: after(t, " of it"), least(0.5)))],
     "With one client an event is one request, one synced commit and, by the table, 0.3 to 0.7 ms of the server's CPU, one after the other. "
     "Eight clients share commits and reach several times that. Sizes are taken one after the other, so other work on the machine stands between them: "
     "a share above one is that. Tested are events of nobody; in the extension, with no agent, those of one are slower the more runs wait (docs/performance.md, "
     "What grows, and should not)."),
    ("filters: 5 times Python, first and further", ["filters first", "filters further"],
     [("filters first", lambda t: at(t, 0), least(5)), ("filters further", lambda t: at(t, 0), least(5))],
     "The first has the reading of the text in it, which is what is left to make faster."),
    ("list and get under 2 ms median, alike however many runs", ["lists daemon", "lists extension", "lists10m daemon", "lists10m extension"],
     [(f"{part} {host}", lambda t: max(numbers(t)[:3], default=None), most(2)) for part in ("lists", "lists10m") for host in ("daemon", "extension")],
     "10,000,000 runs are part of make bench-long."),
    ("idle with 100,000 automations: 0.2 % CPU, no more at 1,000,000; 30 MiB", ["idle 100000", "idle 1000000"],
     [("idle 100000", lambda t: at(t, 0), most(0.2)), ("idle 1000000", lambda t: at(t, 0), most(0.2)), ("idle 100000", lambda t: at(t, 1), most(30))], ""),
    ("start to ready: 200 ms", ["idle 1", "idle 1000000"],
     [("idle 1", lambda t: at(t, 2), most(200)), ("idle 1000000", lambda t: at(t, 2), most(200))], ""),
    ("kill -9 with 100 runs: ended within 5 s, none lost, doubled or made up", ["recovery"],
     [("recovery", lambda t: at(t, 0), most(5)), ("recovery", lambda t: sum(numbers(t)[1:4]), most(0))], ""),
]  # fmt: skip

# Aims whose samples are too few for a plain "met".
THIN = ("lateness",)


def table(bench):
    rows = []
    for aim, notes, tests, reason in ROWS:
        known = [f"{name}: {bench.notes[name]}" for name in notes if name in bench.notes]
        results = [test(find(bench.notes[name])) for name, find, test in tests if name in bench.notes]
        if not results:
            verdict = UNMEASURED
        elif all(results):
            verdict = "met" if len(results) == len(tests) and not aim.startswith(THIN) else "met as far as measured"
        else:
            verdict = "missed" if not any(results) else "met in part"
        why = reason if verdict != "met" else ""
        rows.append([aim, "; ".join(known) or "-", verdict, why])
    bench.report.table("Every aim", ["aim", "measured", "", "why, and what would change it"], rows)
    bench.report.text(
        "The reference's figures are quoted as measured on a machine like this one (2 cores, busy; its version 1.25.0) and were not taken again.",
        "pg_net is no package here and was not measured: its 896 requests/s, at its best, are quoted in the same way.")  # fmt: skip
