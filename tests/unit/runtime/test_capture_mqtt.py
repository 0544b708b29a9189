import contextlib
import datetime as dt
import threading

import paho.mqtt.client as paho
import pytest
from support.mosquitto import a_broker
from support.sources import listening, quick_backoff

from edgeform_runtime.errors import PipelineInvalid, SecretMissing
from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.pipeline.capture import Mqtt
from edgeform_runtime.secrets import Secrets
from edgeform_runtime.stages.capture.mqtt import MqttSource, tls_of
from edgeform_runtime.stages.content import series_of


def mqtt(port, **changes):
    fields = {
        "topic": "line/3/camera",
        "qos": 1,
        "payload": "picture",
        "channels": 0,
        "window": 1,
        "hop": 0,
        "client_id": "",
    }
    proof = {"tls": False, "ca": None, "certificate": None, "key": None}
    proof |= {"username": None, "password": None}
    proof |= {name: changes.pop(name) for name in tuple(changes) if name in proof}
    return Mqtt(broker=Broker(host="127.0.0.1", port=port, **proof), **(fields | changes))


def source(stage, stop, secrets=None):
    return MqttSource(
        stage,
        stop,
        secrets=secrets or Secrets((), "/nowhere"),
        identity="edgeform-cam-01-gate",
        backoff=quick_backoff(),
    )


@contextlib.contextmanager
def publisher(port):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()

    def publish(content, qos=1, topic="line/3/camera"):
        client.publish(topic, content, qos).wait_for_publish(10)

    try:
        yield publish
    finally:
        client.disconnect()
        client.loop_stop()


def test_each_message_is_a_frame_and_other_topics_are_not(tmp_path):
    stop = threading.Event()
    with a_broker(tmp_path) as broker, listening(source(mqtt(broker.port), stop), stop) as at_work:
        at_work.until(lambda: at_work.heard.findings, "the broker")
        with publisher(broker.port) as publish:
            publish(b"elsewhere", topic="line/4/camera")
            for n in range(5):
                publish(b"picture %d" % n)
            publish(b"")
        frames = at_work.wait_for(5)
        assert [frame.content for frame in frames] == [b"picture %d" % n for n in range(5)]
        at_work.until(lambda: at_work.heard.failures == ["empty"], "the empty message")


def test_rows_of_numbers_become_windows_and_a_broken_row_is_counted(tmp_path):
    stop = threading.Event()
    with a_broker(tmp_path) as broker:
        stage = mqtt(broker.port, payload="series", window=2)
        with listening(source(stage, stop), stop) as at_work:
            at_work.until(lambda: at_work.heard.findings, "the broker")
            with publisher(broker.port) as publish:
                for row in (b"1,2", b"oops", b"[3, 4]"):
                    publish(row)
            frames = at_work.wait_for(1)
            assert series_of(frames[0].content).tolist() == [[1, 2], [3, 4]]
            assert at_work.heard.failures == ["not_numbers"]


def test_what_was_published_while_we_were_away_comes_later(tmp_path):
    with a_broker(tmp_path) as broker:
        stop = threading.Event()
        with listening(source(mqtt(broker.port), stop), stop) as at_work:
            at_work.until(lambda: at_work.heard.findings, "the broker")
        with publisher(broker.port) as publish:
            publish(b"meanwhile")
        stop = threading.Event()
        with listening(source(mqtt(broker.port), stop), stop) as at_work:
            assert at_work.wait_for(1)[0].content == b"meanwhile"


def test_a_message_that_the_pipeline_did_not_finish_comes_again(tmp_path):
    with a_broker(tmp_path) as broker:
        stop = threading.Event()
        with listening(source(mqtt(broker.port), stop), stop, is_finished=False) as at_work:
            at_work.until(lambda: at_work.heard.findings, "the broker")
            with publisher(broker.port) as publish:
                publish(b"precious")
            at_work.wait_for(1)
        stop = threading.Event()
        with listening(source(mqtt(broker.port), stop), stop) as at_work:
            assert at_work.wait_for(1)[0].content == b"precious"


def test_a_broker_that_goes_away_is_found_again(tmp_path):
    stop = threading.Event()
    with a_broker(tmp_path) as broker, listening(source(mqtt(broker.port), stop), stop) as at_work:
        at_work.until(lambda: at_work.heard.findings, "the broker")
        broker.stop()
        at_work.until(lambda: "unreachable" in at_work.heard.reasons(), "a loss")
        broker.start()
        at_work.until(lambda: at_work.heard.findings == 2, "the broker again")
        with publisher(broker.port) as publish:
            publish(b"back")
        assert at_work.wait_for(1)[0].content == b"back"


def test_a_wrong_password_is_a_loss_that_says_so(tmp_path):
    users = tmp_path / "users"
    users.write_text("")
    (tmp_path / "password").write_text("wrong")
    settings = ("allow_anonymous false", f"password_file {users}")
    stop = threading.Event()
    with a_broker(tmp_path, *settings) as broker:
        stage = mqtt(broker.port, username="cam", password="password")
        secrets = Secrets(("password",), str(tmp_path))
        with listening(source(stage, stop, secrets), stop) as at_work:
            at_work.until(lambda: at_work.heard.losses, "a refusal")
            assert "uthor" in at_work.heard.losses[0][1]
            assert "wrong" not in str(at_work.heard.losses)


def certificates(folder):
    """An authority, and certificates of a broker at 127.0.0.1 and of a client, as PEM files."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = dt.datetime.now(dt.timezone.utc)

    def name(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def signed(subject, key, issuer, issuer_key, *extensions):
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(hours=1))
        builder = builder.not_valid_after(now + dt.timedelta(hours=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    def write(stem, certificate, key):
        pem = serialization.Encoding.PEM
        (folder / f"{stem}.pem").write_bytes(certificate.public_bytes(pem))
        form = serialization.PrivateFormat.PKCS8
        plain = serialization.NoEncryption()
        (folder / f"{stem}.key").write_bytes(key.private_bytes(pem, form, plain))

    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = signed("ca", ca_key, "ca", ca_key, x509.BasicConstraints(ca=True, path_length=None))
    write("ca", ca, ca_key)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    for stem, extensions in (("broker", [here]), ("client", [])):
        key = ec.generate_private_key(ec.SECP256R1())
        write(stem, signed(stem, key, "ca", ca_key, *extensions), key)


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pems")
    certificates(folder)
    return folder


NAMES = ("ca.pem", "client.pem", "client.key", "broker.pem")
TLS = {
    "tls": True,
    "ca": "ca.pem",
    "certificate": "client.pem",
    "key": "client.key",
}


def tls_settings(pems):
    return (
        f"cafile {pems}/ca.pem",
        f"certfile {pems}/broker.pem",
        f"keyfile {pems}/broker.key",
        "require_certificate true",
    )


def test_with_tls_and_a_client_certificate(tmp_path, pems):
    stop = threading.Event()
    with a_broker(tmp_path, *tls_settings(pems)) as broker:
        stage = mqtt(broker.port, **TLS)
        with listening(source(stage, stop, Secrets(NAMES, str(pems))), stop) as at_work:
            at_work.until(lambda: at_work.heard.findings, "the broker")


def test_a_broker_of_another_authority_is_not_believed(tmp_path, pems):
    stop = threading.Event()
    with a_broker(tmp_path, *tls_settings(pems)) as broker:
        stage = mqtt(broker.port, tls=True)  # the system's authorities do not know it
        with listening(source(stage, stop), stop) as at_work:
            at_work.until(lambda: "unreachable" in at_work.heard.reasons(), "a refusal")
            assert "certificate verify failed" in at_work.heard.losses[0][1]
            assert at_work.heard.findings == 0


def test_certificates_that_cannot_be_used_are_refused_before_anything_starts(pems):
    stage = mqtt(1, **(TLS | {"certificate": "broker.pem"}))
    with pytest.raises(PipelineInvalid, match="certificates"):
        tls_of(stage.broker, Secrets(NAMES, str(pems)))
    with pytest.raises(SecretMissing, match="does not name a secret"):
        tls_of(mqtt(1, **TLS).broker, Secrets((), str(pems)))
