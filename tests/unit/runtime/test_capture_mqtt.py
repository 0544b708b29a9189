import contextlib
import datetime as dt
import threading
import time

import paho.mqtt.client as paho
import pytest
from support.mosquitto import a_broker
from support.sources import Heard, listening, quick_backoff

from edgeform_runtime.errors import PipelineInvalid, SecretMissing
from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.pipeline.capture import Mqtt
from edgeform_runtime.secrets import Secrets
from edgeform_runtime.stages.capture.mqtt import MqttSource
from edgeform_runtime.stages.content import series_of
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.mqtt.link import Message
from edgeform_runtime.stages.mqtt.links import Links


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
    place = Place(
        "/nowhere",
        "gate",
        device="cam-01",
        secrets=secrets or Secrets((), "/nowhere"),
        links=Links(),
    )
    return MqttSource(stage, stop, place=place, backoff=quick_backoff())


@contextlib.contextmanager
def taking(stage, stop, secrets=None, **how):
    """The source at work; its connection is closed with it, as with a pipeline."""
    found = source(stage, stop, secrets)
    try:
        with listening(found, stop, **how) as at_work:
            yield at_work
    finally:
        found.place.links.close()


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
    with a_broker(tmp_path) as broker, taking(mqtt(broker.port), stop) as at_work:
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
        with taking(stage, stop) as at_work:
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
        with taking(mqtt(broker.port), stop) as at_work:
            at_work.until(lambda: at_work.heard.findings, "the broker")
        with publisher(broker.port) as publish:
            publish(b"meanwhile")
        stop = threading.Event()
        with taking(mqtt(broker.port), stop) as at_work:
            assert at_work.wait_for(1)[0].content == b"meanwhile"


def test_a_message_that_the_pipeline_did_not_finish_comes_again(tmp_path):
    with a_broker(tmp_path) as broker:
        stop = threading.Event()
        with taking(mqtt(broker.port), stop, is_finished=False) as at_work:
            at_work.until(lambda: at_work.heard.findings, "the broker")
            with publisher(broker.port) as publish:
                publish(b"precious")
            at_work.wait_for(1)
        stop = threading.Event()
        with taking(mqtt(broker.port), stop) as at_work:
            assert at_work.wait_for(1)[0].content == b"precious"


def test_a_broker_that_goes_away_is_found_again(tmp_path):
    stop = threading.Event()
    with a_broker(tmp_path) as broker, taking(mqtt(broker.port), stop) as at_work:
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
        with taking(stage, stop, secrets) as at_work:
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
        with taking(stage, stop, Secrets(NAMES, str(pems))) as at_work:
            at_work.until(lambda: at_work.heard.findings, "the broker")


def test_a_broker_of_another_authority_is_not_believed(tmp_path, pems):
    stop = threading.Event()
    with a_broker(tmp_path, *tls_settings(pems)) as broker:
        stage = mqtt(broker.port, tls=True)  # the system's authorities do not know it
        with taking(stage, stop) as at_work:
            at_work.until(lambda: "unreachable" in at_work.heard.reasons(), "a refusal")
            assert "certificate verify failed" in at_work.heard.losses[0][1]
            assert at_work.heard.findings == 0


def test_certificates_that_cannot_be_used_are_refused_before_anything_starts(pems):
    stage = mqtt(1, **(TLS | {"certificate": "broker.pem"}))
    with pytest.raises(PipelineInvalid, match="certificates"):
        source(stage, threading.Event(), Secrets(NAMES, str(pems)))
    with pytest.raises(SecretMissing, match="does not name a secret"):
        source(mqtt(1, **TLS), threading.Event(), Secrets((), str(pems)))


def test_more_than_can_wait_here_stays_at_the_broker_and_comes_again(tmp_path):
    stop = threading.Event()
    found = source(mqtt(0), stop)  # only to see it refuse more than its share
    taken = [
        found._waiting.take(Message("t", b"%d" % n, n, 1, 1)) or len(found._waiting._messages)
        for n in range(70)
    ]
    assert max(taken) == 64
    with a_broker(tmp_path, "max_inflight_messages 0", "max_queued_messages 0") as broker:
        made = source(mqtt(broker.port), stop)
        heard, frames = Heard(), []
        stream = made.frames(heard.notices())

        def flood():
            with publisher(broker.port) as publish:
                for n in range(150):
                    publish(b"%d" % n)

        def take():
            for frame in stream:
                if not frames:
                    flood()  # while the first one is in work
                frames.append(frame.content)
                frame.finish("done")

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        with publisher(broker.port) as publish:
            while not frames and time.monotonic() < deadline:
                publish(b"first")
                time.sleep(0.2)
        while len(set(frames)) < 151 and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        thread.join(10)
        made.place.links.close()
    assert set(frames) == {b"first", *(b"%d" % n for n in range(150))}
    assert "behind" in heard.reasons()


def test_two_stages_share_a_connection_and_its_name_and_cannot_want_two(tmp_path):
    links = Links()
    place = Place("/nowhere", "gate", device="cam-01", links=links)
    where = mqtt(1).broker
    assert place.link(where) is place.link(where)
    assert place.link(where).client_id == "edgeform-cam-01-gate"
    stop = threading.Event()
    MqttSource(mqtt(1, client_id="old-name"), stop, place=place)
    assert place.link(where).client_id == "old-name"
    with pytest.raises(PipelineInvalid, match="known as 'old-name', another as 'thing-7'"):
        place.link(where).identify("thing-7")
