"""A device that nobody reaches fetches its updates itself: real HTTPS with the site's own authority, a systemd timer."""

import contextlib
import functools
import http.server
import json
import shlex
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from support.pages import blocks_of, exchanged
from support.site import PREFIX, SCENES, wait_for

from edgeform.lab.device import Bind, DeviceOptions

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(1500)]

CA, SHARE = "/etc/edgeform-ca.pem", "/srv/updates"
TIMER, SERVICE = "edgeform-pull.timer", "edgeform-pull.service"


class Updates(http.server.SimpleHTTPRequestHandler):
    """Plain files, and PUT below return/: what nginx with dav_methods gives."""

    def log_message(self, *_):
        pass

    def do_PUT(self):
        if not self.path.startswith("/return/"):
            self.send_error(403)
            return
        path = Path(self.translate_path(self.path))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()


def openssl(*words):
    subprocess.run(("openssl", *words), check=True, capture_output=True)


@contextlib.contextmanager
def serving(folder, address, certificate, port=0):
    """An HTTPS server at an address of the lab's network."""
    handler = functools.partial(Updates, directory=str(folder))
    server = http.server.ThreadingHTTPServer((address, port), handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def certificate(tmp_path, site_lab):
    """The server's certificate with its key, of an authority whose file lies beside it as ca.pem."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    ca, key, made = tmp_path / "ca.pem", tmp_path / "ca.key", tmp_path / "server.pem"
    openssl("req", "-x509", *curve, "-subj", "/CN=lab", "-keyout", key, "-out", ca, "-days", "9")
    request, own = tmp_path / "server.csr", tmp_path / "server.key"
    openssl("req", *curve, "-subj", "/CN=updates", "-keyout", own, "-out", request)
    names, signed = tmp_path / "names", tmp_path / "server.crt"
    names.write_text(f"subjectAltName=IP:{site_lab.network.host_address}\n")
    by = ("-CA", ca, "-CAkey", key, "-CAcreateserial", "-extfile", names, "-days", "9")
    openssl("x509", "-req", "-in", request, *by, "-out", signed)
    made.write_bytes(signed.read_bytes() + own.read_bytes())
    return made


@pytest.fixture
def hidden(site_with, tmp_path, certificate):
    """A device that was enrolled once and is never reached again: its sshd is gone."""
    public = tmp_path / "public"
    public.mkdir()
    site = site_with("hidden", DeviceOptions(binds=(Bind(source=str(public), target=SHARE),)))
    enrolled = site.edgeform("enroll", str(site.folder), "hidden")
    assert enrolled.exit_code == 0, enrolled.text
    site.reconnect("hidden", mode="offline")
    site.on("hidden", "mkdir", "-p", SCENES)
    for scene in sorted((site.folder / "scenes").glob("*.png"))[:3]:
        site.on("hidden", "dd", f"of={SCENES}/{scene.name}", stdin=scene.read_bytes())
    site.on("hidden", "sh", "-c", "systemctl stop ssh.socket ssh.service 2>/dev/null; true")
    ca = (certificate.parent / "ca.pem").read_bytes()
    site.on("hidden", "dd", f"of={CA}", stdin=ca)
    return site, public


def published(site, public):
    """What CI does: plan, publish, push."""
    plan = str(site.folder / "plan.json")
    for words in (
        ("plan", str(site.folder), "-l", "hidden", "--out", plan),
        ("publish", plan, "--site", str(site.folder)),
        ("store", "push", str(public), str(site.folder)),
    ):
        done = site.edgeform(*words)
        assert done.exit_code == 0, done.text


def pulled(site, *words, ca=CA):
    tool = ("env", f"EDGEFORM_PULL_CA={ca}", f"{PREFIX}/bin/edgeform-device", "pull", *words)
    return json.loads(site.on("hidden", "sh", "-c", '"$@" || true', "sh", *tool, timeout_s=240))


def runs(site):
    """How often the service has been started."""
    log = site.on("hidden", "journalctl", "--no-pager", "-o", "cat", "-u", SERVICE)
    return log.count("Starting ")


def property_of(site, unit, name):
    return site.on("hidden", "systemctl", "show", "-P", name, unit).strip()


def test_a_timer_pulls_over_https_with_the_sites_own_authority_and_receipts_come_home(
    hidden, certificate, site_lab
):
    site, public = hidden
    published(site, public)
    address = site_lab.network.host_address
    with serving(public, address, certificate) as server:
        port = server.server_port
        url = f"https://{address}:{port}"
        unknown = pulled(site, url, ca="")
        assert "certificate verify failed" in unknown["error"]["summary"], unknown
        first = pulled(site, url)
        assert (first.get("outcome"), first.get("returned")) == ("committed", "written"), first
        site.assert_serving("hidden", generation=1)
        home(site, public)

        site.want("hidden", "better", connect={"mode": "offline"})
        published(site, public)
        scheduled = pulled(site, "--schedule", url, "--every", "60", "--jitter", "5")
        assert scheduled["scheduled"] == url
        assert property_of(site, TIMER, "RandomizedDelayUSec") == "5s"
        wait_for(lambda: site.seen("hidden").committed == 2, "the timer to pull", 200)
        site.assert_serving("hidden", generation=2)
        wait_for(lambda: runs(site) >= 2, "its next turn", 200)
        wait_for(lambda: property_of(site, SERVICE, "ActiveState") == "inactive", "its end", 60)
        assert property_of(site, SERVICE, "Result") == "success"
        home(site, public)
        assert site.plan("-l", "hidden", "--detailed-exitcode").exit_code == 0
    gone = runs(site)
    wait_for(lambda: runs(site) > gone, "a turn without a server", 200)
    wait_for(lambda: property_of(site, SERVICE, "ActiveState") == "inactive", "its end", 120)
    assert property_of(site, SERVICE, "Result") == "success", (
        "not reached is no failure of the unit"
    )
    assert "The server is not usable" in pulled(site, url)["error"]["summary"]

    pulled(site, "--unschedule", "yes")
    assert (
        site.on("hidden", "sh", "-c", f"systemctl list-timers | grep -c {TIMER} || true") == "0\n"
    )
    site.want("hidden", "nan-weights", connect={"mode": "offline"})
    published(site, public)
    bad = pulled(site, SHARE)
    assert bad["error"]["code"] == "rolled_back", bad
    assert pulled(site, SHARE)["error"]["code"] == "held"
    came = home(site, public)
    assert came.out.count("rolled_back\tpull") == 1, came.text
    site.assert_serving("hidden", generation=2)


def home(site, public):
    done = site.edgeform("bundle", "ingest", str(public), "--site", str(site.folder))
    assert done.exit_code == 0, done.text
    return done


def test_the_page_about_pulling_can_be_followed_as_it_is_written(hidden, certificate, site_lab):
    """Only names, places and the server's address are exchanged; its authority is the site's own, as in the last block."""
    site, public = hidden
    at_home, once, by_itself, own_authority = blocks_of("pull.md")
    assert [len(b) for b in (at_home, once, by_itself, own_authority)] == [2, 1, 3, 1]
    site.on("hidden", "mkdir", "-p", "/etc/edgeform")
    site.on("hidden", "cp", CA, "/etc/edgeform/ca.pem")
    address = site_lab.network.host_address
    plan = str(site.folder / "plan.json")
    with serving(public, address, certificate) as server:
        table = {
            "https://updates.example/my-site": f"https://{address}:{server.server_port}",
            "/srv/www/my-site": str(public), "my-site": str(site.folder), "plan.json": plan,
            "/var/lib/edgeform": PREFIX,
        }  # fmt: skip

        def follow_there(lines):
            around = "export EDGEFORM_PULL_CA=/etc/edgeform/ca.pem; "
            return [
                site.on("hidden", "sh", "-c", around + exchanged(line, table), timeout_s=240)
                for line in lines
            ]

        planned = site.plan("-l", "hidden", "--out", plan)
        assert planned.exit_code == 0, planned.text
        for line in at_home:
            done = site.edgeform(*shlex.split(exchanged(line, table))[1:])
            assert done.exit_code == 0, (line, done.text)
        (first,) = map(json.loads, follow_there(once))
        assert (first["outcome"], first["returned"]) == ("committed", "written"), first
        site.assert_serving("hidden", generation=1)
        scheduled, listed, unscheduled = follow_there(by_itself)
        assert json.loads(scheduled)["scheduled"].startswith("https://")
        assert TIMER in listed
        assert json.loads(unscheduled)["ok"] is True
        follow_there(own_authority)
        unit = site.on("hidden", "systemctl", "cat", SERVICE)
        assert "EDGEFORM_PULL_CA=/etc/edgeform/ca.pem" in unit
        follow_there(by_itself[-1:])
    assert "hidden\treceipt 1\tcommitted\tpull" in home(site, public).out
