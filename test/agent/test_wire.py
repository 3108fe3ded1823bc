# SPDX-License-Identifier: MIT
"""The embedded agent's answers: information, key, errors, files."""
import os
import re
import socket
import stat

import pytest
import requests


def test_information_is_open_and_says_what_it_is(agent):
    bare = requests.Session()
    bare.trust_env = False
    assert bare.get(agent.url + "/alive").json() == {"status": "ok"}
    assert bare.get(agent.url + "/health").json() == {"status": "ok"}
    assert bare.get(agent.url + "/ready").json() == {"status": "ready"}
    info = bare.get(agent.url + "/server_info")
    assert info.json().keys() == bare.get(agent.url + "/").json().keys()
    body = info.json()
    assert body["title"] == "automation agent"
    assert re.fullmatch(r"\d+\.\d+\.\d+", body["version"])
    assert body["sdk_version"] == "unknown"
    assert body["capabilities"] == ["automation_embedded_agent"]
    assert re.search(r'"uptime":\d+\.0[,}]', info.text)


@pytest.mark.parametrize("headers", [{}, {"X-Session-API-Key": "wrong"}, {"X-Session-API-Key": ""}])
def test_key_is_required_and_checked_before_the_body(agent, headers):
    for query in ("", "?session_api_key=" + agent.key):
        reply = requests.post(
            agent.url + "/api/bash/start_bash_command" + query,
            json={"nonsense": 1},
            headers={**headers, "Authorization": "Bearer " + agent.key},
        )
        assert (reply.status_code, reply.json()) == (401, {"detail": "Unauthorized"})


def test_no_key_is_for_loopback_only(agents):
    agent = agents("--no-key")
    assert agent.key == ""
    assert requests.get(agent.url + "/api/bash/bash_events/search").status_code == 200


def test_unknown_paths_and_methods(agent):
    assert requests.get(agent.url + "/api/file/upload/tmp/x").json() == {"detail": "Not Found"}
    assert agent.get("/api/conversations").status_code == 404
    assert agent.get("/api/bash/bash_events/").status_code == 404
    reply = agent.get("/api/bash/execute_bash_command")
    assert (reply.status_code, reply.json()) == (405, {"detail": "Method Not Allowed"})
    assert reply.headers["Allow"] == "POST"
    assert agent.http.head(agent.url + "/health").status_code == 405


# ---- files ---------------------------------------------------------------------------------------------


def test_upload_makes_private_folders_and_file(agent, tmp_path):
    target = tmp_path / "new" / "sp ace é" / "a.bin"
    data = bytes(range(256)) * 10 + b"\r\n--not-the-boundary\r\n"
    reply = agent.upload(target, data)
    assert (reply.status_code, reply.json()) == (200, {"success": True, "file_size": len(data)})
    assert target.read_bytes() == data
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert os.listdir(target.parent) == ["a.bin"]
    assert agent.upload(target, b"").json()["file_size"] == 0
    assert target.read_bytes() == b""


def test_upload_replaces_in_one_move(agent, tmp_path):
    target = tmp_path / "f"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    with open(target, "rb") as reader:
        assert agent.upload(link, b"new").status_code == 200
        assert reader.read() == b"old"
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_large_upload_arrives_whole_and_larger_is_refused(agent, tmp_path):
    data = os.urandom(1 << 20) * 20
    assert agent.upload(tmp_path / "big", data).status_code == 200
    assert (tmp_path / "big").read_bytes() == data
    reply = agent.upload(tmp_path / "huge", b"x" * ((128 << 20) + 8192))
    assert reply.status_code == 413
    assert not (tmp_path / "huge").exists()


def raw_upload(agent, path, body, content_type="multipart/form-data; boundary=XB"):
    return agent.post(
        "/api/file/upload", params={"path": str(path)}, data=body, headers={"Content-Type": content_type}
    )


def part(disposition, data=b"hello", more=b""):
    return b"--XB\r\nContent-Disposition: form-data; " + disposition + b"\r\n" + more + b"\r\n" + data


def test_upload_reads_multipart_as_clients_write_it(agent, tmp_path):
    target = tmp_path / "m"
    end = b"\r\n--XB--\r\n"
    typed = b"Content-Type: application/octet-stream\r\n"
    for body in (
        part(b'name="file"; filename="upload"') + end,
        part(b'name="file"; filename="upload"', more=typed) + end,
        part(b"name=file; filename=x") + end,
        b"preamble\r\n" + part(b'name="file"; filename="upload"') + end + b"epilogue",
        part(b'name="other"', b"no") + b"\r\n" + part(b'name="file"; filename="u"') + end,
    ):
        target.unlink(missing_ok=True)
        assert raw_upload(agent, target, body).status_code == 200, body
        assert target.read_bytes() == b"hello"
    assert raw_upload(agent, target, part(b'name="file"; filename="u"', b"") + end).json()["file_size"] == 0


def test_upload_refusals_are_those_of_the_contract(agent, tmp_path):
    end = b"\r\n--XB--\r\n"
    missing = {
        "detail": [{"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": None}]
    }
    for body in (b"{}", part(b'name="other"; filename="u"') + end, part(b'name="file"; filename="u"'), b""):
        reply = raw_upload(agent, tmp_path / "n", body)
        assert (reply.status_code, reply.json()) == (422, missing), body
    assert raw_upload(agent, tmp_path / "n", b"{}", "application/json").json() == missing
    reply = raw_upload(agent, tmp_path / "n", part(b'name="file"', b"no filename") + end)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["input"] == "no filename"
    assert agent.upload("rel/x", b"").json() == {"detail": "Path must be absolute"}
    assert agent.upload("~/x", b"").status_code == 400
    reply = agent.post("/api/file/upload", files={"file": b"x"})
    assert reply.json()["detail"][0]["loc"] == ["query", "path"]
    assert agent.upload(tmp_path, b"x").json() == {"detail": "Path is a directory"}
    (tmp_path / "file").write_text("")
    reply = agent.upload(tmp_path / "file" / "below", b"x")
    assert (reply.status_code, reply.json()) == (
        400,
        {"detail": "A parent of the path is not a directory"},
    )
    reply = agent.upload("/proc/nope/x", b"x")
    assert reply.status_code == 500
    assert reply.json()["detail"] == "Internal Server Error"
    assert "Failed to upload file" in reply.json()["exception"]
    assert agent.upload("/dev/null", b"x").status_code == 400
    assert not list(tmp_path.glob(".upload-*"))


def test_download_gives_the_file_and_its_ranges(agent, tmp_path):
    path = tmp_path / "raw.txt"
    path.write_bytes(b"hello\nraw")
    whole = agent.download(path)
    assert whole.content == b"hello\nraw"
    assert whole.headers["Content-Type"] == "application/octet-stream"
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["Content-Disposition"] == 'attachment; filename="raw.txt"'
    assert whole.headers["ETag"] and whole.headers["Last-Modified"].endswith("GMT")
    for asked, data, told in (
        ("bytes=2-4", b"llo", "bytes 2-4/9"),
        ("bytes=6-", b"raw", "bytes 6-8/9"),
        ("bytes=-3", b"raw", "bytes 6-8/9"),
        ("bytes=0-999", b"hello\nraw", "bytes 0-8/9"),
        ("bytes=-999", b"hello\nraw", "bytes 0-8/9"),
    ):
        reply = agent.download(path, Range=asked)
        assert (reply.status_code, reply.content, reply.headers["Content-Range"]) == (206, data, told)
    for asked in ("bytes=9-", "bytes=100-200", "bytes=-0"):
        reply = agent.download(path, Range=asked)
        assert (reply.status_code, reply.headers["Content-Range"]) == (416, "bytes */9")
    for asked in ("bytes=4-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=", "bytes=-"):
        assert agent.download(path, Range=asked).content == b"hello\nraw"
    path.write_bytes(b"")
    assert agent.download(path).content == b""
    assert agent.download(path, Range="bytes=0-").status_code == 416


def test_download_refusals_are_those_of_the_contract(agent, tmp_path):
    reply = agent.download(tmp_path / "missing")
    assert (reply.status_code, reply.json()) == (404, {"detail": "File not found"})
    assert agent.download(tmp_path).json() == {"detail": "Path is not a file"}
    assert agent.download("rel").json() == {"detail": "Path must be absolute"}
    assert agent.get("/api/file/download").status_code == 422
    os.mkfifo(tmp_path / "fifo")
    assert agent.download(tmp_path / "fifo").status_code == 400


def test_create_directory_is_idempotent(agent, tmp_path):
    for _ in range(2):
        reply = agent.post("/api/file/create_directory", params={"path": str(tmp_path / "a" / "b")})
        assert (reply.status_code, reply.json()) == (200, {"success": True})
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "f").write_text("")
    assert agent.post("/api/file/create_directory", params={"path": str(tmp_path / "f")}).status_code == 400
    reply = agent.post("/api/file/create_directory", json={"path": str(tmp_path / "c")})
    assert reply.json()["detail"][0]["loc"] == ["query", "path"]


def test_broken_requests_do_not_harm(agent):
    port = int(agent.url.rsplit(":", 1)[1])
    for junk in (b"\x00" * 100, b"GET /%zz HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(junk)
            # not waiting for an answer: half a request has none before the idle timeout
    assert agent.get("/alive").status_code == 200
