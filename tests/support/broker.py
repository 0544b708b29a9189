"""A real MQTT broker (mosquitto), with its own authority and client certificates where wanted."""

import contextlib
import datetime as dt
import ipaddress
import json
import pathlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
needs_broker = pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is not installed (Debian: mosquitto)"
)


@dataclass
class Authority:
    """Makes certificates below a folder: `ca.pem`, and `<name>.pem` with `<name>.key`."""

    folder: pathlib.Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        found = self._certificate(self._name, self._key, is_ca=True)
        (self.folder / "ca.pem").write_bytes(found.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        found = self._certificate(subject, key, is_ca=False)
        (self.folder / f"{name}.pem").write_bytes(found.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )


@dataclass
class Broker:
    """`port` is open to everybody; `tls_port` demands a certificate of the authority."""

    port: int
    tls_port: int
    authority: Authority
    folder: pathlib.Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        certificates = self.authority.folder
        config = self.folder / "mosquitto.conf"
        config.write_text(
            "per_listener_settings true\npersistence false\nuser root\n"
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
            f"listener {self.tls_port} 127.0.0.1\n"
            f"cafile {certificates}/ca.pem\ncertfile {certificates}/broker.pem\n"
            f"keyfile {certificates}/broker.key\n"
            "require_certificate true\nuse_identity_as_username true\nallow_anonymous false\n"
        )
        assert MOSQUITTO is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(
                (MOSQUITTO, "-c", str(config)), stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 10
        while True:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def listen(self, topic: str = "#") -> "Listener":
        return Listener(self.port, topic)


@dataclass
class Listener:
    """Keeps every message of a topic filter; also publishes."""

    port: int
    topic: str
    messages: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_connect = lambda client, *_: client.subscribe(self.topic, 1)
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        assert self._subscribed.wait(60)

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        with self._changed:
            self.messages.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()

    def wait(self, claim: Any, timeout_s: float = 15.0) -> list[tuple[str, Any]]:
        """(topic, JSON) of all messages, once the claim holds for them."""
        with self._changed:
            held = self._changed.wait_for(lambda: claim(self._read()), timeout_s)
            found = self._read()
        assert held, f"not within {timeout_s} s: {found}"
        return found

    def _read(self) -> list[tuple[str, Any]]:
        return [(topic, json.loads(payload or b"null")) for topic, payload in self.messages]

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 1).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def a_broker(folder: pathlib.Path) -> Iterator[Broker]:
    authority = Authority(folder / "certificates")
    for name in ("broker", "device"):
        authority.issue(name)
    broker = Broker(free_port(), free_port(), authority, folder)
    # mosquitto gives up root before it reads these.
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for above in folder.parents:
        if above.owner() != "root" or above.stat().st_mode & 0o001:
            continue
        above.chmod(above.stat().st_mode | 0o011)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
