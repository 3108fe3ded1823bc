# SPDX-License-Identifier: MIT
"""Section 9: uploads."""

import uuid

import pytest

LIMIT = 1048576
FIELDS = {"id", "user_id", "org_id", "name", "description", "status", "error_message", "size_bytes",
          "tarball_path", "created_at", "updated_at"}


def send(api, data=b"x", content_type="application/gzip", **params):
    params.setdefault("name", "n")
    headers = {"Content-Type": content_type} if content_type else {}
    return api.post("/v1/uploads", params={k: v for k, v in params.items() if v is not ...}, data=data,
                    headers=headers)


def test_upload__answers_201_with_every_field(api):
    reply = send(api, b"some bytes", name="Äpfel", description="d")
    assert reply.status_code == 201
    made = reply.json()
    assert set(made) == FIELDS
    assert (made["name"], made["description"], made["status"]) == ("Äpfel", "d", "COMPLETED")
    assert made["size_bytes"] == 10
    assert made["tarball_path"] == "oh-internal://uploads/" + made["id"]
    assert made["error_message"] is None
    assert api.get("/v1/uploads/" + made["id"]).json() == made


@pytest.mark.parametrize("content_type", [
    "application/x-tar", "application/x-gzip", "application/gzip", "application/x-compressed-tar",
    "application/octet-stream", "application/gzip; x=y"])
def test_upload__media_types_that_pass(api, content_type):
    assert send(api, content_type=content_type).status_code == 201


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "application/gzipx"])
def test_upload__other_media_types_are_415(api, content_type):
    assert send(api, content_type=content_type).status_code == 415


@pytest.mark.parametrize("params, name, kind", [
    ({"name": ...}, "name", "missing"),
    ({"name": ""}, "name", "string_too_short"),
    ({"name": "x" * 256}, "name", "string_too_long"),
    ({"description": "x" * 2001}, "description", "string_too_long"),
])
def test_upload__names_are_checked(api, params, name, kind):
    reply = send(api, **params)
    assert reply.status_code == 422
    problem, = reply.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["query", name], kind)


def test_upload__name_length_counts_characters(api):
    assert send(api, name="ä" * 255).status_code == 201


def test_upload__exactly_the_limit_passes_and_one_more_is_413(api):
    made = send(api, b"x" * LIMIT).json()
    assert (made["status"], made["size_bytes"]) == ("COMPLETED", LIMIT)
    assert send(api, b"x" * (LIMIT + 1)).status_code == 413


def test_upload__that_grows_beyond_the_limit_is_kept_as_failed(api):
    def chunks():
        for _ in range(20):
            yield b"x" * 65536

    reply = send(api, chunks())
    assert reply.status_code == 201
    made = reply.json()
    assert (made["status"], made["tarball_path"]) == ("FAILED", None)
    assert made["error_message"]


def test_upload__list_filters_by_status_and_pages(api):
    made = send(api).json()
    whole = api.get("/v1/uploads", params={"status": "COMPLETED", "limit": 100}).json()
    assert set(whole) == {"uploads", "total", "next_cursor"}
    assert made["id"] in {u["id"] for u in whole["uploads"]}
    assert {u["status"] for u in whole["uploads"]} == {"COMPLETED"}
    assert len(api.get("/v1/uploads", params={"limit": 1}).json()["uploads"]) == 1
    reply = api.get("/v1/uploads", params={"status": "completed"})
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", "status"]


def test_upload__delete_is_204_and_final(api):
    made = send(api).json()
    reply = api.delete("/v1/uploads/" + made["id"])
    assert (reply.status_code, reply.content) == (204, b"")
    assert api.get("/v1/uploads/" + made["id"]).status_code == 404
    assert api.delete("/v1/uploads/" + made["id"]).status_code == 404
    assert made["id"] not in {u["id"] for u in api.get("/v1/uploads").json()["uploads"]}


def test_upload__unknown_and_malformed_ids(api):
    assert api.get(f"/v1/uploads/{uuid.uuid4()}").status_code == 404
    reply = api.get("/v1/uploads/xyz")
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["path", "upload_id"]
