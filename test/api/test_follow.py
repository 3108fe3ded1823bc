# SPDX-License-Identifier: MIT
"""GET /v1/runs/{id}/logs?follow=true: server-sent events."""

import json
import time

from conftest import PREFIX, SLOW


class Stream:
    """Events of a run, one after the other."""

    def __init__(self, api, run_id, timeout=30, headers=None, **params):
        all_headers = {"Authorization": f"Bearer {api.key}"}
        all_headers.update(headers or {})
        self.reply = api.session.get(f"{api.url}{PREFIX}/v1/runs/{run_id}/logs",
                                     params={"follow": "true", **params}, headers=all_headers,
                                     stream=True, timeout=timeout * SLOW)
        assert self.reply.status_code == 200, self.reply.text
        self.lines = self.reply.iter_lines(chunk_size=65536, decode_unicode=True)

    def next(self):
        event = {}
        for line in self.lines:
            if line == "":
                if event:
                    event["data"] = json.loads(event["data"])
                    return event
            elif not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value
        return None

    def all(self):
        events = []
        while True:
            event = self.next()
            if event is None:
                return events
            events.append(event)

    def until(self, text):
        got = ""
        while text not in got:
            event = self.next()
            assert event is not None, got
            if event["event"] == "output":
                got += event["data"]["data"]
        return got

    def close(self):
        self.reply.close()


def text(events):
    return "".join(e["data"]["data"] for e in events if e["event"] == "output")


def test_follow__tells_output_as_it_comes_then_the_end(api, gate):
    automation = api.create(f"echo first; {gate.wait}; echo second")
    run = api.dispatch(automation["id"])
    stream = Stream(api, run["id"])
    assert stream.reply.headers["Content-Type"].startswith("text/event-stream")
    assert stream.reply.headers["Cache-Control"] == "no-cache"
    stream.until("first\n")
    gate.open()
    rest = stream.all()
    assert text(rest) == "second\n"
    assert rest[-1]["event"] == "end"
    assert rest[-1]["data"]["run"]["id"] == run["id"]
    assert rest[-1]["data"]["run"]["status"] == "COMPLETED"


def test_follow__offsets_fit_together_and_are_the_ids(api):
    automation = api.create("for i in 1 2 3; do echo line $i; done")
    run = api.dispatch(automation["id"])
    place = 0
    for event in Stream(api, run["id"]).all():
        if event["event"] == "output":
            assert event["data"]["after"] == place
            place = event["data"]["next"]
            assert event["id"] == str(place)
    assert place == len("line 1\n") * 3


def test_follow__an_ended_run_comes_whole_and_at_once(api):
    automation = api.create("echo all of it")
    run = api.dispatch(automation["id"])
    api.output(run["id"])
    events = Stream(api, run["id"]).all()
    assert text(events) == "all of it\n"
    assert [e["event"] for e in events] == ["phase", "output", "end"]


def test_follow__goes_on_from_after_or_the_last_event_id(api):
    automation = api.create("echo 0123456789")
    run = api.dispatch(automation["id"])
    api.output(run["id"])
    assert text(Stream(api, run["id"], after=7).all()) == "789\n"
    assert text(Stream(api, run["id"], headers={"Last-Event-ID": "9"}).all()) == "9\n"
    assert text(Stream(api, run["id"], headers={"Last-Event-ID": "9"}, after=8).all()) == "89\n"


# A stream looks by itself every 15 s; these two must hear sooner, so their patience is shorter.


def test_follow__tells_phases(api, gate):
    automation = api.create(f"echo on; {gate.wait}")
    run = api.dispatch(automation["id"])
    stream = Stream(api, run["id"], timeout=8)
    stream.until("on\n")
    api.post(f"/v1/runs/{run['id']}/phase", json={"phase": "Half way"})
    while True:
        event = stream.next()
        assert event is not None
        if event["event"] == "phase" and event["data"]["phase"] == "Half way":
            break
    assert event["data"]["status"] == "RUNNING"
    gate.open()
    assert stream.all()[-1]["event"] == "end"


def test_follow__cancel_ends_it(api, gate):
    automation = api.create(f"echo on; {gate.wait}")
    run = api.dispatch(automation["id"])
    stream = Stream(api, run["id"], timeout=8)
    stream.until("on\n")
    api.post(f"/v1/runs/{run['id']}/cancel")
    assert stream.all()[-1]["data"]["run"]["status"] == "CANCELLED"


def test_follow__big_output_comes_complete(api):
    automation = api.create("for i in $(seq 1 60000); do echo 0123456789; done")
    run = api.dispatch(automation["id"])
    events = Stream(api, run["id"], timeout=60).all()
    assert text(events) == "0123456789\n" * 60000
    assert events[-1]["event"] == "end"


def test_follow__several_readers_and_one_that_leaves(api, gate):
    automation = api.create(f"echo on; {gate.wait}; echo off")
    run = api.dispatch(automation["id"])
    streams = [Stream(api, run["id"]) for _ in range(5)]
    for stream in streams:
        stream.until("on\n")
    streams[0].close()
    gate.open()
    for stream in streams[1:]:
        assert text(stream.all()) == "off\n"


def test_follow__end_comes_soon_after_the_end(api, gate):
    automation = api.create(f"echo on; {gate.wait}")
    run = api.dispatch(automation["id"])
    stream = Stream(api, run["id"])
    stream.until("on\n")
    began = time.monotonic()
    gate.open()
    stream.all()
    assert time.monotonic() - began < 8 * SLOW


def test_follow__a_silent_stream_is_kept_alive(api):
    automation = api.create("echo x")
    run = api.post(f"/v1/{automation['id']}/trigger", json={"delay": 3600}).json()
    stream = Stream(api, run["id"], timeout=20)
    for line in stream.lines:
        if line.startswith(":"):
            break
    stream.close()
    api.post(f"/v1/runs/{run['id']}/cancel")


def test_follow__reader_that_takes_its_time_gets_everything(api):
    automation = api.create("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo the end")
    run = api.dispatch(automation["id"])
    # let it end and everything be ready before the first byte is taken
    stream = Stream(api, run["id"], timeout=60)
    api.output(run["id"], 60)
    whole = text(stream.all())
    assert whole.endswith("x\nthe end\n")
    assert len(whole) == 1000009
