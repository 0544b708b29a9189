"""Pulling from a server that nobody trusts: old, foreign, endless, slow and broken answers; and from a folder."""

import contextlib
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from support.device import MODEL_FILES
from support.stick import Press

from edgeform.store.remote import DirectoryRemote, push
from edgeform.store.trees import push_files
from edgeform_device import identity, pull
from edgeform_device.errors import Corrupt, DeviceError, Incomplete, NotTrusted, Refused, Usage
from edgeform_device.layout import layout_for
from edgeform_device.offer import Offer
from edgeform_device.session import open_session
from edgeform_device.store import Store
from edgeform_device.web import Server
from edgeform_wire import bundle
from edgeform_wire import digest as digests

WEIGHTS = digests.of_bytes(MODEL_FILES["model.onnx"])
TIMESTAMP = "/trust/metadata/timestamp.json"


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        special = self.server.special.get(self.path)
        self.server.asked.append((self.path, self.headers.get("Range", "")))
        if special is not None:
            special(self)
            return
        found = self.headers.get("Range", "")
        path = self.translate_path(self.path)
        if not found or not os.path.isfile(path) or not self.server.knows_ranges:
            super().do_GET()
            return
        with open(path, "rb") as stream:
            content = stream.read()[int(found[len("bytes=") : -1]) :]
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self):
        if not self.server.takes:
            self.send_error(405)
            return
        path = self.translate_path(self.path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def serve():
    running = []

    def start(folder):
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), lambda *a, **k: Handler(*a, directory=str(folder), **k)
        )
        server.daemon_threads = True
        server.special, server.asked, server.takes, server.knows_ranges = {}, [], False, True
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


def store_at(press, place):
    """What `edgeform store push` leaves in a folder."""
    there = DirectoryRemote(place)
    push(press.artifacts.objects, there, list(press.artifacts.objects))
    repository = press.publisher.trust.repository
    push_files(there, "trust/targets", repository.targets)
    push_files(there, "trust/metadata", repository.metadata)
    return place


@pytest.fixture
def published(press):
    press.a_small_one()
    return store_at(press, press.folder / "public")


def take(device, medium):
    who = identity.load(device.disk, device.layout)
    offer = Offer(medium, device.disk, device.layout, who)
    approved = offer.examine()
    offer.bring(approved)
    assert Store(device.layout, device.disk).is_intact(WEIGHTS)
    return approved


def failing(device, url, error=DeviceError):
    before = sorted(p for p in (device.prefix / "state").rglob("*"))
    began = time.monotonic()
    with pytest.raises(error) as caught:
        take(device, Server(url, silence_s=0.5))
    assert time.monotonic() - began < 10
    assert sorted(p for p in (device.prefix / "state").rglob("*")) == before
    assert caught.value.hint
    return f"{caught.value.summary} {caught.value.detail}"


def test_a_pushed_store_is_pulled_over_http_and_from_a_folder(another, published, serve):
    assert take(another(), Server(serve(published).url)).deployment.number == 1
    assert take(another(), pull._medium(str(published))).deployment.number == 1


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_an_interrupted_blob_goes_on_where_it_stopped(device, published, serve, knows_ranges):
    server = serve(published)
    server.knows_ranges = knows_ranges
    path = "/" + bundle.blob_name(WEIGHTS)
    content = (published / bundle.blob_name(WEIGHTS)).read_bytes()

    def broken(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:9000])
        handler.close_connection = True

    server.special[path] = broken
    assert "ended" in failing(device, server.url, Incomplete)
    assert 0 < Store(device.layout, device.disk).have_bytes(WEIGHTS) <= 9000
    del server.special[path]
    have = Store(device.layout, device.disk).have_bytes(WEIGHTS)
    take(device, Server(server.url))
    assert (path, f"bytes={have}-") in server.asked


def test_an_old_server_is_refused(device, press, published, serve, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(published, old)
    press.a_small_one("2.0")
    take(device, Server(serve(store_at(press, published)).url))
    assert "already has newer metadata" in failing(device, serve(old).url, NotTrusted)


def test_a_foreign_server_is_refused(device, tmp_path, serve):
    from support.device import a_publisher

    (tmp_path / "other").mkdir()
    foreign = Press(tmp_path / "other", a_publisher(tmp_path / "other/trust"))
    foreign.a_small_one()
    failing(device, serve(store_at(foreign, tmp_path / "foreign")).url, NotTrusted)


def test_another_blob_under_the_right_name_is_refused(device, published, serve):
    server = serve(published)
    (published / bundle.blob_name(WEIGHTS)).unlink()
    (published / bundle.blob_name(WEIGHTS)).write_bytes(b"evil!!!" * 4000)
    assert "damaged" in failing(device, server.url, Corrupt)
    assert Store(device.layout, device.disk).have_bytes(WEIGHTS) == 0


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"x" * 65536)
    handler.close_connection = True


@pytest.mark.parametrize("path", [TIMESTAMP, "/" + bundle.blob_name(WEIGHTS)])
def test_an_endless_file_is_read_no_further_than_allowed(device, published, serve, path):
    server = serve(published)
    server.special[path] = endless
    failing(device, server.url, Corrupt)
    used = sum(p.stat().st_size for p in device.prefix.rglob("*") if p.is_file())
    assert used < 8_000_000


def dripping_body(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    drip(handler.wfile)
    handler.close_connection = True


def dripping_head(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip(handler.wfile)
    handler.close_connection = True


def drip(stream):
    with contextlib.suppress(OSError):
        for _ in range(100):
            stream.write(b"x")
            stream.flush()
            time.sleep(0.1)


def silent(handler):
    time.sleep(2)
    handler.close_connection = True


def dripping_chunks(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"5;")
    drip(handler.wfile)
    handler.close_connection = True


@pytest.mark.parametrize("slow", [dripping_body, dripping_head, dripping_chunks, silent])
def test_a_slow_server_is_given_up(device, published, serve, slow):
    server = serve(published)
    server.special[TIMESTAMP] = slow
    said = failing(device, server.url, Incomplete)
    assert "slow" in said or "says" in said, said


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_leads_nowhere_but_to_http(device, published, serve, target):
    server = serve(published)

    def elsewhere(handler):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.special[TIMESTAMP] = elsewhere
    failing(device, server.url)


def test_a_redirect_loop_ends(device, published, serve):
    server = serve(published)

    def again(handler):
        handler.send_response(302)
        handler.send_header("Location", TIMESTAMP)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.special[TIMESTAMP] = again
    assert "it answers 302" in failing(device, server.url, Incomplete)
    assert len(server.asked) < 30


@pytest.mark.parametrize("status", [401, 407, 429, 500, 503, 302])
def test_a_failing_server_is_named(device, published, serve, status):
    server = serve(published)

    def fails(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.special[TIMESTAMP] = fails
    assert server.url in failing(device, server.url)


def test_nobody_there_is_incomplete_and_says_what_to_do(device):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "refused" in failing(device, f"http://127.0.0.1:{port}", Incomplete)


@pytest.fixture
def authority(tmp_path):
    """A site's own authority, as openssl makes one; authority(HOST, ...) gives a server certificate with its key."""
    ca = tmp_path / "ca"
    ca.mkdir()
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", "/CN=A site's own authority", "-days", "30"),
        *("-keyout", ca / "key.pem", "-out", ca / "ca.pem"),
    )

    def issue(name, *, days=30):
        file, number = ca / f"{name}-{days}.pem", len(list(ca.iterdir()))
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN=server {number}", "-keyout", ca / "s.key", "-out", ca / "s.csr"),
        )
        (ca / "ext").write_text(f"subjectAltName={name}\n")
        openssl(
            *("x509", "-req", "-in", ca / "s.csr", "-CA", ca / "ca.pem", "-CAkey", ca / "key.pem"),
            *("-CAcreateserial", "-days", str(days), "-extfile", ca / "ext", "-out", ca / "s.crt"),
        )
        file.write_bytes((ca / "s.crt").read_bytes() + (ca / "s.key").read_bytes())
        return file

    issue.file = ca / "ca.pem"
    return issue


def openssl(*words):
    subprocess.run(("openssl", *words), check=True, capture_output=True)


def secured(server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = f"https://127.0.0.1:{server.server_port}"
    return server


def test_a_sites_own_authority_is_believed_where_it_is_named_and_only_there(
    device, published, serve, authority, monkeypatch
):
    url = secured(serve(published), authority("IP:127.0.0.1")).url
    assert "certificate verify failed" in failing(device, url, Incomplete)
    monkeypatch.setenv("EDGEFORM_PULL_CA", str(authority.file))
    assert take(device, Server(url)).deployment.number == 1


def test_an_expired_certificate_and_one_for_another_host_are_refused(
    device, published, serve, authority, monkeypatch
):
    monkeypatch.setenv("EDGEFORM_PULL_CA", str(authority.file))
    other = secured(serve(published), authority("DNS:elsewhere.example")).url
    assert "certificate" in failing(device, other, Incomplete)
    expired = secured(serve(published), authority("IP:127.0.0.1", days=-1)).url
    assert "expired" in failing(device, expired, Incomplete)


@pytest.mark.parametrize("content", [b"", b"no certificate"])
def test_an_authority_that_is_none_is_said(tmp_path, monkeypatch, content):
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    monkeypatch.setenv("EDGEFORM_PULL_CA", str(file))
    with pytest.raises(Refused, match="authority's certificate cannot be used"):
        Server("https://updates.example/")


def test_https_is_never_left_for_http(device, published, serve, authority, monkeypatch):
    monkeypatch.setenv("EDGEFORM_PULL_CA", str(authority.file))
    plain, server = serve(published), secured(serve(published), authority("IP:127.0.0.1"))

    def elsewhere(handler):
        handler.send_response(302)
        handler.send_header("Location", plain.url + TIMESTAMP)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.special[TIMESTAMP] = elsewhere
    assert "it leads from https to http" in failing(device, server.url, Incomplete)
    assert plain.asked == []


def test_a_missing_file_is_named(device, published, serve):
    (published / "trust/metadata/timestamp.json").unlink()
    assert "timestamp.json" in failing(device, serve(published).url)


@pytest.mark.parametrize(
    "url", ["file:///etc/shadow", "ftp://x/y", "https://me:secret@x/", "https://", "http:x"]
)
def test_urls_that_are_none_of_ours_are_refused(url):
    with pytest.raises(Usage):
        Server(url)


@pytest.mark.parametrize("takes", [True, False])
def test_receipts_are_put_back_where_the_server_allows_it(device, published, serve, takes):
    server = serve(published)
    server.takes = takes
    said = pull._give_back(open_session(str(device.prefix), "/", None), Server(server.url))
    if takes:
        assert said == "written"
        assert (published / "return/device-cam-1.state.json").exists()
    else:
        assert said.startswith("not taken by the server")


def test_a_timer_is_only_written_where_systemd_runs(device):
    session = open_session(str(device.prefix), "/", None)
    with pytest.raises(Refused, match="no systemd"):
        pull.schedule(session, "https://updates.example/site", 900, 300)


@pytest.mark.parametrize(
    ("where", "every_s"), [("https://x/%n", 900), ("https://x/a b", 900), ("https://x/", 5)]
)
def test_a_timer_that_systemd_would_misread_is_refused(device, where, every_s):
    session = open_session(str(device.prefix), "/", None)
    with pytest.raises(Usage):
        pull.schedule(session, where, every_s, 0)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_understands_the_units(tmp_path):
    layout = layout_for(str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/edgeform-device").write_text("#!/bin/sh\n")
    (tmp_path / "bin/edgeform-device").chmod(0o755)
    files = []
    given = {"EDGEFORM_PULL_CA": "/etc/edgeform/ca.pem"}
    for name, text in pull.units(layout, "https://updates.example/site", 900, 300, given).items():
        files.append(tmp_path / name)
        files[-1].write_text(text)
    done = subprocess.run(
        ("systemd-analyze", "verify", "--man=no", *files),
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(tmp_path) not in done.stderr, done.stderr
    assert "Environment=EDGEFORM_PULL_CA=/etc/edgeform/ca.pem\n" in files[0].read_text()


def test_an_unenrolled_machine_pulls_nothing(tmp_path):
    with pytest.raises(Refused, match="not enrolled"):
        pull.pull(open_session(str(tmp_path), "/", None), ["https://updates.example/"])


def test_an_obstacle_before_anything_was_read_is_said_as_it_is(device, monkeypatch):
    """Whatever goes wrong first: the person sees that, and no bug of ours."""

    def refused(_session):
        raise Refused("The disk is full.")

    session = open_session(str(device.prefix), "/", None)
    monkeypatch.setattr(type(session.disk), "fill_reserve", refused)
    with pytest.raises(Refused, match="The disk is full"):
        pull.fetch(session, str(device.prefix), gives_back=True)
