# SPDX-License-Identifier: MIT
"""Clients that are slow, broken, too many or mean: each is answered clearly or dropped, and everybody else is
served as if it were not there."""

import io
import json
import os
import resource
import socket
import struct
import subprocess
import tarfile
import time
from urllib.parse import urlsplit

import pytest

from conftest import PREFIX, until


def connect(api, timeout=30):
    where = urlsplit(api.url)
    client = socket.create_connection((where.hostname, where.port), timeout)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def head(api, method, path, *more):
    where = urlsplit(api.url)
    lines = [f"{method} {PREFIX}{path} HTTP/1.1", f"Host: {where.hostname}:{where.port}",
             f"Authorization: Bearer {api.key}", *more]
    return "\r\n".join(lines).encode() + b"\r\n"


def reset(client):
    """Close with a reset, as a client that is killed does."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def read_reply(client):
    """(status, body) of one answer, or None when the connection ended without one."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = client.recv(65536)
        except ConnectionResetError:
            return None
        if not piece:
            return None
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in top.split(b"\r\n")[1:])
    length = int(fields[b"content-length"])
    while len(body) < length:
        piece = client.recv(65536)
        assert piece, "cut in the middle"
        body += piece
    return int(top.split()[1]), body[:length], body[length:]


def served(api):
    """Somebody else, at the same time."""
    began = time.monotonic()
    assert api.get("/v1", params={"limit": 1}).status_code == 200
    assert time.monotonic() - began < 20


def test_hostile__slow_heads_and_bodies_hold_nobody_up(api):
    body = json.dumps({"name": "x"}).encode()
    whole = head(api, "POST", "/v1", "Content-Type: application/json", f"Content-Length: {len(body)}") + b"\r\n" + body
    clients = [connect(api) for _ in range(60)]
    try:
        # each stops somewhere else: in the request line, in a header, between, in the body
        cuts = [len(whole) * (i + 1) // (len(clients) + 2) for i in range(len(clients))]
        for client, cut in zip(clients, cuts):
            client.sendall(whole[:cut])
        served(api)
        for client, cut in zip(clients[::7], cuts[::7]):
            for i in range(cut, len(whole)):
                client.sendall(whole[i:i + 1])
            status, answer, _ = read_reply(client)
            assert status == 422 and b"missing" in answer
        served(api)
    finally:
        for client in clients:
            client.close()
    served(api)


@pytest.mark.parametrize("part", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x", b"\r\n\r\n\r\n", b"\x00" * 100,
                                  b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_hostile__half_open_and_half_said(api, part):
    clients = [connect(api) for _ in range(20)]
    for i, client in enumerate(clients):
        client.sendall(part)
        if i % 2:
            client.shutdown(socket.SHUT_WR)
    served(api)
    for client in clients:
        reset(client)
    served(api)


def test_hostile__pipelined_requests_are_answered_in_order(api):
    with connect(api) as client:
        client.sendall((head(api, "GET", "/v1?limit=1") + b"\r\n" + head(api, "GET", "/v1/runs/nonsense") + b"\r\n") * 20)
        rest = b""
        answers = []
        client_reader = client.makefile("rb")
        for _ in range(40):
            line = client_reader.readline()
            length = 0
            while (field := client_reader.readline().strip().lower()):
                if field.startswith(b"content-length:"):
                    length = int(field.split(b":")[1])
            rest = client_reader.read(length)
            answers.append(int(line.split()[1]))
        assert answers == [200, 422] * 20, rest
    served(api)


def test_hostile__vast_and_many_headers_are_refused(api):
    for more in ([f"X-Long: {'h' * 200000}"], [f"X-{i}: {'v' * 20}" for i in range(5000)]):
        with connect(api) as client:
            try:
                client.sendall(head(api, "GET", "/v1?limit=1", *more) + b"\r\n")
                reply = read_reply(client)
            except (ConnectionResetError, BrokenPipeError):
                reply = None
        assert reply is None or 400 <= reply[0] < 500, reply
        served(api)
    # a hundred are nothing to complain of
    with connect(api) as client:
        client.sendall(head(api, "GET", "/v1?limit=1", *[f"X-{i}: v" for i in range(100)]) + b"\r\n")
        assert read_reply(client)[0] == 200


def test_hostile__long_target_and_many_parameters(api):
    assert api.get("/v1", params=[("limit", "1")] + [(f"p{i}", "v") for i in range(200)]).status_code == 200
    for size in (40000, 300000):
        with connect(api) as client:
            try:
                client.sendall(head(api, "GET", "/v1?limit=1&x=" + "y" * size) + b"\r\n")
                answer = read_reply(client)
            except (ConnectionResetError, BrokenPipeError):
                answer = None
        assert answer is None or answer[0] == 414
    # more parameters than a connection has room for: it is left alone until it is closed for being idle
    for query in ("&".join(f"p{i}=v" for i in range(1000)), "&" * 20000):
        with connect(api) as client:
            client.sendall(head(api, "GET", "/v1?limit=1&" + query) + b"\r\n")
            served(api)
    served(api)


@pytest.mark.parametrize("text", ["[" * 100000, '{"a":' * 50000, "[" * 100000 + "]" * 100000,
                                  '{"name":' + "[" * 65 + "]" * 65 + "}", '{"a":' + "9" * 5000 + "}", "\ufeff{}", "nul",
                                  '{"a":1,', '"' + "\\ud800" * 1000 + '"', "{" + '"k":1,' * 20000 + '"k":2}'])
def test_hostile__json_that_is_deep_or_broken(api, text):
    reply = api.post("/v1", data=text.encode(), headers={"Content-Type": "application/json"})
    assert reply.status_code == 422, reply.text
    assert reply.json()["detail"][0]["type"]
    served(api)


def test_hostile__length_that_lies(api):
    for length in ("-1", "18446744073709551616", "9223372036854775807", "1e3", "", "5, 5"):
        with connect(api) as client:
            client.sendall(head(api, "POST", "/v1", "Content-Type: application/json", f"Content-Length: {length}") + b"\r\n{}")
            client.shutdown(socket.SHUT_WR)
            reply = read_reply(client)
        assert reply is None or 400 <= reply[0] < 500, (length, reply)
    served(api)


def test_hostile__aborted_uploads_leave_nothing_behind(api):
    before = api.get("/v1/uploads", params={"limit": 1}).json()["total"]
    for i in range(60):
        client = connect(api)
        client.sendall(head(api, "POST", f"/v1/uploads?name=aborted{i}", "Content-Type: application/gzip",
                            "Content-Length: 1000000") + b"\r\n" + b"x" * (i * 15000))
        reset(client)
    served(api)
    # nothing of them was promised; what is kept, if anything, says that it failed
    listed = api.get("/v1/uploads", params={"limit": 100}).json()
    assert listed["total"] - before <= 60
    assert all(u["status"] == "FAILED" for u in listed["uploads"] if u["name"].startswith("aborted"))
    assert api.upload(b"\x1f\x8b fine")["status"] == "COMPLETED"


def hostile_tarball(victim):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        def add(name, kind=tarfile.REGTYPE, link="", text=b"echo in\n", mode=0o755):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, link, mode
            info.size = len(text) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(text) if info.size else None)

        add("main.sh")
        add("../" * 12 + str(victim / "up").lstrip("/"))
        add(str(victim / "absolute"))
        add("way", tarfile.SYMTYPE, str(victim))
        add("way/through-a-link")
        add("hard", tarfile.LNKTYPE, str(victim / "secret"))
        add("a/../../../../../../../../../../" + str(victim / "mixed").lstrip("/"))
    return out.getvalue()


def test_hostile__tarball_does_not_leave_the_folder_of_its_run(api, tmp_path):
    (tmp_path / "secret").write_text("before")
    path = api.upload(hostile_tarball(tmp_path))["tarball_path"]
    run = api.dispatch(api.create(tarball_path=path)["id"])
    ended = api.ended(run["id"])
    # refused by name, before anything of it ran
    assert ended["status"] == "FAILED" and "exit_code=" in ended["error_detail"]
    assert "in\n" != api.output(run["id"])
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").read_text() == "before"


@pytest.mark.parametrize("junk", [b"", b"\x1f\x8b", b"\x1f\x8b" + b"\xff" * 1000, b"PK\x03\x04" + b"\0" * 100],
                         ids=["empty", "begun", "noise", "zip"])
def test_hostile__tarball_that_is_none_fails_its_run_clearly(api, junk):
    path = api.upload(junk or b"\0")["tarball_path"]
    run = api.dispatch(api.create(tarball_path=path)["id"])
    ended = api.ended(run["id"])
    assert ended["status"] == "FAILED" and "exit_code=" in ended["error_detail"], ended
    assert ended["status_detail"]["kind"]


# ---- too many ------------------------------------------------------------------------------------


def peak_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def many_files():
    """This process needs a descriptor for each client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("not enough descriptors for this process")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_hostile__a_thousand_slow_readers_cost_little_and_others_are_served(daemons, many_files):
    daemon = daemons(args=["--no-agent"]).start()
    api = daemon.api()
    for i in range(40):
        api.create(tarball_path="https://example.com/x.tar.gz", name=f"one of many {i} " + "x" * 400)
    ask = head(api, "GET", "/v1?limit=100") + b"\r\n"
    peaks = []
    for _ in range(4):
        clients = [connect(api) for _ in range(950)]
        for client in clients:
            client.sendall(ask)
        for _ in range(20):
            served(api)  # fifty more come and go beside them
        peaks.append(peak_kib(daemon.process.pid))
        # they were not forgotten
        assert read_reply(clients[0])[0] == 200 and read_reply(clients[-1])[0] == 200
        for client in clients:
            reset(client)
        until(lambda: api.get("/health").status_code, lambda code: code == 200)
    # what a thousand answers need at once, and no more the next times
    # (a sanitizer keeps what was freed for a while)
    assert "ASAN_OPTIONS" in os.environ or peaks[0] < 400 * 1024 and peaks[-1] < peaks[0] * 1.5, peaks
    assert daemon.stop() == 0


def test_hostile__without_descriptors_it_goes_on(daemons, many_files):
    limit = 60
    daemon = daemons(args=["--no-agent"])
    plain = subprocess.Popen

    class Poor(plain):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)), **kwargs)

    subprocess.Popen = Poor
    try:
        daemon.start()
    finally:
        subprocess.Popen = plain
    api = daemon.api()
    assert api.get("/health").status_code == 200
    clients = [connect(api) for _ in range(limit * 3)]
    try:
        # the accept fails now; that must not become a circle
        until(lambda: len(os.listdir(f"/proc/{daemon.process.pid}/fd")), lambda n: n >= limit - 1, 10, "no descriptor left")
        began, used = time.monotonic(), cpu_seconds(daemon.process.pid)
        until(lambda: time.monotonic() - began, lambda passed: passed > 1.5)
        assert cpu_seconds(daemon.process.pid) - used < 0.5
        assert daemon.process.poll() is None
    finally:
        for client in clients:
            reset(client)
    api.session.close()
    until(lambda: reachable(api), bool, 20, "service after the flood")
    served(api)
    assert daemon.stop() == 0


def reachable(api):
    try:
        return api.get("/health", timeout=5).status_code == 200
    except OSError:
        return False


def test_hostile__a_daemon_refuses_what_it_cannot_store_and_goes_on(daemons):
    """A file that may not grow (a quota, say) is a full disk."""
    daemon = daemons(args=["--no-agent"])
    plain = subprocess.Popen

    class Bounded(plain):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600000, 600000)), **kwargs)

    subprocess.Popen = Bounded
    try:
        daemon.start()
    finally:
        subprocess.Popen = plain
    api = daemon.api()
    codes = [api.post("/v1/uploads", params={"name": "x"}, data=os.urandom(300000),
                      headers={"Content-Type": "application/gzip"}).status_code for _ in range(8)]
    assert codes[0] == 201 and codes[-1] == 503 and set(codes) == {201, 503}
    assert api.get("/v1").status_code == 200
    assert daemon.process.poll() is None
    assert daemon.stop() == 0
