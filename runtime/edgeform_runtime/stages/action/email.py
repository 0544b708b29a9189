"""Mailing results through a relay, one connection each, with the standard library alone."""

import email.message
import email.policy
import email.utils
import json
import smtplib
import ssl
from typing import Optional

from edgeform_runtime.frames import Inferred
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.action import Email
from edgeform_runtime.stages.contract import Place, Refused
from edgeform_runtime.stages.message import result_json

PERMANENT = 500
"""Answers from here on are final. Source: RFC 5321 §4.2.1."""


class EmailSink:
    """Sends a result as text; the relay's answers of 5xx are final, the rest is worth another attempt."""

    kind = "email"

    def __init__(self, stage: Email, place: Place) -> None:
        self._stage, self._place = stage, place
        self._tls: Optional[ssl.SSLContext] = None
        if stage.security != "none":
            cafile = None if stage.ca is None else place.secrets.path(stage.ca)
            self._tls = ssl.create_default_context(cafile=cafile)

    def write(self, inferred: Inferred) -> None:
        """Hand the mail to the relay.

        Raises:
            OSError: nobody answered as SMTP, or not now. Refused: the relay says no for good, or offers no
                encryption where the stage demands it. SecretMissing: the password cannot be read.
        """
        message = self._message(inferred)
        try:
            with self._relay() as relay:
                if self._stage.username is not None:
                    relay.login(self._stage.username, self._password())
                left_out = relay.send_message(message, self._stage.sender, list(self._stage.to))
            size_bytes = len(message.as_bytes())
            self._place.sent(self.kind, f"{self._stage.host}:{self._stage.port}", size_bytes)
            if left_out:
                log("warning", "mail_not_to_all", refused=len(left_out), of=len(self._stage.to))
        except smtplib.SMTPRecipientsRefused as exc:
            codes = sorted({code for code, _ in exc.recipients.values()})
            _judge(codes[0], f"the relay refuses all {len(exc.recipients)} addresses: {codes}", exc)
        except smtplib.SMTPResponseException as exc:
            _judge(exc.smtp_code, f"the relay answered {exc.smtp_code}", exc)
        except smtplib.SMTPNotSupportedError as exc:
            raise Refused(f"{self._stage.host}: {exc}") from exc
        except (smtplib.SMTPException, ValueError) as exc:
            raise OSError(f"{self._stage.host}: {type(exc).__name__}") from exc

    def idle(self) -> None:
        """There is nothing to do."""

    def close(self) -> None:
        """Nothing is kept open."""

    def _relay(self) -> smtplib.SMTP:
        stage = self._stage
        timeout_s = stage.delivery.timeout_s
        if stage.security == "tls" and self._tls is not None:
            return smtplib.SMTP_SSL(stage.host, stage.port, timeout=timeout_s, context=self._tls)
        relay = smtplib.SMTP(stage.host, stage.port, timeout=timeout_s)
        try:
            if self._tls is not None:
                relay.starttls(context=self._tls)
        except BaseException:
            relay.close()
            raise
        return relay

    def _password(self) -> str:
        secret = self._stage.password
        return "" if secret is None else self._place.secrets.value(secret).decode().strip()

    def _message(self, inferred: Inferred) -> email.message.EmailMessage:
        place, stage = self._place, self._stage
        found = email.message.EmailMessage(policy=email.policy.SMTP)
        found["From"] = stage.sender
        found["To"] = ", ".join(stage.to)
        found["Subject"] = stage.subject or f"edgeform: {place.pipeline} on {place.device}"
        found["Date"] = email.utils.formatdate(inferred.frame.captured_at)
        found["Message-ID"] = email.utils.make_msgid(domain=stage.sender.rpartition("@")[2])
        found["Auto-Submitted"] = "auto-generated"
        rule = stage.trigger.when or "every result"
        held = f", for {stage.trigger.for_s:g} s" if stage.trigger.for_s else ""
        result = json.dumps(result_json(place, inferred), indent=2, ensure_ascii=False)
        found.set_content(f"{rule}{held}\n\n{result}\n")
        return found


def _judge(code: int, words: str, exc: Exception) -> None:
    if code >= PERMANENT:
        raise Refused(words) from exc
    raise OSError(words) from exc
