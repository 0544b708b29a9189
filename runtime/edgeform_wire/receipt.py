"""Receipts: what a device did, in its own words, each line chained to the one before it.

A line is `{"receipt": {...}, "signature": "<base64 DER>" | null}`. The signature is ECDSA P-256 over
the canonical receipt by the device key; `signing` says with what it was made, or `unsigned`.
"""

import base64
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from edgeform_wire import canonical
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of

SCHEMA = "edgeform.receipt/1"
RESULTS = ("committed", "rolled_back", "refused", "held", "needs_hands", "drivers")
GENESIS = "sha256:" + "0" * 64


@dataclass(frozen=True)
class CheckResult:
    """One check with its verdict: pass, fail, inconclusive or skipped, and the numbers behind it."""

    name: str
    pipeline: str
    verdict: str
    detail: str
    measured: Dict[str, Any]

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Receipt:
    """One transaction's outcome.

    Args:
        seq, prev: position in the chain and digest of the canonical receipt before (GENESIS first).
        transaction: its id. road: ssh, usb, pull or local.
        from_generation, to_generation: numbers; 0 means none.
        digest: of the generation manifest that was tried.
        result: one of RESULTS. reason: a sentence for people, empty when committed.
        seconds: time per phase, of CLOCK_BOOTTIME.
        derived: digests of files built on the device, by key.
        wall_time: ISO 8601 in UTC as the device believes it; clock: ntp, rtc or unknown.
    """

    site: str
    device: str
    seq: int
    prev: str
    transaction: str
    road: str
    deployment: int
    plan_digest: str
    from_generation: int
    to_generation: int
    digest: str
    result: str
    reason: str
    checks: Tuple[CheckResult, ...]
    seconds: Dict[str, float]
    derived: Dict[str, str]
    tool: str
    boot_id: str
    wall_time: str
    clock: str
    signing: str

    def to_json(self) -> Dict[str, Any]:
        value: Dict[str, Any] = {"schema": SCHEMA}
        value.update(vars(self))
        value["checks"] = [c.to_json() for c in self.checks]
        return value

    def encoded(self) -> bytes:
        return canonical.encode(self.to_json())

    @property
    def chain_digest(self) -> str:
        """What the next receipt names as `prev`."""
        return canonical.digest_of(self.to_json())


@dataclass(frozen=True)
class SignedReceipt:
    """A receipt with the signature over its canonical bytes; None where the device could not sign."""

    receipt: Receipt
    signature: Optional[bytes]

    def encoded_line(self) -> bytes:
        """One line of receipts.jsonl, with its line feed."""
        signature = (
            None if self.signature is None else base64.b64encode(self.signature).decode("ascii")
        )
        return canonical.encode({"receipt": self.receipt.to_json(), "signature": signature}) + b"\n"


def decode_line(line: bytes) -> SignedReceipt:
    """The receipt of one line.

    Raises:
        WireError: not the agreed form.
    """
    fields = Fields(canonical.decode(line, "receipt line"), "receipt line")
    receipt = from_json(fields.object("receipt"))
    text = fields.optional_text("signature")
    fields.done()
    try:
        signature = None if text is None else base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise WireError(f"receipt {receipt.seq}: signature is not base64") from exc
    return SignedReceipt(receipt=receipt, signature=signature)


def from_json(value: Any) -> Receipt:
    fields = schema_of(value, SCHEMA, "receipt")
    found = Receipt(
        site=fields.text("site"),
        device=fields.text("device"),
        seq=fields.integer("seq", minimum=1),
        prev=fields.digest("prev"),
        transaction=fields.text("transaction"),
        road=fields.text("road"),
        deployment=fields.integer("deployment"),
        plan_digest=fields.digest("plan_digest"),
        from_generation=fields.integer("from_generation"),
        to_generation=fields.integer("to_generation"),
        digest=fields.digest("digest"),
        result=fields.choice("result", RESULTS),
        reason=fields.text("reason"),
        checks=fields.each("checks", _check),
        seconds={k: float(v) for k, v in fields.object("seconds").items()},
        derived={str(k): str(v) for k, v in fields.object("derived").items()},
        tool=fields.text("tool"),
        boot_id=fields.text("boot_id"),
        wall_time=fields.text("wall_time"),
        clock=fields.text("clock"),
        signing=fields.text("signing"),
    )
    fields.done()
    return found


def _check(value: Any, what: str) -> CheckResult:
    fields = Fields(value, what)
    found = CheckResult(
        name=fields.text("name"),
        pipeline=fields.text("pipeline"),
        verdict=fields.choice("verdict", ("pass", "fail", "inconclusive", "skipped")),
        detail=fields.text("detail"),
        measured=fields.object("measured"),
    )
    fields.done()
    return found
