# SPDX-License-Identifier: MIT
"""Section 6 and 5: automations, their validation, paging, PATCH, DELETE, tarball."""

import re
import uuid

import pytest

from conftest import NEVER, tarball

FIELDS = {
    "id", "user_id", "org_id", "agent_profile_id", "model", "name", "description", "prompt",
    "preset_metadata", "plugin_spec", "trigger", "observability_associations", "tarball_path",
    "setup_script_path", "entrypoint", "timeout", "keep_alive", "enabled", "state", "disabled_reason",
    "disabled_detail", "disabled_at", "last_triggered_at", "created_at", "updated_at",
}
EXTERNAL = "https://example.com/x.tar.gz"


def body(**fields):
    out = {"name": "n", "trigger": NEVER, "tarball_path": EXTERNAL, "entrypoint": "python main.py"}
    out.update(fields)
    return {k: v for k, v in out.items() if v is not ...}


def problems(reply):
    assert reply.status_code == 422, reply.text
    detail = reply.json()["detail"]
    assert isinstance(detail, list), detail
    for problem in detail:
        assert {"type", "loc", "msg", "input"} <= set(problem), problem
    return {(tuple(p["loc"]), p["type"]) for p in detail}


# ---- create --------------------------------------------------------------------------------------


def test_create__answers_201_with_every_field_and_defaults(api):
    reply = api.post("/v1", json=body(name="Grüße 🌍", description="d"))
    assert reply.status_code == 201
    made = reply.json()
    assert FIELDS <= set(made)
    assert made["name"] == "Grüße 🌍"
    assert (made["state"], made["enabled"], made["timeout"]) == ("ACTIVE", True, 600)
    assert made["trigger"] == {"type": "cron", "schedule": "0 0 29 2 *", "timezone": "UTC"}
    for field in ("agent_profile_id", "model", "prompt", "preset_metadata", "plugin_spec",
                  "setup_script_path", "keep_alive", "disabled_reason", "disabled_at",
                  "last_triggered_at"):
        assert made[field] is None, field
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", made["created_at"])
    assert api.get("/v1/" + made["id"]).json() == made


def test_create__inactive_by_state_or_enabled(api):
    for fields in ({"state": "INACTIVE"}, {"enabled": False}, {"enabled": False, "state": "INACTIVE"},
                   {"enabled": "off"}):
        made = api.post("/v1", json=body(**fields)).json()
        assert (made["state"], made["enabled"]) == ("INACTIVE", False), fields


def test_create__all_problems_are_reported_at_once(api):
    reply = api.post("/v1", json=body(name="", entrypoint=..., timeout=0, nonsense=1))
    found = problems(reply)
    assert (("body", "name"), "string_too_short") in found
    assert (("body", "entrypoint"), "missing") in found
    assert (("body", "nonsense"), "extra_forbidden") in found
    assert any(loc == ("body", "timeout") for loc, _ in found)


@pytest.mark.parametrize("fields, loc", [
    ({"name": "x" * 501}, ("body", "name")),
    ({"description": "x" * 2001}, ("body", "description")),
    ({"model": "-x"}, ("body", "model")),
    ({"entrypoint": "a; b"}, ("body", "entrypoint")),
    ({"entrypoint": "../x"}, ("body", "entrypoint")),
    ({"entrypoint": "/bin/sh"}, ("body", "entrypoint")),
    ({"timeout": 1801}, ("body", "timeout")),
    ({"tarball_path": "ftp://x"}, ("body", "tarball_path")),
    ({"state": "DRAFT"}, ("body", "state")),
    ({"observability_associations": {"bad key": "a"}}, ("body", "observability_associations")),
    ({"trigger": {"type": "cron", "schedule": "61 * * * *"}}, ("body", "trigger", "cron", "schedule")),
    ({"trigger": {"type": "cron", "schedule": "* * * * *", "timezone": "Mars/X"}},
     ("body", "trigger", "cron", "timezone")),
])
def test_create__one_bad_field_names_its_place(api, fields, loc):
    found = {place for place, _ in problems(api.post("/v1", json=body(**fields)))}
    assert any(place[:len(loc)] == loc for place in found), found


def test_create__bad_trigger_tag(api):
    found = problems(api.post("/v1", json=body(trigger={"type": "weekly"})))
    assert (("body", "trigger"), "union_tag_invalid") in found


def test_create__enabled_and_state_must_agree(api):
    assert api.post("/v1", json=body(enabled=False, state="ACTIVE")).status_code == 422


def test_create__plain_http_tarball_is_refused_with_text(api):
    reply = api.post("/v1", json=body(tarball_path="http://example.com/x"))
    assert reply.status_code == 422
    assert isinstance(reply.json()["detail"], str)


def test_create__internal_tarball_must_exist_and_be_whole(api):
    reply = api.post("/v1", json=body(tarball_path=f"oh-internal://uploads/{uuid.uuid4()}"))
    assert reply.status_code == 404
    assert api.post("/v1", json=body(tarball_path="oh-internal://uploads/x")).status_code == 422
    gone = api.upload(tarball({"a": "b"}))
    assert api.delete("/v1/uploads/" + gone["id"]).status_code == 204
    assert api.post("/v1", json=body(tarball_path=gone["tarball_path"])).status_code == 400


def test_create__template_is_idempotent(api):
    template = {"id": f"t-{uuid.uuid4()}", "version": "1"}
    first = api.post("/v1", json=body(template=template))
    again = api.post("/v1", json=body(template=template, name="other"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


# ---- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_body__without_json_content_type_is_not_parsed(api, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    reply = api.post("/v1", data='{"name":"n"}', headers=headers)
    assert (("body",), "model_attributes_type") in problems(reply)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8",
                                          "application/vnd.x+json"])
def test_body__json_content_types_are_parsed(api, content_type):
    reply = api.post("/v1", data='{"name":""}', headers={"Content-Type": content_type})
    assert (("body", "name"), "string_too_short") in problems(reply)


@pytest.mark.parametrize("text", ['{"name": }', "{", '{"a":1}x', '"\\ud800"', "nul"])
def test_body__malformed_json_says_where(api, text):
    reply = api.post("/v1", data=text, headers={"Content-Type": "application/json"})
    (loc, kind), = problems(reply)
    assert kind == "json_invalid"
    assert loc[0] == "body" and isinstance(loc[1], int)


def test_body__nested_beyond_the_limit_is_refused(api):
    text = "[" * 100000
    reply = api.post("/v1", data=text, headers={"Content-Type": "application/json"})
    (loc, kind), = problems(reply)
    assert kind == "json_invalid"


@pytest.mark.parametrize("text", ["[]", '"x"', "1", "null"])
def test_body__that_is_no_object(api, text):
    reply = api.post("/v1", data=text, headers={"Content-Type": "application/json"})
    assert problems(reply) & {(("body",), "model_attributes_type"), (("body",), "missing")}


def test_body__missing(api):
    assert (("body",), "missing") in problems(api.post("/v1"))


def test_body__over_a_megabyte_is_413(api):
    reply = api.post("/v1", data='{"name":"' + "x" * 1048576 + '"}',
                     headers={"Content-Type": "application/json"})
    assert reply.status_code == 413
    assert isinstance(reply.json()["detail"], str)


# ---- list ----------------------------------------------------------------------------------------


def test_list__pages_newest_first_with_a_total(api):
    made = [api.post("/v1", json=body(name=f"page {i}")).json() for i in range(3)]
    whole = api.get("/v1", params={"limit": 100}).json()
    assert set(whole) == {"automations", "total", "next_cursor"}
    total = whole["total"]
    first = api.get("/v1", params={"limit": 2}).json()
    second = api.get("/v1", params={"limit": 2, "offset": 2}).json()
    assert first["total"] == second["total"] == total
    ids = [a["id"] for a in first["automations"] + second["automations"]]
    assert len(set(ids)) == len(ids)
    assert {m["id"] for m in made} <= set(ids)
    stamps = [a["created_at"] for a in whole["automations"]]
    assert stamps == sorted(stamps, reverse=True)
    assert api.get("/v1", params={"offset": 10**9}).json() == {"automations": [], "total": total,
                                                              "next_cursor": None}


@pytest.mark.parametrize("path", ["/v1", "/v1/uploads", "/v1/all-runs",
                                  "/v1/46d09c5c-7d7d-585f-8c37-a6b45a3de738/runs"])
@pytest.mark.parametrize("name, value, kind", [
    ("limit", "0", "greater_than_equal"), ("limit", "101", "less_than_equal"),
    ("limit", "x", "int_parsing"), ("limit", "", "int_parsing"), ("limit", "1.5", "int_parsing"),
    ("limit", "99999999999999999999", "less_than_equal"), ("offset", "-1", "greater_than_equal"),
])
def test_list__paging_out_of_range_is_422(api, path, name, value, kind):
    assert problems(api.get(path, params={name: value})) == {(("query", name), kind)}


def test_list__both_paging_problems_at_once(api):
    found = problems(api.get("/v1", params={"limit": "0", "offset": "-1", "created_by": "them"}))
    assert {loc[1] for loc, _ in found} == {"limit", "offset", "created_by"}


def test_list__by_creator(api):
    made = api.post("/v1", json=body()).json()
    mine = api.get("/v1", params={"created_by": "me"}).json()
    assert made["id"] in {a["id"] for a in mine["automations"]}
    assert api.get("/v1", params={"created_by": "others"}).json()["total"] == 0


def test_list__by_name_finds_exactly_those(api):
    name = f"named {uuid.uuid4()}"
    made = {api.post("/v1", json=body(name=name)).json()["id"] for _ in range(2)}
    found = api.get("/v1", params={"name": name}).json()
    assert {a["id"] for a in found["automations"]} == made
    assert found["total"] == 2
    assert api.get("/v1", params={"name": name + "x"}).json() == {"automations": [], "total": 0,
                                                                    "next_cursor": None}


# ---- patch ---------------------------------------------------------------------------------------


def test_patch__changes_what_is_named_and_nothing_else(api):
    made = api.post("/v1", json=body(description="old")).json()
    reply = api.patch("/v1/" + made["id"], json={"name": "new", "timeout": 5})
    assert reply.status_code == 200
    now = reply.json()
    assert (now["name"], now["timeout"], now["description"]) == ("new", 5, "old")
    same = FIELDS - {"name", "timeout", "updated_at"}
    assert {k: now[k] for k in same} == {k: made[k] for k in same}


def test_patch__switching_off_and_on(api):
    made = api.post("/v1", json=body()).json()
    off = api.patch("/v1/" + made["id"], json={"enabled": False}).json()
    assert (off["state"], off["enabled"], off["disabled_reason"]) == ("INACTIVE", False, "manual")
    assert off["disabled_detail"] == {"reason": "manual", "source": "user"}
    assert off["disabled_at"]
    on = api.patch("/v1/" + made["id"], json={"state": "ACTIVE"}).json()
    assert (on["state"], on["enabled"], on["disabled_reason"], on["disabled_at"]) == (
        "ACTIVE", True, None, None)


@pytest.mark.parametrize("field", ["name", "trigger", "tarball_path", "entrypoint", "enabled"])
def test_patch__null_for_what_must_be_is_422(api, field):
    made = api.post("/v1", json=body()).json()
    assert api.patch("/v1/" + made["id"], json={field: None}).status_code == 422


def test_patch__validates_like_create(api):
    made = api.post("/v1", json=body()).json()
    found = problems(api.patch("/v1/" + made["id"], json={"entrypoint": "a|b", "x": 1}))
    assert {loc[1] for loc, _ in found} == {"entrypoint", "x"}


def test_patch__unknown_id_is_404(api):
    assert api.patch(f"/v1/{uuid.uuid4()}", json={"name": "x"}).status_code == 404


# ---- get, delete ---------------------------------------------------------------------------------


def test_get__unknown_id_is_404_with_text(api):
    reply = api.get(f"/v1/{uuid.uuid4()}")
    assert reply.status_code == 404
    assert isinstance(reply.json()["detail"], str)


def test_delete__is_204_empty_and_final(api):
    made = api.post("/v1", json=body()).json()
    reply = api.delete("/v1/" + made["id"])
    assert (reply.status_code, reply.content) == (204, b"")
    assert api.get("/v1/" + made["id"]).status_code == 404
    assert api.delete("/v1/" + made["id"]).status_code == 404
    assert api.get(f"/v1/{made['id']}/runs").status_code == 404
    assert api.post(f"/v1/{made['id']}/dispatch").status_code == 404


# ---- tarball -------------------------------------------------------------------------------------


def test_tarball__internal_comes_back_byte_for_byte(api):
    data = tarball({"main.sh": "echo"})
    path = api.upload(data)["tarball_path"]
    made = api.post("/v1", json=body(tarball_path=path, name='a/b"c\\d')).json()
    reply = api.get(f"/v1/{made['id']}/tarball")
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/x-tar"
    assert reply.content == data
    assert reply.headers["Content-Disposition"] == 'attachment; filename="abcd.tar"'


def test_tarball__name_beyond_ascii_has_both_forms(api):
    path = api.upload(tarball({"a": "b"}))["tarball_path"]
    made = api.post("/v1", json=body(tarball_path=path, name="日本 x")).json()
    header = api.get(f"/v1/{made['id']}/tarball").headers["Content-Disposition"]
    assert header == ('attachment; filename="x.tar"; '
                      "filename*=UTF-8''%E6%97%A5%E6%9C%AC%20x.tar")
    made = api.post("/v1", json=body(tarball_path=path, name="日本")).json()
    header = api.get(f"/v1/{made['id']}/tarball").headers["Content-Disposition"]
    assert 'filename="automation.tar"' in header


def test_tarball__external_is_a_redirect_and_buckets_are_422(api):
    made = api.post("/v1", json=body()).json()
    reply = api.get(f"/v1/{made['id']}/tarball")
    assert (reply.status_code, reply.headers["Location"]) == (302, EXTERNAL)
    made = api.post("/v1", json=body(tarball_path="s3://bucket/x")).json()
    assert api.get(f"/v1/{made['id']}/tarball").status_code == 422


def test_tarball__of_a_deleted_upload_is_404(api):
    upload = api.upload(tarball({"a": "b"}))
    made = api.post("/v1", json=body(tarball_path=upload["tarball_path"])).json()
    api.delete("/v1/uploads/" + upload["id"])
    assert api.get(f"/v1/{made['id']}/tarball").status_code == 404
