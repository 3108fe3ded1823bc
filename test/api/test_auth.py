# SPDX-License-Identifier: MIT
"""Section 2: which credentials are looked for, in which order, and what they give."""

import pytest

from conftest import PREFIX
from test_guard import raw

ROUTES = [
    ("GET", "/v1"), ("POST", "/v1"), ("GET", "/v1/not-an-id"), ("PATCH", "/v1/not-an-id"),
    ("DELETE", "/v1/not-an-id"), ("GET", "/v1/not-an-id/tarball"), ("POST", "/v1/not-an-id/dispatch"),
    ("POST", "/v1/not-an-id/trigger"), ("GET", "/v1/not-an-id/runs"), ("GET", "/v1/all-runs"),
    ("POST", "/v1/runs/not-an-id/complete"), ("POST", "/v1/runs/not-an-id/phase"),
    ("POST", "/v1/runs/not-an-id/cancel"), ("GET", "/v1/runs/not-an-id"),
    ("GET", "/v1/runs/not-an-id/logs"), ("POST", "/v1/uploads"), ("GET", "/v1/uploads"),
    ("GET", "/v1/uploads/not-an-id"), ("DELETE", "/v1/uploads/not-an-id"),
]


@pytest.mark.parametrize("method, path", ROUTES)
def test_auth__every_route_needs_a_key_before_it_validates(api, method, path):
    reply = api.call(method, path, key=False, data="no json")
    assert reply.status_code == 401, reply.text
    assert isinstance(reply.json()["detail"], str)


def test_auth__bearer_key_is_taken(api):
    assert api.get("/v1", key=False, headers={"Authorization": "Bearer " + api.key}).status_code == 200


def test_auth__session_key_is_taken_and_trimmed(api):
    reply = api.get("/v1", key=False, headers={"X-Session-API-Key": f"{api.key}\t "})
    assert reply.status_code == 200


@pytest.mark.parametrize("value", ["Bearer ", "Bearer", "Bearer wrong", "bearer {key}", "BEARER {key}",
                                   "Basic {key}", "{key}", "Bearer  {key}", "Bearer {key}x"])
def test_auth__anything_but_exactly_bearer_and_the_key_is_401(api, value):
    reply = api.get("/v1", key=False, headers={"Authorization": value.format(key=api.key)})
    assert reply.status_code == 401


def test_auth__wrong_bearer_never_falls_through(api):
    reply = api.get("/v1", key=False,
                    headers={"Authorization": "Bearer wrong", "X-Session-API-Key": api.key})
    assert reply.status_code == 401


def test_auth__other_scheme_lets_the_session_key_decide(api):
    reply = api.get("/v1", key=False,
                    headers={"Authorization": "Basic abc", "X-Session-API-Key": api.key})
    assert reply.status_code == 200


def test_auth__blank_session_key_and_cookies_are_401(api):
    assert raw(api, path=PREFIX + "/v1", headers=[("X-Session-API-Key", " \t ")]).status == 401
    reply = api.get("/v1", key=False, headers={"Cookie": f"openhands_auth={api.key}"})
    assert reply.status_code == 401


def test_auth__local_identity_owns_what_it_makes(api):
    automation = api.create()
    assert automation["user_id"] == "c1a96d89-eae7-53bd-86ad-07f26266402b"
    assert automation["org_id"] == "46d09c5c-7d7d-585f-8c37-a6b45a3de738"
