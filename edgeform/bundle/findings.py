"""What a device found when it checked itself, judged at home: whole, in order, signed, nothing left out."""

from dataclasses import dataclass
from typing import Any

from edgeform.bundle.records import Report
from edgeform_device import driftlog
from edgeform_wire import bundle, canonical
from edgeform_wire import finding as wire
from edgeform_wire.errors import WireError
from edgeform_wire.fields import schema_of
from edgeform_wire.finding import Finding, SignedFinding


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The findings of one device that hold, and the document they came in."""

    kept: tuple[SignedFinding, ...]
    document: bytes

    @property
    def drifted(self) -> tuple[Finding, ...]:
        """Those in which something differed."""
        return tuple(one.finding for one in self.kept if one.finding.drift)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`findings` is None where there are none; they may be used only if nothing is in the two lists."""

    findings: Findings | None = None
    breaks: tuple[str, ...] = ()
    forgeries: tuple[str, ...] = ()


def judge_findings(document: bytes | None, report: Report, key: str | None) -> Judged:
    """The findings that belong to a report, whose signature vouches for the newest of them.

    Args:
        document: `drift.json`; None where the device left none. key: the pinned one, as PEM.
    """
    if document is None:
        if not report.findings_seq:
            return Judged()
        return Judged(breaks=(f"its findings are missing: it has {report.findings_seq} of them",))
    try:
        kept = decode_findings(document)
    except WireError as exc:
        return Judged(breaks=(f"its findings are unreadable: {exc}",))
    breaks = [
        f"finding {number}: it is of {one.finding.site}/{one.finding.device}"
        for number, one in enumerate(kept, 1)
        if (one.finding.site, one.finding.device) != (report.site, report.device)
    ]
    chained = driftlog.faults(list(kept), None)
    breaks += [f"finding {f.line}: {f.reason}" for f in chained]
    known = set(chained)
    forgeries = [
        f"finding {f.line}: {f.reason}"
        for f in driftlog.faults(list(kept), key)
        if key is not None and f not in known
    ]
    unsigned = [n for n, one in enumerate(kept, 1) if one.signature is None]
    if unsigned and report.is_signed:
        forgeries.append(f"finding {unsigned[0]}: it is unsigned, though the device can sign")
    if not breaks and not forgeries and wire.head_of(list(kept)) != _head(report):
        breaks.append(
            f"its findings end with number {wire.head_of(list(kept))[0]}, and the device says that its last"
            f" is {report.findings_seq}: some are missing, or they are of another time"
        )
    return Judged(
        findings=Findings(kept=kept, document=document),
        breaks=tuple(breaks),
        forgeries=tuple(forgeries),
    )


def decode_findings(document: bytes) -> tuple[SignedFinding, ...]:
    """The findings of a `drift.json`.

    Raises:
        WireError: not the agreed form.
    """
    fields = schema_of(canonical.decode(document, "findings"), bundle.FINDINGS_SCHEMA, "findings")
    kept = fields.each("kept", _signed)
    fields.done()
    return kept


def _signed(value: Any, _what: str) -> SignedFinding:
    return wire.from_json(value)


def _head(report: Report) -> tuple[int, str]:
    return report.findings_seq, report.findings_head
