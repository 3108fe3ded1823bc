# SPDX-License-Identifier: MIT
"""Host and Origin checks, and CORS (section 3)."""

import http.client
from urllib.parse import urlsplit

import pytest

PAGE = "https://page.example"
CLOUD = "https://app.all-hands.dev"


def raw(api, method="GET", path="/health", headers=(), host=None):
    """A request whose Host is exactly what is given; None sends our own, False none."""
    where = urlsplit(api.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    if host is not False:
        connection.putheader("Host", host if host is not None else where.netloc)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    reply.text = reply.read().decode()
    connection.close()
    return reply


def port(api):
    return urlsplit(api.url).port


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "127.0.0.2", "[::1]"])
def test_host__loopback_names_with_our_port_are_ours(api, name):
    assert raw(api, host=f"{name}:{port(api)}").status == 200


@pytest.mark.parametrize("host", ["evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost",
                                  "localhost:1", "localhost:{port}x", "", "[::1", "192.0.2.1:{port}",
                                  "localhost.:{port}"])
def test_host__others_are_refused_even_with_a_key(api, host):
    reply = raw(api, path="/api/automation/v1", host=host.format(port=port(api)),
                headers=[("Authorization", f"Bearer {api.key}")])
    assert reply.status == 400
    assert "CORS" not in reply.text


def test_host__missing_is_refused(api):
    assert raw(api, host=False).status == 400


def test_origin__foreign_page_without_a_token_is_refused(api):
    for origin in (PAGE, "null", "http://localhost:1", "http://127.0.0.1"):
        assert raw(api, headers=[("Origin", origin)]).status == 403, origin


@pytest.mark.parametrize("site, mode, dest, status", [
    ("cross-site", "no-cors", "image", 403), ("cross-site", "no-cors", "script", 403),
    ("same-site", "no-cors", "empty", 403), ("cross-site", "navigate", "iframe", 403),
    ("cross-site", "navigate", "document", 200), ("same-origin", "cors", "empty", 200),
    ("none", "navigate", "document", 200)])
def test_fetch__parts_of_foreign_pages_are_refused_without_a_token(api, site, mode, dest, status):
    headers = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)]
    assert raw(api, headers=headers).status == status
    assert raw(api, headers=headers + [("Authorization", f"Bearer {api.key}")]).status == 200


def test_answers__are_not_sniffed(api):
    for path in ("/health", "/nowhere", "/api/automation/v1"):
        assert raw(api, path=path).headers["X-Content-Type-Options"] == "nosniff"


def test_origin__our_own_and_the_configured_one_pass(api):
    assert raw(api, headers=[("Origin", f"http://localhost:{port(api)}")]).status == 200
    reply = raw(api, headers=[("Origin", CLOUD)])
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == CLOUD
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in reply.headers["Vary"]


@pytest.mark.parametrize("header", ["Authorization", "X-Session-API-Key"])
def test_cors__request_with_a_token_allows_every_page_without_credentials(api, header):
    value = ("Bearer " if header == "Authorization" else "") + api.key
    reply = raw(api, path="/api/automation/v1", headers=[("Origin", PAGE), (header, value)])
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers["Access-Control-Allow-Credentials"] is None


def test_cors__errors_carry_the_headers_too(api):
    reply = raw(api, path="/api/automation/v1",
                headers=[("Origin", PAGE), ("Authorization", "bearer wrong")])
    assert reply.status == 401
    assert reply.headers["Access-Control-Allow-Origin"] == "*"


def preflight(api, origin, asked=None, method="POST"):
    headers = [("Origin", origin), ("Access-Control-Request-Method", method)]
    if asked:
        headers.append(("Access-Control-Request-Headers", asked))
    return raw(api, "OPTIONS", "/api/automation/v1", headers)


@pytest.mark.parametrize("asked", ["authorization", "content-type, Authorization", "x-session-api-key"])
def test_cors__preflight_for_a_token_header_allows_every_page(api, asked):
    reply = preflight(api, PAGE, asked)
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers["Access-Control-Allow-Credentials"] is None
    assert reply.headers["Access-Control-Allow-Headers"] == asked
    assert reply.headers["Access-Control-Max-Age"] == "600"
    methods = set(reply.headers["Access-Control-Allow-Methods"].replace(" ", "").split(","))
    assert methods == {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY"}


@pytest.mark.parametrize("asked", [None, "content-type", "x-authorization", "authorization-x"])
def test_cors__other_preflight_of_a_foreign_page_is_refused(api, asked):
    reply = preflight(api, PAGE, asked)
    assert reply.status == 400
    assert reply.headers["Access-Control-Allow-Origin"] is None
    assert reply.headers["Content-Type"].startswith("text/plain")


def test_cors__preflight_of_the_configured_page_allows_credentials(api):
    reply = preflight(api, CLOUD, "content-type")
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == CLOUD
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"


def test_cors__preflight_for_an_unknown_method_is_refused(api):
    assert preflight(api, CLOUD, None, "BREW").status == 400


def test_guard__base_url_and_configured_origins_count(daemons):
    daemon = daemons(args=["--no-agent"],
                     env={"AUTOMATION_BASE_URL": "https://public.example/team/",
                          "AUTOMATION_CORS_ORIGINS": "https://a.example, https://b.example/"}).start()
    api = daemon.api()
    for host in ("public.example", "PUBLIC.example:443", f"localhost:{daemon.port}"):
        assert raw(api, path="/team/api/automation/health", host=host).status == 200
    assert raw(api, path="/api/automation/health").status == 404
    assert raw(api, path="/health").status == 200
    for origin in ("https://a.example", "https://b.example", "https://public.example"):
        assert raw(api, headers=[("Origin", origin)]).status == 200, origin
    assert raw(api, headers=[("Origin", CLOUD)]).status == 403
    assert daemon.state()["url"] == f"http://127.0.0.1:{daemon.port}/team/api/automation"
