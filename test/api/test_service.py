# SPDX-License-Identifier: MIT
"""Service endpoints and the conventions of section 1: base path, slashes, methods."""

import pytest

from conftest import PREFIX


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("path, body", [
    ("/health", {"status": "ok"}),
    ("/ready", {"status": "ready"}),
    ("/sdk-version", {"version": "1.58.0"}),
])
def test_service__answers_without_a_key_at_both_places(api, path, body, root):
    reply = api.get(path, key=False, root=root)
    assert reply.status_code == 200
    assert reply.json() == body
    assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("root", [False, True])
def test_service__server_info_says_contract_sdk_and_engine(api, root):
    body = api.get("/server_info", key=False, root=root).json()
    assert body["package_version"] == "1.25.0"
    assert body["sdk_version"] == "1.58.0"
    assert body["engine_version"].count(".") == 2


def test_paths__v1_does_not_exist_without_the_prefix(api):
    reply = api.get("/v1", root=True)
    assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("path", ["", "/nothing", "/v1/x/y/z", "/v1//dispatch", "/v2"])
def test_paths__unknown_ones_are_404(api, path):
    reply = api.get(path)
    assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("path, to", [
    ("/v1/", "/v1"),
    ("/v1//", "/v1"),
    ("/v1/uploads/?limit=3&status=FAILED", "/v1/uploads?limit=3&status=FAILED"),
    ("/health/", "/health"),
])
def test_paths__superfluous_slash_is_redirected(api, path, to):
    reply = api.get(path, key=False)
    assert reply.status_code == 307
    location = reply.headers["Location"]
    assert location[location.index(PREFIX):] == PREFIX + to


def test_paths__redirect_never_leaves_the_server(api):
    reply = api.get("//evil.example/api/automation/v1/", root=True)
    assert reply.status_code in (400, 404)


@pytest.mark.parametrize("path", ["/v1", "/health"])
def test_methods__head_is_405(api, path):
    reply = api.call("HEAD", path)
    assert reply.status_code == 405
    assert api.call("HEAD", "/nothing").status_code == 404


@pytest.mark.parametrize("method, path, allow", [
    ("PUT", "/v1", {"GET", "POST"}),
    ("POST", "/v1/46d09c5c-7d7d-585f-8c37-a6b45a3de738", {"GET", "PATCH", "DELETE"}),
    ("GET", "/v1/runs/46d09c5c-7d7d-585f-8c37-a6b45a3de738/cancel", {"POST"}),
    ("DELETE", "/health", {"GET"}),
    ("OPTIONS", "/v1", {"GET", "POST"}),
])
def test_methods__wrong_one_is_405_and_says_what_is_allowed(api, method, path, allow):
    reply = api.call(method, path, key=False)
    assert (reply.status_code, reply.json()) == (405, {"detail": "Method Not Allowed"})
    assert set(reply.headers["Allow"].replace(" ", "").split(",")) == allow


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("word", ["runs", "drafts", "x"])
def test_paths__unrouted_word_is_taken_as_an_id(api, method, word):
    reply = api.call(method, f"/v1/{word}", json={} if method == "PATCH" else None)
    assert reply.status_code == 422
    problem = reply.json()["detail"][0]
    assert problem["type"] == "uuid_parsing"
    assert problem["loc"] == ["path", "automation_id"]
    assert problem["input"] == word
    assert problem["msg"]


@pytest.mark.parametrize("form", ["{}", "{{{}}}", "urn:uuid:{}"])
def test_paths__every_textual_form_of_an_id_is_taken(api, form):
    automation = api.create()
    for text in (automation["id"], automation["id"].upper()):
        reply = api.get("/v1/" + form.format(text))
        assert reply.status_code == 200, reply.text
    reply = api.get("/v1/" + automation["id"].replace("-", ""))
    assert reply.json()["id"] == automation["id"]


def test_paths__bad_escapes_are_refused(api):
    for path in ("/v1/%00", "/v1/%zz"):
        assert api.get(path).status_code in (400, 422)
