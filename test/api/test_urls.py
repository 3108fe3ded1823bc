# SPDX-License-Identifier: MIT
"""URLs that users give: judged by their text when they are stored, and by the addresses of their host
before a run's place is told to download from there."""

import ipaddress
import socket

import pytest

from conftest import NEVER

METADATA = ["https://169.254.169.254/latest/user-data", "https://2852039166/", "https://0xa9.0xfe.0xa9.0xfe/",
            "https://[::ffff:169.254.169.254]/x", "https://[fe80::1%25eth0]/x", "https://user:word@example.com/x",
            "https://example.com\\@10.0.0.1/", "https://exa mple.com/x"]
PRIVATE = ["https://127.0.0.1/x", "https://2130706433/x", "https://0177.1/x", "https://10.1.2.3/x", "https://[::1]/x",
           "https://localhost./x", "https://db.internal/x", "https://[64:ff9b::10.0.0.1]/x"]


def body(url):
    return {"name": "by url", "trigger": NEVER, "entrypoint": "./run", "tarball_path": url}


@pytest.mark.parametrize("url", METADATA)
def test_urls__what_leads_to_metadata_is_refused_everywhere(api, url):
    reply = api.post("/v1", json=body(url))
    assert reply.status_code == 422, reply.text
    assert reply.json()["detail"].startswith("tarball_path: ")
    automation = api.create()
    reply = api.patch(f"/v1/{automation['id']}", json={"tarball_path": url})
    assert reply.status_code == 422, reply.text
    assert api.get(f"/v1/{automation['id']}").json()["tarball_path"] == automation["tarball_path"]


@pytest.mark.parametrize("url", PRIVATE)
def test_urls__private_ones_are_refused_to_several_users(shared, cloud, url):
    cloud.person("Bearer of-urls")
    api = shared("of-urls")
    if url == PRIVATE[0]:
        assert api.post("/v1", json=body("https://example.com/x")).status_code == 201
    code = api.post("/v1", json=body(url)).status_code
    # the shared daemon runs on this machine as its user, who can reach all of this anyway
    assert code == (201 if shared.embedded else 422)


def outcome(daemon, url):
    api = daemon.api()
    made = api.create(tarball_path=url)
    run = api.ended(api.dispatch(made["id"])["id"], timeout=90)
    api.delete(f"/v1/{made['id']}")
    return run


def test_urls__the_operator_decides(daemons):
    api = daemons(args=["--no-agent"], env={"AUTOMATION_ALLOW_PRIVATE_URLS": "false",
                                            "AUTOMATION_ALLOWED_URL_HOSTS": "10.1.0.0/16, files.internal"}).start().api()
    for url in PRIVATE + METADATA:
        code = api.post("/v1", json=body(url)).status_code
        assert code == (201 if url == "https://10.1.2.3/x" else 422), url
    assert api.post("/v1", json=body("https://files.internal/x")).status_code == 201
    assert api.post("/v1", json=body("https://xfiles.internal/x")).status_code == 422
    api = daemons(args=["--no-agent"], env={"AUTOMATION_ALLOW_PRIVATE_URLS": "true"}).start().api()
    for url in PRIVATE:
        assert api.post("/v1", json=body(url)).status_code == 201, url
    for url in METADATA:
        assert api.post("/v1", json=body(url)).status_code == 422, url


def test_urls__names_that_resolve_inside_are_found_before_the_download(daemons):
    name = socket.gethostname()
    try:
        address = ipaddress.ip_address(socket.gethostbyname(name))
    except OSError:
        pytest.skip("this machine's name has no address")
    if not address.is_private or name == "localhost" or name.endswith((".local", ".internal", ".localdomain", ".lan")):
        pytest.skip("this machine's name does not resolve to a private address")
    daemon = daemons(env={"AUTOMATION_ALLOW_PRIVATE_URLS": "false"}).start()
    run = outcome(daemon, f"https://{name}:1/a.tgz")
    assert run["status"] == "FAILED"
    assert "private address" in run["error_detail"]
    # with the operator's word it is tried, and nobody is there
    daemon = daemons(env={"AUTOMATION_ALLOW_PRIVATE_URLS": "false", "AUTOMATION_ALLOWED_URL_HOSTS": name}).start()
    run = outcome(daemon, f"https://{name}:1/a.tgz")
    assert run["status"] == "FAILED"
    assert "private address" not in run["error_detail"]


def test_urls__a_bad_list_stops_the_start(daemons):
    daemon = daemons(env={"AUTOMATION_ALLOWED_URL_HOSTS": "10.0.0.0/40"})
    with pytest.raises(pytest.fail.Exception):
        daemon.start()
    assert "AUTOMATION_ALLOWED_URL_HOSTS" in daemon.log() and "10.0.0.0/40" in daemon.log()
