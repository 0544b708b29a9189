"""Telling people what a drift run found: one message to one webhook, in the form its service reads.

A webhook that hangs, dribbles or refuses is a value that says so: it never keeps a drift run from ending.
An address is a secret, since whoever has it can write: only its host is ever said.

Sources: api.slack.com/messaging/webhooks (`text`, with & < > escaped); learn.microsoft.com, Teams "Create
incoming webhooks with Workflows" (a message with one adaptive card).
"""

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never
from urllib.parse import urlsplit

from edgeform.drift.compare import Compared, Word
from edgeform.errors import UsageError

TIMEOUT_S = 15.0
SHOWN = 20
LOUD = (Word.DRIFT, Word.UNKNOWN, Word.HELD)
"""What is worth a message: that an apply waits (`pending`) is no news to whoever made it wait."""


class Form(StrEnum):
    SLACK = "slack"
    TEAMS = "teams"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """`address` is secret."""

    form: Form
    address: str

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""

    def __repr__(self) -> str:
        return f"Webhook({self.form}, {self.host})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`failure` is empty when the service took it."""

    host: str
    failure: str = ""


def webhook(form: str, address: str) -> Webhook:
    """A webhook of its address.

    Raises:
        UsageError: not https, but for a host of this machine.
    """
    parts = urlsplit(address)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise UsageError("The webhook's address is no https:// address.")
    if parts.scheme == "http" and not local:
        raise UsageError(f"The webhook on {parts.hostname} is not https; its address is a secret.")
    return Webhook(form=Form(form), address=address)


def is_news(found: Iterable[Compared]) -> bool:
    return any(one.needs_hands or set(LOUD) & set(one.words) for one in found)


def message(form: Form, site: str, found: Iterable[Compared]) -> dict[str, Any]:
    """The body for one service."""
    found = tuple(found)
    title = f"Drift on {site}: {_counts(found)}"
    lines = _lines(found)
    match form:
        case Form.SLACK:
            text = "\n".join((title, *lines))
            return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
        case Form.TEAMS:
            blocks: list[dict[str, Any]] = [
                {"type": "TextBlock", "text": _markless(title), "weight": "Bolder", "wrap": True}
            ]
            blocks += [{"type": "TextBlock", "text": _markless(x), "wrap": True} for x in lines]
            card = {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": blocks,
            }
            kind = "application/vnd.microsoft.card.adaptive"
            return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}
        case Form.JSON:
            return {
                "schema": "edgeform.drift/1",
                "site": site,
                "text": title,
                "devices": [
                    {
                        "device": one.device,
                        "words": [str(word) for word in one.words],
                        "generation": one.generation,
                        "findings": len(one.found),
                        "notes": list(one.notes),
                        "needs_hands": one.needs_hands,
                    }
                    for one in found
                    if one.words != (Word.CLEAN,)
                ],
            }
        case _:
            assert_never(form)


def deliver(hook: Webhook, body: dict[str, Any], *, timeout_s: float = TIMEOUT_S) -> Delivery:
    """Send the message, and be back after `timeout_s` whatever the other side does.

    A timeout of the socket alone would not do: a server that sends one byte now and then resets it for ever.
    """
    said: list[str] = []
    worker = threading.Thread(target=_post, args=(hook, body, timeout_s, said), daemon=True)
    worker.start()
    worker.join(timeout_s)
    failure = f"no answer within {timeout_s:.0f} s" if worker.is_alive() or not said else said[0]
    return Delivery(host=hook.host, failure=failure)


def _post(hook: Webhook, body: dict[str, Any], timeout_s: float, said: list[str]) -> None:
    import requests  # noqa: PLC0415 - only runs that notify pay for it

    try:
        answer = requests.post(
            hook.address,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            timeout=timeout_s,
            allow_redirects=False,
            stream=True,
        )
        code = answer.status_code
        said.append("" if 200 <= code < 300 else f"answer {code}")
        answer.close()
    except requests.RequestException as exc:
        # The exception's own text holds the address.
        said.append(f"not delivered ({type(exc).__name__})")


def _counts(found: tuple[Compared, ...]) -> str:
    counts = [(word, sum(word in one.words for one in found)) for word in Word]
    hands = sum(one.needs_hands for one in found)
    parts = [f"{count} {word}" for word, count in counts if count]
    return ", ".join(parts + ([f"{hands} need hands"] if hands else []))


def _lines(found: tuple[Compared, ...]) -> list[str]:
    loud = [one for one in found if is_news((one,))]
    lines = [f"{one.device}: {'+'.join(one.words)}: {_what(one)}"[:300] for one in loud[:SHOWN]]
    if len(loud) > SHOWN:
        lines.append(f"and {len(loud) - SHOWN} more: edgeform drift")
    return lines


def _what(one: Compared) -> str:
    said = [*one.notes, *(f"{d.kind} {d.path}" for d in one.found[:3])]
    if len(one.found) > 3:
        said.append(f"{len(one.found) - 3} more")
    return "; ".join(said)


def _markless(text: str) -> str:
    """An adaptive card reads Markdown; a device's words are none."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in text)
