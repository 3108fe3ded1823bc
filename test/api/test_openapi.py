# SPDX-License-Identifier: MIT
"""The description of the API: the same as the contract's where it has the route, additions marked, and
true of what the server answers.  test/vectors/openapi.json is the contract's part that is built."""

import json
import os

import jsonschema
import pytest

from conftest import ROOT

MARKS = ("x-addition", "x-permission", "description", "discriminator", "propertyNames")


@pytest.fixture(scope="module")
def ours(api):
    reply = api.get("/openapi.json", key=False)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json"
    return reply.json()


@pytest.fixture(scope="module")
def contract():
    with open(os.path.join(ROOT, "test", "vectors", "openapi.json")) as f:
        return json.load(f)


def operations(document):
    return {(path, method): operation for path, item in document["paths"].items()
            for method, operation in item.items()}


def bare(value):
    """Without what we mark and say more, and without additions."""
    if isinstance(value, dict):
        return {k: bare(v) for k, v in value.items()
                if k not in MARKS and not (isinstance(v, dict) and v.get("x-addition"))}
    if isinstance(value, list):
        return [bare(v) for v in value if not (isinstance(v, dict) and v.get("x-addition"))]
    return value


def test_openapi__has_the_contracts_routes_and_marks_ours(ours, contract):
    mine, theirs = operations(ours), operations(contract)
    assert set(theirs) <= set(mine)
    assert {k for k in mine if mine[k].get("x-addition")} == set(mine) - set(theirs)


def test_openapi__operations_take_what_the_contracts_take(ours, contract):
    mine = operations(ours)
    for key, theirs in operations(contract).items():
        assert mine[key]["operationId"] == theirs["operationId"]
        found = {p["name"]: p for p in bare(mine[key].get("parameters", []))}
        wanted = {p["name"]: bare(p) for p in theirs.get("parameters", [])}
        assert found == wanted, key
        if key != ("/api/automation/v1/uploads", "post"):  # raw bytes, which the contract leaves out
            assert mine[key].get("requestBody") == theirs.get("requestBody"), key
        assert set(theirs["responses"]) <= set(mine[key]["responses"])


def test_openapi__shapes_are_the_contracts(ours, contract):
    mine, theirs = ours["components"]["schemas"], contract["components"]["schemas"]
    assert {n for n in mine if mine[n].get("x-addition")} == set(mine) - set(theirs)
    assert set(theirs) <= set(mine)
    nullable = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    for name, shape in theirs.items():
        found, wanted = bare(mine[name]), bare(shape)
        if "total" in wanted.get("properties", {}):  # not counted on pages by cursor
            assert found["properties"].pop("total") == nullable
            assert wanted["properties"].pop("total") == {"type": "integer"}
        if name == "ValidationError":
            found["properties"]["ctx"].pop("additionalProperties")
        assert found == wanted, name


def test_openapi__is_a_sound_document(ours):
    def walk(value):
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"].rsplit("/", 1)[1] in ours["components"]["schemas"]
            for v in value.values():
                walk(v)
        elif isinstance(value, list):
            for v in value:
                walk(v)

    walk(ours)
    assert ours["openapi"].startswith("3.1")
    for name, shape in ours["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(shape)
        assert set(shape.get("required", [])) <= set(shape.get("properties", {})), name
    ids = [o["operationId"] for o in operations(ours).values()]
    assert len(ids) == len(set(ids))


def test_openapi__answers_are_as_described(api, ours):
    """One answer of each kind, with no member that the description does not know."""
    automation = api.create("echo x")
    run = api.dispatch(automation["id"])
    api.ended(run["id"])
    upload = api.upload(b"x")
    answers = {
        "AutomationResponse": automation,
        "AutomationRunResponse": run,
        "UploadResponse": upload,
        "AutomationListResponse": api.get("/v1").json(),
        "AutomationRunListResponse": api.get(f"/v1/{automation['id']}/runs").json(),
        "UploadListResponse": api.get("/v1/uploads").json(),
        "AllRunsResponse": api.get("/v1/all-runs").json(),
        "RunLogsResponse": api.logs(run["id"]),
        "HealthResponse": api.get("/health").json(),
        "ReadyResponse": api.get("/ready").json(),
        "SdkVersionResponse": api.get("/sdk-version").json(),
        "ServerInfoResponse": api.get("/server_info").json(),
        "ErrorResponse": api.get("/v1", key=False).json(),
        "HTTPValidationError": api.get("/v1", params={"limit": 0}).json(),
    }
    for name, answer in answers.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": ours["components"]}
        jsonschema.validate(answer, schema)
        known = ours["components"]["schemas"][name]["properties"]
        assert set(answer) <= set(known), name
    for name in ("AutomationResponse", "AutomationRunResponse", "UploadResponse"):
        assert set(answers[name]) == set(ours["components"]["schemas"][name]["properties"])


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc"])
def test_openapi__only_below_the_prefix_and_not_in_itself(api, ours, path):
    assert api.get(path, root=True, key=False).status_code == 404
    assert api.get(path, key=False).status_code in (200, 307)
    assert not [p for p in ours["paths"] if p.endswith(path)]


def test_docs__is_one_page_that_needs_nothing_else(api, ours):
    reply = api.get("/docs", key=False)
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    for word in ("<script", "src=", "url(", "@import", "<link", "http://", "https://"):
        assert word not in reply.text
    for path, _ in operations(ours):
        assert f"<code>{path}</code>" in reply.text
    for name in ours["components"]["schemas"]:
        assert f'id="{name}"' in reply.text


def test_redoc__leads_to_docs(api):
    reply = api.get("/redoc", key=False)
    assert (reply.status_code, reply.headers["Location"]) == (307, "/api/automation/docs")
