"""HTTP to a registry that nobody trusts: bounded in time and bytes, credentials for one origin only.

Redirects are followed by hand: never from https to http, and never with credentials to another origin.
`.netrc` is not read, cookies are not kept, certificates are always verified. No message holds a
credential, a query string or more than a line of what the other side said.
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn
from urllib.parse import quote, urljoin

import requests
import urllib3
from requests.auth import AuthBase

from edgeform.registry.addresses import check_is_private, check_redirect, origin_of, shown
from edgeform.registry.base import RegistryFailed
from edgeform.registry.spool import Dropped, Reply

CONNECT_S = 10.0
SILENCE_S = 30.0
"""No byte for so long is a dead connection."""
ANSWER_S = 60.0
"""A status line and headers take no longer, however they trickle."""
SLOWEST_BYTES_PER_S = 1024
"""Slower than this over `PATIENCE_S` is no download."""
PATIENCE_S = 60.0
DOCUMENT_BYTES = 32 * 2**20
MAX_REDIRECTS = 5
RETRIES = 3
LONGEST_WAIT_S = 30.0

Header = Callable[[], Mapping[str, str]]
"""Gives the headers that prove who asks; called when a request is made, never stored."""


class NotThere(RegistryFailed):
    """404: the caller knows what that means."""


class LoginRefused(RegistryFailed):
    """401 or 403."""


class _Headers(AuthBase):
    """Also keeps `requests` from looking into ~/.netrc."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class Web:
    """One registry's web server.

    Args:
        header: what proves who asks, sent to `url`'s scheme, host and port only.
        login_hint: what to do about a 401.
    """

    def __init__(
        self,
        url: str,
        *,
        header: Header = dict,
        ca_file: str | None = None,
        login_hint: str = "",
        wait: Callable[[float], None] = time.sleep,
        answer_s: float = ANSWER_S,
        silence_s: float = SILENCE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.url = url.rstrip("/") + "/"
        self._header = header
        self._ca_file = ca_file
        self._login_hint = login_hint or "Give the registry a login in the Site."
        self._wait = wait
        self._answer_s = answer_s
        self._silence_s = silence_s
        self._patience_s = patience_s

    def under(self, *segments: str) -> str:
        """The address of a path below the registry's, every segment quoted."""
        return self.url + "/".join(quote(part, safe="") for s in segments for part in s.split("/"))

    def document(
        self,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """A JSON document.

        Raises:
            NotThere, LoginRefused, RegistryFailed: see `answer`; or it is no JSON.
        """
        return parsed(self.text(url, query=query, headers=headers), url)

    def text(
        self,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """A document of at most `DOCUMENT_BYTES`."""
        return self.exchange(url, query=query, headers=headers)[1]

    def page(self, url: str) -> tuple[bytes, Mapping[str, str]]:
        """A document, and the headers that came with it."""
        answer = self.answer(url)
        return self._body(answer, url), answer.headers

    def exchange(
        self,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200,),
    ) -> tuple[int, bytes]:
        """The status of an answer, one of `accept`, and its document."""
        answer = self.answer(url, query=query, headers=headers, accept=accept)
        return answer.status_code, self._body(answer, url)

    def _body(self, answer: requests.Response, url: str) -> bytes:
        found = bytearray()
        for chunk in self._chunks(answer, url):
            found += chunk
            if len(found) > DOCUMENT_BYTES:
                answer.close()
                raise RegistryFailed(
                    f"The answer does not end: more than {DOCUMENT_BYTES} bytes.",
                    address=shown(url),
                )
        self._check_whole(answer, len(found), url)
        return bytes(found)

    def reader(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Callable[[int, str | None], Reply]:
        """Opens the file at an address; goes on in the middle where the server proves it is the same file."""

        def read(offset: int, validator: str | None) -> Reply:
            asked = dict(headers or {})
            if offset:
                asked["Range"] = f"bytes={offset}-"
                if validator:
                    asked["If-Range"] = validator
            try:
                answer = self.answer(url, headers=asked, accept=(200, 206, 416))
            except NotThere as exc:
                raise RegistryFailed(
                    "The registry lists this file and does not have it.", address=shown(url)
                ) from exc
            if answer.status_code == 416:
                answer.close()
                answer = self.answer(url, headers=headers)
            start, whole = _extent(answer, offset)
            etag = answer.headers.get("ETag", "")
            return Reply(
                chunks=self._chunks(answer, url),
                offset=start,
                size_bytes=whole,
                validator=etag if etag.startswith('"') else None,
            )

        return read

    def answer(
        self,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        accept: tuple[int, ...] = (200,),
    ) -> requests.Response:
        """The answer, its body not read yet; tried again after 429 and 5xx, with patience that ends.

        Raises:
            NotThere: 404. LoginRefused: 401, 403.
            RegistryFailed: no connection, no trust, no answer in time, or any other status.
        """
        for attempt in range(RETRIES + 1):
            found = self._followed(method, url, query, headers or {})
            if found.status_code in accept:
                return found
            is_worth = found.status_code == 429 or found.status_code >= 500
            pause = _pause_s(found, attempt)
            if not is_worth or attempt == RETRIES or pause > LONGEST_WAIT_S:
                self._refuse(found, url)
            found.close()
            self._wait(pause)
        raise AssertionError("the last attempt answers or refuses")

    def _followed(
        self, method: str, url: str, query: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> requests.Response:
        for _ in range(MAX_REDIRECTS + 1):
            found = self._once(method, url, query, headers)
            if found.status_code not in (301, 302, 303, 307, 308):
                return found
            to = urljoin(url, found.headers.get("Location", ""))
            found.close()
            check_redirect(url, to)
            url, query = to, None
        raise RegistryFailed(f"It redirects more than {MAX_REDIRECTS} times.", address=shown(url))

    def _once(
        self, method: str, url: str, query: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> requests.Response:
        proof = dict(self._header()) if origin_of(url) == origin_of(self.url) else {}
        if proof:
            check_is_private(url)
        with requests.Session() as session:
            return _within(
                self._answer_s,
                lambda: session.request(
                    method,
                    url,
                    params=query,
                    headers={"Accept-Encoding": "identity", **headers},
                    auth=_Headers(proof),
                    timeout=(CONNECT_S, self._silence_s),
                    allow_redirects=False,
                    stream=True,
                    verify=self._ca_file or True,
                ),
                url,
            )

    def _refuse(self, found: requests.Response, url: str) -> NoReturn:
        status, said = found.status_code, self._said(found, url)
        found.close()
        where = shown(url)
        if status == 404:
            raise NotThere(f"There is nothing (404){said}.", address=where)
        if status in (401, 403):
            what = "It wants a login" if status == 401 else "This login may not read it"
            raise LoginRefused(f"{what} ({status}){said}.", address=where, hint=self._login_hint)
        if status == 429:
            detail = f"Too many requests (429){said}."
            raise RegistryFailed(detail, address=where, hint="Wait, then run the command again.")
        hint = "Run the command again later, or ask whoever runs it." if status >= 500 else ""
        raise RegistryFailed(f"It answers {status}{said}.", address=where, hint=hint)

    def _said(self, found: requests.Response, url: str) -> str:
        """The sentence of a JSON error, one line, without what we sent."""
        try:
            body = b"".join(_first(self._chunks(found, url), 4096))
            value = json.loads(body)
        except (RegistryFailed, ValueError, RecursionError):
            return ""
        text = value.get("message") or value.get("error") if isinstance(value, dict) else None
        if not isinstance(text, str):
            return ""
        for sent in self._header().values():
            for part in sent.split():
                text = text.replace(part, "***")
        clean = "".join(c if c.isprintable() else " " for c in text)
        return f": {clean[:200].rstrip('. ')}"

    def _chunks(self, found: requests.Response, url: str) -> Iterator[bytes]:
        began, came = time.monotonic(), 0
        try:
            # read1 gives what is there: a trickle is seen while it trickles.
            while chunk := found.raw.read1(2**18):
                came += len(chunk)
                passed = time.monotonic() - began
                if passed > self._patience_s and came < SLOWEST_BYTES_PER_S * passed:
                    raise Dropped(
                        f"It trickles: {came} bytes in {passed:.0f} s.",
                        address=shown(url),
                        hint="Run the command again: it goes on where it stopped.",
                    )
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise Dropped(
                f"The connection broke after {came} bytes.",
                address=shown(url),
                hint="Run the command again: it goes on where it stopped.",
            ) from exc
        finally:
            found.close()

    @staticmethod
    def _check_whole(found: requests.Response, came: int, url: str) -> None:
        promised = found.headers.get("Content-Length", "")
        if promised.isdigit() and came < int(promised):
            raise RegistryFailed(
                f"The answer was cut short: {came} of {promised} bytes.", address=shown(url)
            )


def parsed(content: bytes, url: str) -> Any:
    """The value of a JSON document.

    Raises:
        RegistryFailed: it is none.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise RegistryFailed(
            "The answer is no JSON.",
            address=shown(url),
            hint="Is `url` the registry itself, and not a page in front of it?",
        ) from exc


def _pause_s(found: requests.Response, attempt: int) -> float:
    told = found.headers.get("Retry-After", "")
    return float(told) if told.isdigit() else 0.5 * 2**attempt


def _extent(found: requests.Response, offset: int) -> tuple[int, int | None]:
    """(where the body begins, how long the file is) of an answer."""
    if found.status_code == 206:
        unit, _, rest = found.headers.get("Content-Range", "").partition(" ")
        span, _, whole = rest.partition("/")
        start = span.partition("-")[0]
        if unit == "bytes" and start.isdigit() and int(start) == offset:
            return offset, int(whole) if whole.isdigit() else None
        found.close()
        raise RegistryFailed(
            "It sends another part of the file than was asked for.", address=shown(found.url)
        )
    length = found.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _within(limit_s: float, ask: Callable[[], requests.Response], url: str) -> requests.Response:
    """An answer's head within the time: headers that trickle reset every timeout of a socket."""
    results: queue.Queue[requests.Response | BaseException] = queue.Queue()

    def run() -> None:
        try:
            results.put(ask())
        except BaseException as exc:  # noqa: BLE001 - raised again by whoever waits
            results.put(exc)

    threading.Thread(target=run, daemon=True).start()
    try:
        found = results.get(timeout=limit_s)
    except queue.Empty:
        raise RegistryFailed(
            f"No answer within {limit_s:.0f} s.", address=shown(url), hint=_REACH
        ) from None
    if isinstance(found, requests.exceptions.SSLError):
        raise RegistryFailed(
            "Its certificate is not trusted, or not for this host.",
            address=shown(url),
            hint="For a private authority, set `ca_file` of the registry to its certificate (PEM).",
        ) from found
    if isinstance(found, requests.exceptions.Timeout):
        raise RegistryFailed("It does not answer.", address=shown(url), hint=_REACH) from found
    if isinstance(found, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        raise RegistryFailed("This is no address.", address=shown(url)) from found
    if isinstance(found, requests.exceptions.RequestException | OSError):
        raise RegistryFailed(
            "It cannot be reached, or it broke off.", address=shown(url), hint=_REACH
        ) from found
    if isinstance(found, BaseException):
        raise found
    return found


_REACH = "Is the address right, and the server up? Try again, or ask whoever runs it."


def _first(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    came = 0
    for chunk in chunks:
        yield chunk
        came += len(chunk)
        if came >= limit:
            return
