"""`edgeform serve` from the command line: live, read-only, for this machine alone or behind a token."""

import re
import signal
import socket
import sys
import threading
import time

import pytest
from support.serving import ask, serving

from edgeform.rollout.journal import Journal

TOKEN = "canary-0123456789abcdef"


def sections(text: str) -> dict[str, str]:
    found = re.findall(r'<section id="part-(\w+)"[^>]*>(.*?)</section>', text, re.DOTALL)
    return dict(found)


def files_of(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_it_shows_the_sections_of_the_static_page_and_writes_nothing(here, tmp_path):
    before = files_of(here.site)
    with serving(here.site, tmp_path / "run", "--offline") as server:
        answer = server.ask()
        assert answer.status == 200
        assert "no device was asked" in answer.text
        said = here.run("report", "--offline")
        assert sections(answer.text) == sections(said.out)
        assert len(sections(said.out)) == 8
        as_file = server.ask("/report.html")
        assert sections(as_file.text) == sections(said.out)
        assert "<script" not in as_file.text
        assert 'filename="fleet.html"' in as_file.headers["content-disposition"]
    assert files_of(here.site) == before


def test_it_looks_at_the_devices_by_itself(here, tmp_path):
    with serving(here.site, tmp_path / "run", "--every", "5") as server:
        found = server.shows("looked at 2")
        assert ">unreachable<" in found
        assert ">new<" in found
        first = re.search(r"devices looked at (\S+)", found)[1]
        server.until(lambda: f"looked at {first}" not in server.ask().text)
        assert server.end() == (0, pytest.approx(0, abs=15))
        assert "looked at the devices in" in server.err
        assert "Traceback" not in server.err


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_but_reading_is_possible(here, tmp_path, method):
    with serving(here.site, tmp_path / "run", "--offline") as server:
        for path in ("/", "/changes", "/report.html", "/static/live.js"):
            assert server.ask(path, method=method).status == 405, path
        assert server.ask("/", method="HEAD").status == 200


def test_every_answer_forbids_what_the_page_does_not_need(here, tmp_path):
    with serving(here.site, tmp_path / "run", "--offline") as server:
        for path in ("/", "/?still", "/changes", "/report.html", "/static/live.js", "/nosuch"):
            found = server.ask(path).headers
            policy = found["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self';")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert found["x-content-type-options"] == "nosniff"
            assert found["cache-control"] == "no-store"
            assert found["referrer-policy"] == "no-referrer"
            assert "server" not in found
        page = server.ask().text
        assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", page), (
            "nothing from elsewhere"
        )
        assert not re.search(r"<[^>]+\sstyle=|\son\w+=", page), "the policy would refuse it"


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/htmx-LICENSE.txt",
                                  "/site.yaml", "/.edgeform/journal.db", "//etc/passwd"])  # fmt: skip
def test_no_file_is_served_but_the_two_scripts(here, tmp_path, path):
    with serving(here.site, tmp_path / "run", "--offline") as server:
        assert server.ask(path).status == 404
        assert server.ask("/static/live.js").headers["content-type"].startswith("text/javascript")
        assert server.ask("/static/htmx-2.0.11.min.js").status == 200


def test_a_page_elsewhere_whose_name_points_here_reads_nothing(here, tmp_path):
    with serving(
        here.site, tmp_path / "run", "--offline", "--name", "Fleet.Plant.example"
    ) as server:
        for host in ("evil.example", f"evil.example:{server.port}", "", "localhost.evil.example"):
            answer = server.ask(host=host)
            assert answer.status == 421, host
            assert "lab" not in answer.text
        assert server.ask(host="fleet.plant.example").status == 200
        assert server.ask(host="localhost").status == 200


def test_others_need_a_token_and_without_one_it_does_not_start(here, monkeypatch):
    said = here.run("serve", "--address", "0.0.0.0")
    assert said.code == 64
    assert "--token env/EDGEFORM_SERVE_TOKEN" in said.err
    monkeypatch.setenv("T", "short")
    assert here.run("serve", "--token", "env/T").code == 64
    monkeypatch.delenv("T")
    assert here.run("serve", "--token", "env/T").code != 0


def test_the_token_is_entered_once_and_is_in_no_log(here, tmp_path):
    options = ("--offline", "--address", "0.0.0.0", "--token", "env/T")
    with serving(here.site, tmp_path / "run", *options, T=TOKEN) as server:
        shut = server.ask()
        assert shut.status == 401
        assert 'action="/token"' in shut.text
        assert "Devices" not in shut.text
        for path in ("/changes", "/report.html", "/static/live.js", "/nosuch"):
            assert server.ask(path).status == 401, path

        began = time.monotonic()
        wrong = server.ask("/token", method="POST", body="token=wrong-canary",
                           Content_Type="application/x-www-form-urlencoded")  # fmt: skip
        assert wrong.status == 401
        assert "That is not the token." in wrong.text
        assert time.monotonic() - began > 0.9
        assert "set-cookie" not in wrong.headers

        entered = server.ask("/token", method="POST", body=f"token={TOKEN}",
                             Content_Type="application/x-www-form-urlencoded")  # fmt: skip
        assert (entered.status, entered.headers["location"]) == (303, "/")
        cookie, *more = entered.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "SameSite=lax"} <= set(more)
        assert TOKEN not in cookie
        assert server.ask(Cookie=cookie).status == 200
        assert server.ask(Cookie=f"edgeform={TOKEN}").status == 401

        by_link = server.ask(f"/?token={TOKEN}")
        assert (by_link.status, by_link.headers["location"]) == (303, "/")
        assert by_link.headers["set-cookie"].split("; ")[0] == cookie
        assert server.ask("/?token=wrong-canary").status == 401
        assert server.ask(Authorization=f"Bearer {TOKEN}").status == 200
        assert server.ask(Authorization="Bearer wrong-canary").status == 401
        assert server.ask("/token", method="POST", body="x" * 10_000).status == 413
        assert server.ask("/token", method="DELETE").status == 405

        assert server.end()[0] == 0
        said = server.out + server.err
        assert TOKEN not in said
        assert "wrong-canary" not in said
        assert "a wrong token from 127.0.0.1" in said
        assert "crosses the network readable" in said


def test_it_serves_https_with_a_certificate_and_refuses_one_that_is_none(here, tmp_path):
    import http.client
    import ssl
    import subprocess

    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
         "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(pem)),
        check=True, capture_output=True,
    )  # fmt: skip
    options = ("--offline", "--tls-cert", str(pem), "--tls-key", str(key), "--token", "env/T")
    with serving(here.site, tmp_path / "run", *options, T=TOKEN) as server:
        assert server.out.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(pem))
        talk = http.client.HTTPSConnection("localhost", server.port, timeout=20, context=context)
        talk.request("POST", "/token", body=f"token={TOKEN}")
        answer = talk.getresponse()
        assert answer.status == 303
        assert "Secure" in answer.headers["set-cookie"]
        talk.close()
    assert here.run("serve", "--tls-cert", str(pem)).code == 64
    said = here.run("serve", "--port", "0", "--tls-cert", str(pem), "--tls-key", str(pem))
    assert said.code == 64
    assert "cannot be used" in said.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked_and_finishes_what_it_is_sending(here, tmp_path, number):
    with serving(here.site, tmp_path / "run", "--offline") as server:
        slow = socket.create_connection(("127.0.0.1", server.port), 20)
        slow.sendall(
            b"GET /static/htmx-2.0.11.min.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        received = slow.recv(100)
        code, seconds = server.end(number)
        while part := slow.recv(1 << 16):
            received += part
        slow.close()
        assert code == 0
        assert seconds < 15
        assert received.startswith(b"HTTP/1.1 200")
        length = int(re.search(rb"content-length: (\d+)", received)[1])
        assert len(received.partition(b"\r\n\r\n")[2]) == length
        assert server.err.rstrip().endswith("ended")


def test_a_client_that_says_nothing_does_not_keep_it(here, tmp_path):
    with serving(here.site, tmp_path / "run", "--offline") as server:
        mute = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(5)]
        half = socket.create_connection(("127.0.0.1", server.port), 20)
        half.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert server.ask().status == 200
        code, seconds = server.end()
        assert (code, seconds < 20) == (0, True)
        for one in (*mute, half):
            one.close()


def test_a_device_that_never_answers_does_not_keep_it(here, tmp_path):
    """A peer that accepts and says nothing: the look hangs, the page and the end do not."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(8)
    devices = here.site / "devices.yaml"
    text = devices.read_text().replace(
        "{name: away, connect: {mode: offline}}",
        f"{{name: away, connect: {{mode: ssh, host: 127.0.0.1, port: {silent.getsockname()[1]}, user: x}}}}",
    )
    devices.write_text(text)
    silent.settimeout(60)
    with serving(here.site, tmp_path / "run") as server:
        held, _ = silent.accept()
        assert server.ask().status == 200
        assert "no device was asked" in server.ask().text
        code, seconds = server.end()
        assert (code, seconds < 20) == (0, True)
        held.close()
    silent.close()


def begun(here, *, devices=("here-1",)):
    journal = Journal(here.site / ".edgeform/journal.db")
    run_number = journal.begin(plan_digest="sha256:0", who="kim@desk", now="2026-03-01T00:00:00Z", devices=devices)  # fmt: skip
    return journal, run_number


def test_an_apply_under_way_is_followed_while_it_writes(here, tmp_path):
    (here.site / ".edgeform").mkdir(mode=0o700)
    journal, number = begun(here)
    with serving(here.site, tmp_path / "run", "--offline") as server:
        page = server.ask().text
        assert "1 waiting" in page
        seen = re.search(r"seen=([\w.]+)", page)[1]
        assert server.ask(f"/changes?seen={seen}").status == 204
        # The writer is in the middle of a transaction of the database: readers see what was before.
        journal._db.execute("BEGIN EXCLUSIVE")
        journal._db.execute("UPDATE turns SET state = 'touched'")
        assert server.ask().status == 200
        journal._db.execute("COMMIT")
        changed = server.until(
            lambda: a if (a := server.ask(f"/changes?seen={seen}")).status == 200 else None
        )
        assert "1 touched" in changed.text
        assert set(sections(changed.text)) == {"rollout"}, "only what changed is sent"
        assert 'hx-swap-oob="true"' in changed.text
        journal.finish(number, exit_code=0, now="2026-03-01T00:01:00Z")
        server.shows("2026-03-01T00:01:00Z")


def test_a_journal_that_is_locked_is_said_and_the_page_stays_as_it_was(here, tmp_path):
    (here.site / ".edgeform").mkdir(mode=0o700)
    journal, _ = begun(here)
    with serving(here.site, tmp_path / "run", "--offline") as server:
        assert "1 waiting" in server.ask().text
        journal._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        journal._db.execute("UPDATE turns SET state = 'touched'")
        page = server.shows("locked")
        assert "What is shown is older" in page
        assert "1 waiting" in page
        journal._db.close()
        page = server.shows("1 touched")
        assert "What is shown is older" not in page


def test_a_mistake_in_the_site_leaves_the_page_and_is_named(here, tmp_path):
    devices = here.site / "devices.yaml"
    good = devices.read_text()
    with serving(here.site, tmp_path / "run", "--offline") as server:
        devices.write_text(good.replace("kind: DeviceList", "kind: DeviceLost"))
        page = server.shows("What is shown is older")
        assert "Site invalid" in page
        assert "here-1" in page
        devices.write_text(good.replace("name: away", "name: far-away"))
        page = server.shows("far-away")
        assert "What is shown is older" not in page


def test_it_says_how_to_install_what_it_needs(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = here.run("serve")
    assert said.code == 64
    assert "pip install 'edgeform[serve]'" in said.err
    assert "edgeform report" in said.err


def test_a_port_that_is_taken_is_named(here):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = here.run("serve", "--offline", "--port", str(port))
    assert said.code == 64
    assert f"port {port}" in said.err
    assert (
        here.run("serve", "--offline", "--address", "192.0.2.7", "--token", "env/HOME").code == 64
    )


def test_a_site_without_devices_or_a_folder_without_a_site(here, tmp_path):
    assert here.run("serve", str(tmp_path / "nothing/")).code == 64
    (here.site / "devices.yaml").unlink()
    with serving(here.site, tmp_path / "run", "--offline") as server:
        assert "The site has no device yet." in server.ask().text


def test_many_readers_at_once(here, tmp_path):
    with serving(here.site, tmp_path / "run", "--offline") as server:
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.append(ask(server.port).status))
            for _ in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * 40
