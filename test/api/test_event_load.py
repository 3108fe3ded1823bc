# SPDX-License-Identifier: MIT
"""Deliveries by the thousand: many at once, many times over, cut off and slow.  One run for each, none lost,
and memory stays flat.

Speed is no test here, only that everything is answered.  Where a server has several processes, connections
are spread over them, and what is said of deliveries holds across them.
"""

import os
import threading
import uuid
from urllib.parse import urlsplit

import pytest

from conftest import HOST, PREFIX, Api, Daemon, until
from test_events import SECRET, Source, hexed, source  # noqa: F401 (a fixture)
from test_hostile import connect, many_files, read_reply, reset, served  # noqa: F401 (a fixture)

CLIENTS = 1000
ROUNDS = 5
GROWTH_KIB = 4 * 1024  # of the heap, between the first round and the last: less than 1 KiB a delivery


def request(source, id, body=b'{"type": "t"}'):
    where = urlsplit(source.api.url)
    return (f"POST {PREFIX}{source.path} HTTP/1.1\r\nHost: {where.hostname}:{where.port}\r\n"
            f"X-Signature-256: sha256={hexed(SECRET, body)}\r\nX-Id: {id}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def processes(server):
    if HOST == "daemon":
        return [server.process.pid]
    rows = server.query("SELECT pid FROM pg_stat_activity WHERE backend_type IN ('automation worker', 'automation http worker')")
    return [int(row) for row in rows.split()]


def heap_kib(server):
    """What each process has for itself: PostgreSQL's shared buffers are nobody's growth."""
    found = {}
    for pid in processes(server):
        with open(f"/proc/{pid}/status") as status:
            found[pid] = next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    return found


def runs_of(source, automation):
    """Ids of runs by delivery id, and how many runs there are in all."""
    total = source.api.get(f"/v1/{automation['id']}/runs", params={"limit": 1}).json()["total"]
    found, cursor = {}, ""
    while cursor is not None:
        page = source.api.get("/v1/events", params={"source": source.name, "limit": 100, "cursor": cursor}).json()
        for event in page["events"]:
            assert event["provider_event_id"] not in found
            runs = source.api.get(f"/v1/events/{event['id']}").json()["runs"]
            found[event["provider_event_id"]] = [run["id"] for run in runs]
        cursor = page["next_cursor"]
    return found, total


def assert_one_run_each(source, automation, ids):
    found, total = runs_of(source, automation)
    assert set(found) == set(ids)
    assert {len(runs) for runs in found.values()} == {1} and total == len(ids)


def deliver(source, ids, codes):
    client = connect(source.api, 120)
    for id in ids:
        client.sendall(request(source, id))
        reply = read_reply(client)
        codes.append(reply[0] if reply else None)
    client.close()


@pytest.fixture
def alone(server):
    """A server with its heap as small as it gets: what others freed before would hide what is lost now."""
    if HOST == "url":
        pytest.skip("needs a server whose memory can be looked at")
    if HOST == "extension":
        yield server, Api(server.url, server.key)
        return
    daemon = Daemon().start()
    yield daemon, daemon.api()
    daemon.end()


def test_load__the_same_deliveries_thousands_of_times_keep_memory_flat(alone):
    server, api = alone
    source = Source(api)  # noqa: F811
    automation = source.automation(script="true")
    ids = [uuid.uuid4().hex for _ in range(25)]
    heaps = []
    for _ in range(ROUNDS):
        codes = []
        clients = [threading.Thread(target=deliver, args=(source, ids * 4, codes)) for _ in range(16)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert len(codes) == 16 * 4 * len(ids) and set(codes) == {200}
        heaps.append(heap_kib(server))
    assert_one_run_each(source, automation, ids)
    for pid, first in heaps[0].items():
        print(f"heap of {pid}: {[heap.get(pid) for heap in heaps]} KiB")
        # a sanitizer keeps what was freed for a while
        assert "ASAN_OPTIONS" in os.environ or heaps[-1].get(pid, first) < first + GROWTH_KIB, heaps
    runs = [run for found in runs_of(source, automation)[0].values() for run in found]
    until(lambda: {api.run(run)["status"] for run in runs}, lambda s: s == {"COMPLETED"}, 120, "every run")


def test_load__a_thousand_clients_deliver_at_once(api, source, many_files):  # noqa: F811
    automation = source.automation()
    ids = [uuid.uuid4().hex for _ in range(50)]
    clients = [(connect(api, 120), request(source, ids[i % len(ids)])) for i in range(CLIENTS)]
    # all of them have begun before any of them ends
    for client, text in clients:
        client.sendall(text[:40])
    for client, text in clients:
        client.sendall(text[40:])
    answers = []
    for client, _ in clients:
        answers.append(read_reply(client))
        client.close()
    assert [a[0] if a else None for a in answers] == [200] * CLIENTS
    assert sum(b'"matched":1' in a[1].replace(b" ", b"") for a in answers) == len(ids)
    assert_one_run_each(source, automation, ids)


def test_load__cut_off_and_slow_deliveries_harm_nobody(api, source, many_files):  # noqa: F811
    automation = source.automation()
    slow = []
    for _ in range(100):
        client = connect(api)
        client.sendall(request(source, "slow")[:-3])
        slow.append(client)
    for _ in range(200):
        client = connect(api)
        client.sendall(request(source, "cut", b'{"type": "t", "x": "' + b"y" * 100000 + b'"}')[:50000])
        reset(client)
    # whole, but nobody waits for the answer: the provider will come again
    ids = [uuid.uuid4().hex for _ in range(100)]
    for id in ids:
        client = connect(api)
        client.sendall(request(source, id))
        reset(client)
    served(api)
    for id in ids:
        assert source.send(b'{"type": "t"}', id=id).status_code == 200
    assert_one_run_each(source, automation, ids)
    # the slow ones end at last, and are the same delivery
    for client in slow:
        client.sendall(request(source, "slow")[-3:])
    answers = [read_reply(client) for client in slow]
    for client in slow:
        client.close()
    assert [a[0] if a else None for a in answers] == [200] * len(slow)
    assert_one_run_each(source, automation, [*ids, "slow"])
