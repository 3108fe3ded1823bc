# SPDX-License-Identifier: MIT
"""Uploads outside of the database (a folder, a bucket) and tarballs in buckets, on a server of its own that
is configured for it.  The stand-in for the bucket verifies every signature (test/fakes/s3.py)."""

import os
import shutil
import subprocess
import sys
import threading

import pytest
import requests

from conftest import HOST, ROOT, Api, Daemon, tarball, until
from host_extension import Extension

sys.path.insert(0, os.path.join(ROOT, "test", "fakes"))
from s3 import S3  # noqa: E402

BUCKETS = ("bucket", "code", "other")


class Host:
    """A daemon or a worker with settings of its own; change() gives it others, and its API anew."""

    def __init__(self, binary, settings):
        self.settings = settings
        self.host = None
        self.binary = binary
        self.secrets = {"aws_secret_access_key", "gcs_secret_access_key"}

    def start(self):
        if HOST == "extension":
            self.host = Extension(self.binary, ROOT)
            self.host.start(until)
            self.change({})
            return self
        env = {("AUTOMATION_" + k.upper()): v for k, v in self.settings.items()}
        self.host = Daemon(env=env).start()
        self.api = self.host.api()
        return self

    def change(self, settings):
        self.settings.update(settings)
        if HOST == "extension":
            statements = ["LOAD 'automation'"]  # else the server does not know the parameters
            for name, value in self.settings.items():
                if name in self.secrets:
                    value = self.host.secret(name, value)
                    name += "_file"
                statements.append(f"ALTER SYSTEM SET automation.{name} = '{value}'")
            self.host.psql(*statements, "SELECT pg_reload_conf()")
            self.api = Api(self.host.url, self.host.key)
            # a worker that begins anew has read them, whenever it would have heard of the reload
            before = self.workers()
            self.host.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                           " WHERE backend_type LIKE 'automation%' AND datname = 'postgres'"
                           " AND backend_type NOT LIKE '%launcher%'")
            until(self.workers, lambda w: w and not w & before, 30, "new workers")
            until(self.answers, bool, 30, "the listener")
            return
        self.host.stop()
        self.host.env.update({("AUTOMATION_" + k.upper()): v for k, v in settings.items()})
        self.host.start()
        self.api = self.host.api()

    def workers(self):
        """Process ids of the database's workers."""
        out = subprocess.run(
            [os.path.join(self.host.environment["PG_BINDIR"], "psql"), "-XqtAc",
             "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'automation%'"
             " AND backend_type NOT LIKE '%launcher%' AND datname = 'postgres'"],
            env={**os.environ, **self.host.environment}, check=True, timeout=60, capture_output=True, text=True)
        return set(out.stdout.split())

    def answers(self):
        try:
            return self.api.get("/ready", key=False).status_code == 200
        except requests.RequestException:
            return False

    def end(self):
        if self.host is not None:
            self.host.end()


@pytest.fixture(scope="module")
def s3():
    with S3(buckets=BUCKETS) as fake:
        yield fake


@pytest.fixture(scope="module")
def gcs():
    with S3(key_id="GOOG1TEST", secret="gcs-secret", region="auto", buckets=BUCKETS) as fake:
        yield fake


@pytest.fixture(scope="module")
def host(s3, gcs, tmp_path_factory):
    if HOST == "url":
        pytest.skip("needs a server of its own")
    folder = tmp_path_factory.mktemp("storage")
    if HOST == "extension" and os.geteuid() == 0:
        for path in [folder, folder.parent, folder.parent.parent]:
            os.chmod(path, 0o755)
        shutil.chown(folder, "postgres")
    host = Host(os.environ.get("AUTOMATION_BINARY", os.path.join(ROOT, "build", "automation")), {
        "file_store": "s3",
        "local_storage_path": str(folder),
        "aws_s3_bucket": "bucket",
        "aws_s3_endpoint": s3.url,
        "aws_s3_secure": "false",
        "aws_access_key_id": s3.key_id,
        "aws_secret_access_key": s3.secret,
        "gcs_bucket_name": "bucket",
        "gcs_access_key_id": gcs.key_id,
        "gcs_secret_access_key": gcs.secret,
        "storage_emulator_host": gcs.url,
        "object_sources": "s3://code/team, gs://code, s3://bucket",
        "allow_private_urls": "true",
    })
    host.folder = folder
    try:
        yield host.start()
    finally:
        host.end()


@pytest.fixture(params=["s3", "local", "gcs"])
def store(request, host, s3, gcs):
    """The server with each store in turn, and how to look at what is in it."""
    if host.settings["file_store"] != request.param:
        host.change({"file_store": request.param})

    def look():
        if request.param == "local":
            root = str(host.folder)
            return {os.path.relpath(os.path.join(d, f), root): open(os.path.join(d, f), "rb").read()
                    for d, _, files in os.walk(root) for f in files}
        return dict({"s3": s3, "gcs": gcs}[request.param].objects["bucket"])

    host.look = look
    host.fake = {"s3": s3, "gcs": gcs}.get(request.param)
    return host


@pytest.fixture
def on_s3(host, s3):
    if host.settings["file_store"] != "s3":
        host.change({"file_store": "s3"})
    s3.trouble.clear()
    return host


def name_of(upload):
    return f"automation/uploads/{upload['org_id']}/{upload['user_id']}/{upload['id']}.tar"


def test_store__an_upload_is_kept_run_downloaded_and_deleted(store):
    data = tarball({"main.sh": "echo from the store"})
    upload = store.api.upload(data)
    assert (upload["status"], upload["size_bytes"]) == ("COMPLETED", len(data))
    assert store.look()[name_of(upload)] == data
    made = store.api.create(tarball_path=upload["tarball_path"])
    got = store.api.get(f"/v1/{made['id']}/tarball")
    assert (got.status_code, got.content) == (200, data)
    assert got.headers["Content-Disposition"].startswith("attachment; filename=")
    run = store.api.dispatch(made["id"])
    assert store.api.ended(run["id"])["status"] == "COMPLETED"
    assert "from the store" in store.api.output(run["id"])
    assert store.api.delete(f"/v1/uploads/{upload['id']}").status_code == 204
    until(store.look, lambda o: name_of(upload) not in o, 20, "the object's end")
    assert store.api.get(f"/v1/{made['id']}/tarball").status_code == 404
    if store.fake is not None:
        assert {how for _, _, _, how in store.fake.requests} == {"header"}
        assert all(status < 300 for _, _, status, _ in store.fake.requests)


def test_store__empty_and_largest_uploads(store):
    for data in (b"", b"x" * 1048576):
        upload = store.api.upload(data)
        assert (upload["status"], upload["size_bytes"]) == ("COMPLETED", len(data))
        assert store.look()[name_of(upload)] == data


def test_store__too_long_is_failed_and_writes_nothing(store):
    before = store.look()
    upload = store.api.post("/v1/uploads", params={"name": "n"}, data=iter([b"x" * 1048576, b"y"]),
                            headers={"Content-Type": "application/gzip"}).json()
    assert upload["status"] == "FAILED"
    assert store.look() == before


@pytest.mark.parametrize("trouble", ["503", "403", "garbage"])
def test_s3__a_failure_is_told_in_the_record(on_s3, s3, trouble):
    # more than one: the client tries again after a connection without an answer, and a run may still be reading
    s3.trouble += [trouble] * 3
    upload = on_s3.api.upload(b"bytes")
    s3.trouble.clear()
    assert (upload["status"], upload["tarball_path"], upload["size_bytes"]) == ("FAILED", None, None)
    assert "could not be stored" in upload["error_message"]
    assert on_s3.api.get(f"/v1/uploads/{upload['id']}").json()["status"] == "FAILED"
    assert s3.secret not in upload["error_message"]


def test_s3__a_missing_object_is_404_and_fails_the_run(on_s3, s3):
    made = on_s3.api.create("echo never")
    upload_id = made["tarball_path"].rsplit("/", 1)[1]
    for name in [n for n in s3.objects["bucket"] if upload_id in n]:
        del s3.objects["bucket"][name]
    assert on_s3.api.get(f"/v1/{made['id']}/tarball").status_code == 404
    run = on_s3.api.ended(on_s3.api.dispatch(made["id"])["id"])
    assert run["status"] == "FAILED"
    assert "gone" in run["error_detail"]


def test_s3__an_object_that_was_cut_is_not_run(on_s3, s3):
    made = on_s3.api.create("echo never")
    s3.trouble.append("short")
    assert on_s3.api.get(f"/v1/{made['id']}/tarball").status_code == 500
    upload_id = made["tarball_path"].rsplit("/", 1)[1]
    for name in [n for n in s3.objects["bucket"] if upload_id in n]:
        s3.objects["bucket"][name] = s3.objects["bucket"][name][:-1]
    run = on_s3.api.ended(on_s3.api.dispatch(made["id"])["id"])
    assert run["status"] == "FAILED"
    assert on_s3.api.get(f"/v1/{made['id']}").json()["enabled"] is True


def test_s3__a_store_that_is_away_for_a_moment_costs_no_run(on_s3, s3):
    made = on_s3.api.create("echo after all")
    s3.trouble += ["503", "500", "503"]
    run = on_s3.api.ended(on_s3.api.dispatch(made["id"])["id"])
    assert run["status"] == "COMPLETED", run


def test_s3__many_runs_read_an_upload_once(on_s3, s3):
    made = on_s3.api.create("true")
    upload_id = made["tarball_path"].rsplit("/", 1)[1]
    runs = [on_s3.api.dispatch(made["id"])["id"] for _ in range(12)]
    for run in runs:
        assert on_s3.api.ended(run, timeout=60)["status"] == "COMPLETED"
    # once in each dispatcher
    settings = dict(setting.split("=") for setting in os.environ.get("AUT_API_SETTINGS", "").split())
    reads = len([r for r in s3.requests if r[0] == "GET" and upload_id in r[1]])
    assert 1 <= reads <= int(settings.get("workers", 1))


def test_s3__an_upload_waits_for_its_object_and_others_do_not(on_s3, s3):
    s3.gate.clear()
    s3.held.clear()
    s3.trouble.append("hold")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(on_s3.api.upload(b"slow")))
    thread.start()
    try:
        assert s3.held.wait(20)
        other = Api(on_s3.api.url, on_s3.api.key)
        waiting = other.get("/v1/uploads", params={"status": "UPLOADING"}).json()["uploads"]
        assert len(waiting) == 1 and waiting[0]["tarball_path"] is None
        reply = other.post("/v1", json={"name": "n", "entrypoint": "x", "trigger": {"type": "cron", "schedule":
                           "0 0 29 2 *"}, "tarball_path": "oh-internal://uploads/" + waiting[0]["id"]})
        assert reply.status_code == 400
    finally:
        s3.release()
        thread.join()
    assert answers[0]["status"] == "COMPLETED"


def test_store__what_is_in_the_database_stays_usable(host, s3):
    host.change({"file_store": "database"})
    inside = host.api.create("echo inside")
    host.change({"file_store": "s3"})
    run = host.api.dispatch(inside["id"])
    assert host.api.ended(run["id"])["status"] == "COMPLETED"
    outside = host.api.create("echo outside")
    host.change({"file_store": "database"})
    run = host.api.dispatch(outside["id"])
    assert host.api.ended(run["id"])["status"] == "COMPLETED"


# ---- tarballs in buckets ---------------------------------------------------------------------------


@pytest.fixture(params=["agent", "server"])
def download(request, host):
    if host.settings.get("object_download") != request.param:
        host.change({"object_download": request.param})
    return host


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_source__a_tarball_in_a_bucket_runs(download, s3, gcs, scheme):
    fake = s3 if scheme == "s3" else gcs
    name = "team/x y+z.tgz"
    fake.objects["code"][name] = tarball({"main.sh": "echo from a bucket"})
    made = download.api.create(tarball_path=f"{scheme}://code/{name}")
    run = download.api.dispatch(made["id"])
    ended = download.api.ended(run["id"])
    assert ended["status"] == "COMPLETED", ended
    assert "from a bucket" in download.api.output(run["id"])
    want = "query" if download.settings["object_download"] == "agent" else "header"
    assert fake.requests[-1] == ("GET", f"/code/{name}", 200, want)
    assert download.api.get(f"/v1/{made['id']}/tarball").status_code == 422


@pytest.mark.parametrize("address, word", [
    ("s3://other/x.tgz", "OBJECT_SOURCES"),
    ("s3://code/teams/x.tgz", "OBJECT_SOURCES"),
    ("s3://code/team/../secret", ".."),
    ("s3://bucket/automation/uploads/a/b/c.tar", "oh-internal"),
])
def test_source__what_is_not_listed_is_not_read(download, s3, address, word):
    before = len(s3.requests)
    made = download.api.create(tarball_path=address)
    ended = download.api.ended(download.api.dispatch(made["id"])["id"])
    assert ended["status"] == "FAILED"
    assert word in ended["error_detail"]
    assert len(s3.requests) == before


def test_source__a_missing_object_fails_the_run(download):
    made = download.api.create(tarball_path="s3://code/team/nothing.tgz")
    ended = download.api.ended(download.api.dispatch(made["id"])["id"])
    assert ended["status"] == "FAILED"
