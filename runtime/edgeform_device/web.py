"""A repository behind a URL: plain HTTP GET, for devices that reach out and cannot be reached.

The server is not believed: what it says is bounded in length and in time, and only signed digests name what
is asked for. HTTPS keeps others from seeing what is fetched; that it is right does not depend on it.
"""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Iterator, Optional

from edgeform_device.errors import DeviceError, Incomplete, Refused, Usage
from edgeform_device.version import VERSION

SILENCE_S = 20.0
SLOWEST_LINK_BYTES_S = 8_000
"""Slower than this for longer than SILENCE_S is as good as silent: a file may not take for ever."""
CHUNK_BYTES = 64 * 1024
ABSENT = (403, 404, 410)
MAX_URL = 2000
CLIENT_CERTIFICATE = "EDGEFORM_PULL_CERTIFICATE"
"""A file with the device's client certificate and key, where the server asks for one."""
AUTHORITY = "EDGEFORM_PULL_CA"
"""A file with certificates of a site's own authority, believed beside the system's."""


class Server:
    """A repository below a URL.

    Args:
        silence_s: how long the server may say nothing.
    """

    road = "pull"

    def __init__(self, url: str, silence_s: float = SILENCE_S) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or len(url) > MAX_URL:
            raise Usage(f"{url!r:.200} is neither an https nor an http URL.")
        if parts.username or parts.password:
            raise Usage(
                "The URL holds a password, which every list of processes would show.",
                hint=f"Use a client certificate, named by {CLIENT_CERTIFICATE}.",
            )
        self.place = url.rstrip("/")
        self._silence_s = silence_s
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=_tls()), _SameKind()
        )

    def read(self, name: str, limit: int) -> Optional[bytes]:
        """At most limit + 1 bytes of a file; None where the server has none.

        Raises:
            Incomplete: it is not reached, fails, or is too slow.
        """
        answer = self._get(name, 0)
        if answer is None:
            return None
        parts, size = [], 0
        for piece in self._body(name, answer):
            parts.append(piece)
            size += len(piece)
            if size > limit:
                break
        return b"".join(parts)[: limit + 1]

    def size(self, name: str) -> Optional[int]:
        """Nobody needs it: a server has no files in parts."""
        del name
        return None

    def pieces(self, name: str, offset: int) -> Iterator[bytes]:
        """A file's bytes from an offset on; nothing where the server has none."""
        answer = self._get(name, offset)
        if answer is None:
            return
        # A server that knows no ranges sends all of it: what is here already is passed over.
        skip = 0 if answer.status == http.client.PARTIAL_CONTENT else offset
        for piece in self._body(name, answer):
            if len(piece) <= skip:
                skip -= len(piece)
                continue
            yield piece[skip:]
            skip = 0

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, where the server allows it.

        Raises:
            OSError: it does not, or it is not reached.
        """
        request = urllib.request.Request(  # noqa: S310 - the scheme was proven
            self._url(name), data=content, method="PUT", headers=_HEADERS
        )
        try:
            with _within(2 * self._silence_s), self._opener.open(
                request, timeout=self._silence_s
            ) as answer:
                answer.read(1)
        except http.client.HTTPException as exc:
            raise OSError(_said(exc)) from exc

    def _get(self, name: str, offset: int) -> Optional[Any]:
        headers = dict(_HEADERS)
        if offset:
            headers["Range"] = f"bytes={offset}-"
        request = urllib.request.Request(self._url(name), headers=headers)  # noqa: S310
        try:
            with _within(2 * self._silence_s):
                return self._opener.open(request, timeout=self._silence_s)
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code in ABSENT:
                return None
            raise self._failed(f"it answers {exc.code} for {name[-90:]}") from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise self._failed(_said(exc)) from exc

    def _body(self, name: str, answer: Any) -> Iterator[bytes]:
        began = time.monotonic()
        size = 0
        with answer:
            while True:
                try:
                    # read1: whatever has come, so that a server that drips cannot keep us in one call.
                    with _within(2 * self._silence_s):
                        piece = answer.read1(CHUNK_BYTES)
                except (OSError, http.client.HTTPException, ValueError) as exc:
                    raise self._failed(_said(exc)) from exc
                if not piece:
                    break
                size += len(piece)
                yield piece
                if time.monotonic() - began > self._silence_s + size / SLOWEST_LINK_BYTES_S:
                    raise self._failed(f"{name[-90:]} comes too slowly: {size} bytes so far")
            if answer.length:
                raise self._failed(f"{name[-90:]} ended {answer.length} bytes early")

    def _url(self, name: str) -> str:
        return f"{self.place}/{urllib.parse.quote(name)}"

    def _failed(self, why: str) -> DeviceError:
        return Incomplete(
            f"The server is not usable: {why}.",
            detail=f"{self.place}. What came before is kept, what runs goes on.",
            hint="The next pull goes on where this one stopped. Look whether the server is up:\n"
            f"    curl -I {self.place}/trust/metadata/timestamp.json",
        )


_HEADERS = {"User-Agent": f"edgeform-device/{VERSION}", "Accept-Encoding": "identity"}


class _SameKind(urllib.request.HTTPRedirectHandler):
    """A redirect may lead to another host, and never from https to http or to a local file."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        before, after = (urllib.parse.urlsplit(u).scheme for u in (req.full_url, newurl))
        if after not in ("https", before):
            raise urllib.error.URLError(f"it leads from {before} to {after}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """End one call into the server after that time: a socket's timeout begins anew with every byte."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_signal: int, _frame: Any) -> None:
        raise socket.timeout("it says too little")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority = os.environ.get(AUTHORITY)
    if authority:
        try:
            context.load_verify_locations(authority)
        except OSError as exc:  # ssl.SSLError is one
            raise Refused(
                f"The authority's certificate cannot be used: {_said(exc)}.",
                hint=f"{AUTHORITY} names a PEM file with the certificate that signed the server's.",
            ) from exc
    certificate = os.environ.get(CLIENT_CERTIFICATE)
    if certificate:
        try:
            context.load_cert_chain(certificate)
        except OSError as exc:
            raise Refused(
                f"The client certificate cannot be used: {_said(exc)}.",
                hint=f"{CLIENT_CERTIFICATE} names a PEM file with certificate and key.",
            ) from exc
    return context


def _said(exc: BaseException) -> str:
    reason = getattr(exc, "reason", exc)
    if isinstance(reason, socket.timeout):
        return "it says nothing"
    text = str(getattr(reason, "strerror", None) or reason) or type(exc).__name__
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
