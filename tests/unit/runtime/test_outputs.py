"""GPIO lines and OPC UA nodes: what they are while a rule holds, after it, and when the process is gone."""

import contextlib
import datetime as dt
import importlib.util
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.broker import free_port
from support.runtime import SCENES, Prefix, a_pipeline_file, running, some_stages

from edgeform_runtime import opcua_client
from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.opcua_client import Node
from edgeform_runtime.pipeline.action import ALWAYS, Delivery, Gpio
from edgeform_runtime.stages.action.gpio import GpioSink

SCENE = (SCENES / "scene-00-digit-8.png").read_bytes()
VENDOR = Path(__file__).parents[2] / "support" / "vendor_gpio"
DELIVERY = Delivery(timeout_s=10.0, retries=1, queue=4)


def until(claim, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def pins(tmp_path, monkeypatch):
    """The folder of the lines of a chip that follows the binding's contract."""
    monkeypatch.setenv("FAKE_GPIO", str(tmp_path))
    paths = [str(VENDOR), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return tmp_path


def level(pins, line=17):
    path = pins / str(line)
    return path.read_text() if path.exists() else None


def a_line(**changes):
    fields = {
        "chip": "/dev/gpiochip0",
        "line": 17,
        "value": 1,
        "fail_safe": 0,
        "active_low": False,
        "hold_s": 0.2,
        "delivery": DELIVERY,
        "trigger": ALWAYS,
    }
    return Gpio(**(fields | changes))


def let_go(pins, line=17):
    """End the process that holds the line, as systemd does when the service is stopped."""
    pid = int((pins / "log").read_text().split()[-1])
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    until(lambda: level(pins, line) == "floating")


def test_a_line_has_its_value_while_results_come_and_the_fail_safe_one_after(pins):
    sink = GpioSink(a_line())
    sink.write(None)
    assert level(pins) == "1"
    sink.idle()
    assert level(pins) == "1"
    time.sleep(0.25)
    sink.idle()
    assert level(pins) == "0"
    sink.close()
    let_go(pins)


def test_active_low_and_a_fail_safe_of_one_are_obeyed(pins):
    sink = GpioSink(a_line(value=0, fail_safe=1, active_low=True))
    sink.write(None)
    assert level(pins) == "1"
    sink.close()
    until(lambda: level(pins) == "0")
    let_go(pins)


def test_the_next_pipeline_gets_a_line_that_the_last_one_s_holder_still_holds(pins):
    before = GpioSink(a_line(value=1))
    before.write(None)
    before.close()
    until(lambda: level(pins) == "0")
    after = GpioSink(a_line(value=1))
    after.write(None)
    assert level(pins) == "1"
    holders = {line.split()[-1] for line in (pins / "log").read_text().splitlines()}
    assert len(holders) == 2
    after.close()
    until(lambda: level(pins) == "0")
    let_go(pins)


def test_a_chip_that_is_not_there_says_so_and_is_asked_again(pins):
    sink = GpioSink(a_line(chip="/dev/gpiochip9"))
    for _ in range(2):
        with pytest.raises(OSError, match="/dev/gpiochip9 line 17: No such file or directory"):
            sink.write(None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_line_is_held_at_its_fail_safe_level_when_the_process_is_gone(pins, number):
    prefix = Prefix(pins / "p")
    prefix.put_model()
    output = {"kind": "gpio", "chip": "/dev/gpiochip0", "line": 4, "hold_s": 600.0}
    path = prefix.put_pipeline(a_pipeline_file(stages=some_stages(action=[output])))
    with running(prefix, path) as daemon:
        daemon.http().post("/v1/frames", SCENE)
        until(lambda: level(pins, 4) == "1")
        daemon.process.send_signal(number)
        daemon.process.wait(30)
    until(lambda: level(pins, 4) == "0")
    log = (pins / "log").read_text()
    time.sleep(0.3)
    assert level(pins, 4) == "0", "somebody still holds it"
    assert len({line.split()[-1] for line in log.splitlines()}) == 1, "and held it all the time"
    let_go(pins, 4)


def test_what_the_line_asks_is_what_the_real_binding_takes():
    """Without a chip nothing can be set, but a wrong name would be found."""
    gpiod = pytest.importorskip("gpiod", reason="gpiod has no wheel for this machine")
    assert {"path", "config", "consumer"} <= set(inspect.signature(gpiod.request_lines).parameters)
    asked = {"direction", "active_low", "output_value"}
    assert asked <= set(inspect.signature(gpiod.LineSettings).parameters)
    assert list(inspect.signature(gpiod.LineRequest.set_value).parameters) == [
        "self",
        "line",
        "value",
    ]
    from gpiod.line import Direction, Value

    settings = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)
    with pytest.raises(OSError, match="No such file"):
        gpiod.request_lines("/dev/gpiochip99", consumer="edgeform", config={3: settings})


def test_a_closure_without_the_binding_is_refused_with_its_name(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PipelineInvalid, match="gpio needs the package gpiod"):
        GpioSink(a_line())


SERVER = """
import asyncio, logging, sys
from pathlib import Path
from asyncua import Server, ua
from asyncua.server.user_managers import UserManager
from asyncua.server.user_managers import User, UserRole
logging.disable(logging.CRITICAL)

class Users(UserManager):
    def get_user(self, iserver, username=None, password=None, certificate=None):
        is_known = (username, password) == ("edge", "s3cret")
        return User(role=UserRole.User) if is_known or not mode == "users" else None

mode, port, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])

async def main():
    server = Server(user_manager=Users())
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/line")
    if mode == "plain":
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    else:
        server.set_security_policy([
            ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt, ua.SecurityPolicyType.Basic256Sha256_Sign])
        await server.set_application_uri("urn:server")
        await server.load_certificate(folder / "server.pem")
        await server.load_private_key(folder / "server-key.pem")
    space = await server.register_namespace("plant")
    line = await server.nodes.objects.add_object(space, "line")
    for name, value, kind in (("stop", False, ua.VariantType.Boolean), ("speed", 7, ua.VariantType.UInt16),
                              ("level", 0.0, ua.VariantType.Float)):
        node = await line.add_variable(ua.NodeId(name, space), name, ua.Variant(value, kind))
        if name != "level":
            await node.set_writable()
    async with server:
        print("ready", space, flush=True)
        stop = server.get_node(ua.NodeId("stop", space))
        speed = server.get_node(ua.NodeId("speed", space))
        last = None
        while True:
            now = (await stop.read_value(), await speed.read_value())
            if now != last:
                print("now", int(now[0]), now[1], flush=True)
                last = now
            await asyncio.sleep(0.02)

asyncio.run(main())
"""


class Plc:
    """A real OPC UA server in a process of its own; `seen` has (stop, speed) as they changed."""

    def __init__(self, mode, folder):
        self.port, self.folder = free_port(), folder
        self.url = f"opc.tcp://127.0.0.1:{self.port}/line"
        self.seen = []
        self.process = subprocess.Popen(
            (sys.executable, "-c", SERVER, mode, str(self.port), str(folder)),
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._ready.wait(60), self.process.poll()

    def _read(self):
        for line in self.process.stdout:
            word, *rest = line.split()
            if word == "ready":
                self.space = int(rest[0])
                self._ready.set()
            else:
                self.seen.append((int(rest[0]), int(rest[1])))

    def node(self, name="stop", **changes):
        fields = {"url": self.url, "node": f"ns={self.space};s={name}", "security": "none"}
        return Node(**(fields | changes))

    def close(self):
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """Certificates of a server and of two clients, with the URIs that OPC UA wants in them."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    folder = tmp_path_factory.mktemp("papers")
    now = dt.datetime.now(dt.timezone.utc)
    for stem in ("server", "client", "impostor"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, stem)])
        names = [x509.UniformResourceIdentifier(f"urn:{stem}"), x509.DNSName("localhost")]
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(hours=1))
        builder = builder.not_valid_after(now + dt.timedelta(days=1))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = builder.sign(key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        (folder / f"{stem}.pem").write_bytes(made.public_bytes(pem))
        plain = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        (folder / f"{stem}-key.pem").write_bytes(key.private_bytes(pem, form, plain))
    return folder


@pytest.fixture(scope="module")
def plain(papers):
    found = Plc("plain", papers)
    yield found
    found.close()


@pytest.fixture(scope="module")
def users(papers):
    found = Plc("users", papers)
    yield found
    found.close()


def test_a_node_takes_a_value_in_its_own_type_and_a_wrong_one_is_said(plain):
    opcua_client.write(plain.node(), 1.0, 10.0)
    opcua_client.write(plain.node("speed"), 900.0, 10.0)
    until(lambda: plain.seen[-1:] == [(1, 900)])
    opcua_client.write(plain.node(), 0.0, 10.0)
    with pytest.raises(OSError, match=r"0\.5 is no whole number, and the node's type is UInt16"):
        opcua_client.write(plain.node("speed"), 0.5, 10.0)
    with pytest.raises(OSError, match="was not written"):
        opcua_client.write(plain.node("level"), 1.0, 10.0)
    with pytest.raises(OSError, match="s=nothing was not written"):
        opcua_client.write(plain.node("nothing"), 1.0, 10.0)


def test_a_server_that_is_not_there_is_an_error_within_its_time():
    node = Node(url=f"opc.tcp://127.0.0.1:{free_port()}/x", node="ns=2;i=1", security="none")
    started = time.monotonic()
    with pytest.raises(OSError, match=r"opc\.tcp://127|refused|did not answer"):
        opcua_client.write(node, 1.0, 5.0)
    assert time.monotonic() - started < 10


def proof(papers, server="server"):
    return {
        "certificate": (papers / "client.pem").read_bytes(),
        "key": (papers / "client-key.pem").read_bytes(),
        "server_certificate": (papers / f"{server}.pem").read_bytes(),
    }


@pytest.mark.parametrize("security", ["sign", "sign_and_encrypt"])
def test_a_session_is_signed_and_encrypted_and_the_user_is_asked_for(users, papers, security):
    node = users.node(security=security, username="edge", password="s3cret", **proof(papers))
    opcua_client.write(node, 1.0, 20.0)
    until(lambda: users.seen[-1][0] == 1)
    opcua_client.write(node, 0.0, 20.0)
    wrong = users.node(security=security, username="edge", password="guess", **proof(papers))
    with pytest.raises(OSError) as caught:
        opcua_client.write(wrong, 1.0, 20.0)
    assert "guess" not in str(caught.value)
    with pytest.raises(OSError):
        opcua_client.write(users.node(username="edge", password="s3cret"), 1.0, 10.0)


def test_another_server_than_the_pinned_one_is_not_written_to(users, papers):
    before = len(users.seen)
    node = users.node(
        security="sign_and_encrypt", username="edge", password="s3cret", **proof(papers, "impostor")
    )
    with pytest.raises(OSError):
        opcua_client.write(node, 1.0, 10.0)
    assert len(users.seen) == before


def test_what_the_guardian_reads_is_what_was_meant(papers):
    from edgeform_wire.fields import Fields

    node = Node(
        url="opc.tcp://h:1/",
        node="i=1",
        security="sign",
        username="u",
        password="p",
        **proof(papers),
    )
    assert opcua_client.node_of(Fields(node.to_json(), "node")) == node


def test_a_node_gets_its_fail_safe_value_when_the_process_is_killed(tmp_path, users, papers):
    prefix = Prefix(tmp_path / "p")
    prefix.put_model()
    secrets = prefix.path / "secrets"
    secrets.mkdir()
    for name in ("client.pem", "client-key.pem", "server.pem"):
        (secrets / name).write_bytes((papers / name).read_bytes())
    (secrets / "word").write_text("s3cret\n")
    output = {
        "kind": "opcua_write",
        "url": users.url,
        "node": f"ns={users.space};s=stop",
        "security": "sign_and_encrypt",
        "certificate": "client.pem",
        "key": "client-key.pem",
        "server_certificate": "server.pem",
        "username": "edge",
        "password": "word",
        "hold_s": 600.0,
        "timeout_s": 20.0,
    }
    names = ("client.pem", "client-key.pem", "server.pem", "word")
    file = a_pipeline_file(stages=some_stages(action=[output]), secrets=names)
    with running(prefix, prefix.put_pipeline(file)) as daemon:
        daemon.http().post("/v1/frames", SCENE)
        until(lambda: users.seen[-1][0] == 1, 60)
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait(30)
    until(lambda: users.seen[-1][0] == 0, 60)
