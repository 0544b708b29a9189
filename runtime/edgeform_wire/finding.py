"""Findings: what a device saw when it checked itself, each chained to the one before and signed like a
receipt.

A line is `{"finding": {...}, "signature": "<base64 DER>" | null}`. The newest line may be replaced by the
same finding seen again, under the same number; the oldest lines go when there are many.
"""

import base64
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from edgeform_wire import canonical
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of
from edgeform_wire.receipt import GENESIS

SCHEMA = "edgeform.finding/1"


@dataclass(frozen=True)
class Finding:
    """One check of the device against its own last confirmed generation.

    Args:
        seq, prev: position in the chain, and digest of the canonical finding before (GENESIS first).
        first, last, times: when it was seen first and last, and how often without a change between.
        clock: ntp, rtc or unknown, for the last of these times.
        drift: what differs: kind, path, expected, actual. health: of the services, as `state` gives it.
    """

    site: str
    device: str
    seq: int
    prev: str
    first: str
    last: str
    times: int
    clock: str
    generation: int
    digest: Optional[str]
    drift: Tuple[Dict[str, Any], ...]
    health: Tuple[Dict[str, Any], ...]
    needs_hands: str
    signing: str

    def to_json(self) -> Dict[str, Any]:
        value: Dict[str, Any] = {"schema": SCHEMA}
        value.update(vars(self))
        value["drift"], value["health"] = list(self.drift), list(self.health)
        return value

    def encoded(self) -> bytes:
        return canonical.encode(self.to_json())

    @property
    def chain_digest(self) -> str:
        return canonical.digest_of(self.to_json())

    def says_the_same_as(self, other: "Finding") -> bool:
        """Whether only the time differs."""
        names = ("site", "device", "generation", "digest", "drift", "health", "needs_hands")
        return all(getattr(self, name) == getattr(other, name) for name in names)


@dataclass(frozen=True)
class SignedFinding:
    """A finding with the signature over its canonical bytes; None where the device could not sign."""

    finding: Finding
    signature: Optional[bytes]

    def to_json(self) -> Dict[str, Any]:
        text = None if self.signature is None else base64.b64encode(self.signature).decode("ascii")
        return {"finding": self.finding.to_json(), "signature": text}

    def encoded_line(self) -> bytes:
        """One line, with its line feed."""
        return canonical.encode(self.to_json()) + b"\n"


def decode_line(line: bytes) -> SignedFinding:
    """The finding of one line.

    Raises:
        WireError: not the agreed form.
    """
    return from_json(canonical.decode(line, "finding line"))


def from_json(value: Any) -> SignedFinding:
    outer = Fields(value, "finding line")
    fields = schema_of(outer.object("finding"), SCHEMA, "finding")
    text = outer.optional_text("signature")
    outer.done()
    found = Finding(
        site=fields.text("site"),
        device=fields.text("device"),
        seq=fields.integer("seq", minimum=1),
        prev=fields.digest("prev"),
        first=fields.text("first"),
        last=fields.text("last"),
        times=fields.integer("times", minimum=1),
        clock=fields.text("clock"),
        generation=fields.integer("generation"),
        digest=fields.optional_digest("digest"),
        drift=fields.each("drift", _object),
        health=fields.each("health", _object),
        needs_hands=fields.text("needs_hands"),
        signing=fields.text("signing"),
    )
    fields.done()
    try:
        signature = None if text is None else base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise WireError(f"finding {found.seq}: signature is not base64") from exc
    return SignedFinding(finding=found, signature=signature)


def head_of(kept: "List[SignedFinding]") -> "Tuple[int, str]":
    """The newest one's number and digest; 0 and GENESIS where there is none."""
    if not kept:
        return 0, GENESIS
    return kept[-1].finding.seq, kept[-1].finding.chain_digest


def _object(value: Any, what: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise WireError(f"{what} is not an object")
    return value
