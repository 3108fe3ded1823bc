# SPDX-License-Identifier: MIT
"""Pages by cursor, an addition to section 5: every row once, whatever comes and goes meanwhile."""

import uuid

import pytest


def walk(api, path, key, limit=2, **params):
    """All rows of a list, page by page behind the cursor."""
    rows, cursor, pages = [], "", 0
    while cursor is not None:
        reply = api.get(path, params={"limit": limit, "cursor": cursor, **params})
        assert reply.status_code == 200, reply.text
        page = reply.json()
        assert len(page[key]) == limit or page["next_cursor"] is None
        assert page.get("total") is None
        rows += page[key]
        cursor = page["next_cursor"]
        pages += 1
        assert pages < 1000
    return rows


@pytest.fixture(scope="module")
def some(api):
    """One automation with five runs, and a few more automations."""
    made = [api.create() for _ in range(5)]
    runs = [api.dispatch(made[0]["id"]) for _ in range(5)]
    for run in runs:
        api.ended(run["id"])
    return made, runs


def test_cursor__automations_are_met_once_in_the_order_of_the_list(api, some):
    whole = walk(api, "/v1", "automations", 100)
    assert walk(api, "/v1", "automations", 2) == whole
    assert [a["id"] for a in whole[:5]] == [a["id"] for a in reversed(some[0])]
    by_offset = api.get("/v1", params={"limit": 100}).json()
    assert by_offset["automations"] == whole[:100]
    assert by_offset["total"] == len(whole)


def test_cursor__of_an_offset_page_goes_on_behind_it(api, some):
    first = api.get("/v1", params={"limit": 2, "offset": 1}).json()
    second = api.get("/v1", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    whole = api.get("/v1", params={"limit": 5}).json()["automations"]
    assert first["automations"] + second["automations"] == whole[1:5]


def test_cursor__runs_of_one_automation(api, some):
    made, runs = some
    path = f"/v1/{made[0]['id']}/runs"
    assert [r["id"] for r in walk(api, path, "runs")] == [r["id"] for r in reversed(runs)]
    assert "status_counts" not in api.get(path, params={"cursor": ""}).json()
    assert walk(api, f"/v1/{made[1]['id']}/runs", "runs") == []


def test_cursor__runs_of_all_automations(api, some):
    found = [r["id"] for r in walk(api, "/v1/all-runs", "runs", 3)]
    assert len(found) == len(set(found))
    mine = {r["id"] for r in some[1]}
    assert [i for i in found if i in mine] == [r["id"] for r in reversed(some[1])]


def test_cursor__uploads(api, some):
    whole = walk(api, "/v1/uploads", "uploads", 100)
    found = walk(api, "/v1/uploads", "uploads", 3)
    assert found == whole and len({u["id"] for u in found}) == len(found)
    assert walk(api, "/v1/uploads", "uploads", 3, status="FAILED") == [
        u for u in whole if u["status"] == "FAILED"]


def test_cursor__rows_that_come_and_go_shift_nothing(api, some):
    first = api.get("/v1", params={"limit": 3, "cursor": ""}).json()
    api.create()
    assert api.delete(f"/v1/{first['automations'][2]['id']}").status_code == 204
    second = api.get("/v1", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    seen = {a["id"] for a in first["automations"]}
    assert not seen & {a["id"] for a in second["automations"]}
    whole = [a["id"] for a in walk(api, "/v1", "automations", 100)]
    at = whole.index(second["automations"][0]["id"])
    assert whole[at - 1] == first["automations"][1]["id"]


@pytest.mark.parametrize("cursor", ["x", "a", "a" + "0" * 47, "a" + "0" * 49, "A" + "0" * 48,
                                    "u" + "0" * 48, "a" + "f" * 48, "a" + "G" * 48, "é" * 49, "\x00"])
def test_cursor__of_elsewhere_is_a_422(api, cursor):
    reply = api.get("/v1", params={"cursor": cursor})
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", "cursor"]


def test_cursor__names_a_place_not_a_row(api):
    """A cursor whose row is gone still says where to go on, and grants nothing."""
    at = "a" + "%016x" % 1 + uuid.uuid4().hex
    assert api.get("/v1", params={"cursor": at}).json()["automations"] == []
    assert api.get("/v1", params={"cursor": at}, key=False).status_code == 401


def test_cursor__with_an_offset_is_a_422(api):
    reply = api.get("/v1", params={"cursor": "", "offset": 1})
    assert reply.status_code == 422
    assert "exclude" in reply.json()["detail"][0]["msg"]
    assert api.get("/v1", params={"cursor": "", "offset": 0}).status_code == 200
