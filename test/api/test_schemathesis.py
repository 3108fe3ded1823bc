# SPDX-License-Identifier: MIT
"""schemathesis over every described route of a live server: no 5xx, and every answer as described.

The examples are the same every time, so that a failure can be seen again; AUT_SCHEMATHESIS_EXAMPLES
draws more of them per route and phase.  Besides valid requests it sends broken ones: those may be refused
in any described way, never with a fault of ours.
"""

import itertools
import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (content_type_conformance, response_headers_conformance,
                                               response_schema_conformance, status_code_conformance)
from schemathesis.checks import not_a_server_error

from test_events import Source

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance,
          response_headers_conformance, response_schema_conformance]
EXAMPLES = int(os.environ.get("AUT_SCHEMATHESIS_EXAMPLES", "15"))


@pytest.fixture(scope="module")
def described(api):
    """The server's own description, with ids of things that exist for half of what is asked."""
    automation = api.create("echo x")
    run = api.dispatch(automation["id"])
    api.ended(run["id"])
    upload = api.upload(b"x")
    source = Source(api)
    source.automation()
    assert source.send({"type": "t"}).status_code == 200
    known = {"automation_id": automation["id"], "run_id": run["id"], "upload_id": upload["id"],
             "webhook_id": source.id, "event_id": source.newest()["id"]}
    schema = schemathesis.openapi.from_dict(api.get("/openapi.json", key=False).json())
    schema.config.base_url = api.url
    # its systematic cases take minutes: AUT_SCHEMATHESIS_COVERAGE=1 runs them, too
    schema.config.phases.coverage.enabled = bool(os.environ.get("AUT_SCHEMATHESIS_COVERAGE"))
    return schema, known


turn = itertools.count()


@schemathesis.serializer("application/gzip")
def tarball(ctx, value):
    """Bodies of uploads are bytes of any kind."""
    return value if isinstance(value, bytes) else str(value).encode()


schema = schemathesis.pytest.from_fixture("described_schema")


@pytest.fixture
def described_schema(described):
    return described[0]


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))
def test_schemathesis__answers_are_as_described(case, api, described):
    for name, known in described[1].items():
        # ids drawn name nothing: every second case asks for something there is
        if case.method != "DELETE" and name in (case.path_parameters or {}) and next(turn) % 2 == 0:
            case.path_parameters[name] = known
    if case.path.endswith("/logs") and case.query:
        case.query.pop("follow", None)  # streams have tests of their own
    case.call_and_validate(session=api.session, checks=CHECKS, timeout=30, allow_redirects=False,
                           headers={"Authorization": f"Bearer {api.key}"})
    assert api.get("/health").status_code == 200
