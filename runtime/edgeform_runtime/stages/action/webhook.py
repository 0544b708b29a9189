"""Posting results to an HTTP server, one connection each, with the standard library alone."""

import http.client
import ssl
from typing import Optional, Union
from urllib.parse import urlsplit

from edgeform_runtime.frames import Inferred
from edgeform_runtime.pipeline.action import Webhook
from edgeform_runtime.stages.contract import Place, Refused
from edgeform_runtime.stages.message import result_message

MAX_ANSWER_BYTES = 64 * 1024
AGAIN = (408, 425, 429)
Connection = Union[http.client.HTTPConnection, http.client.HTTPSConnection]


class WebhookSink:
    """POSTs a result; 2xx is taken, 408, 425, 429 and 5xx are worth another attempt, the rest is not."""

    kind = "webhook"

    def __init__(self, stage: Webhook, place: Place) -> None:
        self._stage, self._place = stage, place
        self._target = urlsplit(stage.url)
        self._tls: Optional[ssl.SSLContext] = None
        if self._target.scheme == "https":
            cafile = None if stage.ca is None else place.secrets.path(stage.ca)
            self._tls = ssl.create_default_context(cafile=cafile)

    def write(self, inferred: Inferred) -> None:
        """Deliver the result.

        Raises:
            OSError: nobody answered as HTTP, or the server is busy or broken. Refused: it wants it not.
            SecretMissing: the header's secret cannot be read.
        """
        body = result_message(self._place, inferred)
        headers = {"Content-Type": "application/json", "User-Agent": "edgeform"}
        if self._stage.secret is not None:
            # Read for each message, so that a rotated secret needs no restart.
            value = self._place.secrets.value(self._stage.secret)
            headers[self._stage.header] = value.decode("latin-1").strip()
        connection = self._connection()
        try:
            path = self._target.path or "/"
            path += "?" + self._target.query if self._target.query else ""
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            # Counted whatever the answer is: it has left.
            self._place.sent(self.kind, self._target.netloc, len(body))
            answer.read(MAX_ANSWER_BYTES)
        except (http.client.HTTPException, ValueError) as exc:
            # The exception's text may hold the header: its type says enough.
            raise OSError(f"{self._target.hostname}: {type(exc).__name__}") from exc
        finally:
            connection.close()
        _judge(answer.status)

    def idle(self) -> None:
        """There is nothing to do."""

    def close(self) -> None:
        """Nothing is kept open."""

    def _connection(self) -> Connection:
        host, port = self._target.hostname or "", self._target.port
        timeout_s = self._stage.delivery.timeout_s
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=self._tls)


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    if status in AGAIN or status >= 500:
        raise OSError(f"the server answered {status}")
    raise Refused(f"the server answered {status}")
