"""Mail through a real relay (aiosmtpd): encrypted, with a password, refused, slow and gone."""

import contextlib
import email
import ssl
import time

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from support.broker import Authority, free_port
from support.runtime import some_stages

from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.frames import Frame, Inferred
from edgeform_runtime.pipeline.action import Delivery, Email, Trigger
from edgeform_runtime.pipeline.stages import stages_of
from edgeform_runtime.secrets import Secrets
from edgeform_runtime.stages.action.email import EmailSink
from edgeform_runtime.stages.contract import Place, Refused


def a_result():
    frame = Frame(sequence=1, name="f1", content=b"", captured_at=1_760_000_000.0, captured=0)
    result = {
        "kind": "anomaly",
        "score": 2.0,
        "is_anomaly": True,
        "text": "Größe\r\nBcc: x@y.example",
    }
    return Inferred(frame=frame, result=result, model_ref="m@1/f32", generation=3, seconds={})


class Relay:
    """Keeps what it is given; `answer` to DATA, `rcpt` to each address."""

    def __init__(self):
        self.mails, self.answer, self.rcpt = [], "250 taken", "250 ok"
        self.was_encrypted = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server, session, envelope):
        if self.answer.startswith("250"):
            self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
            self.was_encrypted.append(session.ssl is not None)
        return self.answer


class Server(Controller):
    """With STARTTLS that must be used before a password is taken, or without any."""

    def __init__(self, relay, port, context, **how):
        self._context, self._how = context, how
        super().__init__(relay, hostname="127.0.0.1", port=port)

    def factory(self):
        return SMTP(self.handler, tls_context=self._context, **self._how)


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("papers"))
    authority.issue("relay")
    (authority.folder / "word").write_text("s3cret\n")
    (authority.folder / "guess").write_text("opensesame\n")
    return authority.folder


@contextlib.contextmanager
def a_relay(papers, *, is_encrypted=True, **how):
    relay, port, context = Relay(), free_port(), None
    if is_encrypted:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(papers / "relay.pem", papers / "relay.key")
    server = Server(relay, port, context, **how)
    server.start()
    try:
        yield relay, port
    finally:
        server.stop()


def a_stage(port, **changes):
    fields = {
        "host": "localhost",
        "port": port,
        "security": "starttls",
        "ca": "ca.pem",
        "username": None,
        "password": None,
        "sender": "edge@plant.example",
        "to": ("ops@plant.example", "night@plant.example"),
        "subject": None,
        "delivery": Delivery(timeout_s=5.0, retries=0, queue=4),
        "trigger": Trigger(when="is_anomaly", for_s=2.0, cooldown_s=60.0),
    }
    return Email(**(fields | changes))


def a_sink(papers, port, **changes):
    secrets = Secrets(("ca.pem", "word", "guess"), str(papers))
    return EmailSink(a_stage(port, **changes), Place("", "gate", "lab", "cam-01", secrets))


def test_a_mail_is_encrypted_says_why_and_what_and_no_result_can_add_a_header(papers):
    with a_relay(papers, require_starttls=True) as (relay, port):
        a_sink(papers, port).write(a_result())
    ((sender, to, content),) = relay.mails
    assert (sender, to) == ("edge@plant.example", ["ops@plant.example", "night@plant.example"])
    assert relay.was_encrypted == [True]
    message = email.message_from_bytes(content)
    assert message["Subject"] == "edgeform: gate on cam-01"
    assert message["Bcc"] is None
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_payload(decode=True).decode()
    assert text.startswith("is_anomaly, for 2 s")
    assert '"generation": 3' in text
    assert "Größe" in text


def test_the_password_is_taken_from_the_secret_and_a_wrong_one_is_final(papers):
    said = []

    def judge(server, session, envelope, mechanism, data):
        said.append(data.password)
        return AuthResult(success=data.password == b"s3cret", handled=False)

    how = {"authenticator": judge, "auth_required": True, "auth_require_tls": True}
    with a_relay(papers, **how) as (relay, port):
        a_sink(papers, port, username="edge", password="word").write(a_result())
        with pytest.raises(Refused, match="535") as caught:
            a_sink(papers, port, username="edge", password="guess").write(a_result())
    assert said[0] == b"s3cret"
    assert "opensesame" not in caught.value.summary
    assert len(relay.mails) == 1


def test_without_encryption_nothing_is_sent_unless_the_stage_says_so(papers):
    with a_relay(papers, is_encrypted=False) as (relay, port):
        with pytest.raises(Refused, match="STARTTLS"):
            a_sink(papers, port).write(a_result())
        assert relay.mails == []
        a_sink(papers, port, security="none", ca=None).write(a_result())
        assert relay.was_encrypted == [False]


def test_a_relay_of_another_authority_gets_nothing(papers):
    with a_relay(papers) as (relay, port):
        with pytest.raises(OSError, match=r"SSL|certificate"):
            a_sink(papers, port, ca=None).write(a_result())
        assert relay.mails == []


def test_busy_is_asked_again_and_no_is_no(papers):
    with a_relay(papers) as (relay, port):
        relay.answer = "451 later"
        with pytest.raises(OSError, match="451"):
            a_sink(papers, port).write(a_result())
        relay.answer = "554 spam"
        with pytest.raises(Refused, match="554"):
            a_sink(papers, port).write(a_result())
        relay.rcpt = "550 nobody"
        with pytest.raises(Refused, match="refuses all 2 addresses"):
            a_sink(papers, port).write(a_result())


def test_nobody_there_is_an_error_within_its_time(papers):
    started = time.monotonic()
    with pytest.raises(OSError, match="refused"):
        a_sink(papers, free_port()).write(a_result())
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sender": "edge@plant.example\nBcc: x@y"}, "is no address"),
        ({"to": []}, "nobody to send to"),
        ({"subject": "a\r\nBcc: x@y.example"}, "more than one line"),
        ({"security": "none", "password": "word"}, "not sent in clear"),
        ({"security": "ssl"}, "none of starttls, tls, none"),
    ],
)
def test_what_could_be_misused_is_refused_before_anything_starts(changes, words):
    stage = {"kind": "email", "host": "h", "sender": "a@b.example", "to": ["c@d.example"]} | changes
    with pytest.raises(PipelineInvalid, match=words):
        stages_of(some_stages(action=[stage]))
