"""What devices left on a stick, judged at home: whole chains, their own signatures, no gap, no other past.

Nothing of a device is taken when anything about its chain does not hold. Sticks come home in any order: what
is known already is compared, and an older report never replaces a newer one.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeform.bundle.findings import Findings, judge_findings
from edgeform.bundle.records import Report, decode_report
from edgeform_device import p256
from edgeform_device.errors import DeviceError
from edgeform_device.identity import short_code
from edgeform_device.medium import Folder
from edgeform_device.receipts import faults
from edgeform_wire import bundle
from edgeform_wire.errors import WireError
from edgeform_wire.receipt import GENESIS, SignedReceipt, decode_line

MAX_CHAIN_BYTES = 256 * 1024 * 1024
MAX_REPORT_BYTES = 16 * 1024 * 1024
MAX_KEY_BYTES = 2000
_CHAIN_NAME = re.compile(r"device-([a-z0-9][a-z0-9._-]{0,62})\.jsonl\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is at home of a device: its archived chain, its pinned key, its last report."""

    lines: tuple[bytes, ...]
    key: str | None
    report: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """One device's news.

    Args:
        new: receipts that were not known; empty when anything is wrong.
        report: its newer state, if it is whole and newer than what is known.
        findings: what it found when it checked itself, as of that report.
        key: the public key it left, when none is pinned.
        breaks: what does not hold in the chain. forgeries: what the device did not sign.
    """

    device: str
    new: tuple[SignedReceipt, ...] = ()
    report: Report | None = None
    findings: Findings | None = None
    key: str | None = None
    breaks: tuple[str, ...] = ()
    forgeries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return not self.breaks and not self.forgeries


def bring_home(
    medium: Folder, place: Path, *, site: str, known: Callable[[str], Known]
) -> tuple[Brought, ...]:
    """Every device's news on a stick, in the order of their names; nothing is stored here."""
    return tuple(_device(medium, name, site, known(name)) for name in devices_on(place))


def devices_on(place: Path) -> tuple[str, ...]:
    """The devices that left receipts."""
    folder = place / bundle.FOLDER if (place / bundle.FOLDER).is_dir() else place
    try:
        names = sorted(p.name for p in (folder / bundle.RETURN).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(dict.fromkeys(m[1].lower() for n in names if (m := _CHAIN_NAME.match(n))))


def code_of(root_digest: str, key: str) -> str:
    """What the device showed when it was enrolled: it stands for this root and this key."""
    return short_code(root_digest, key)


def _device(medium: Folder, device: str, site: str, known: Known) -> Brought:
    try:
        chain = medium.read(bundle.return_name(device, "jsonl"), MAX_CHAIN_BYTES) or b""
        document = medium.read(bundle.return_name(device, "state.json"), MAX_REPORT_BYTES)
        offered = medium.read(bundle.return_name(device, "key.pem"), MAX_KEY_BYTES)
        checked = medium.read(bundle.return_name(device, "drift.json"), MAX_REPORT_BYTES)
    except DeviceError as exc:
        return Brought(device=device, breaks=(exc.summary,))
    breaks: list[str] = []
    forgeries: list[str] = []
    notes: list[str] = []
    *lines, rest = chain.split(b"\n")
    if rest:
        breaks.append(f"receipt line {len(lines) + 1}: it is torn off")
    receipts = tuple(_decoded(lines))
    breaks += _chain_faults(lines, receipts, site, device)
    breaks += _other_past(lines, known.lines)
    if known.key is not None:
        chained = set(faults(lines, None))
        forgeries += [
            f"receipt line {f.line}: {f.reason}"
            for f in faults(lines, known.key)
            if f not in chained
        ]
    report = _report(document, lines, receipts, (site, device), known, breaks, forgeries, notes)
    findings = None
    if report is not None:
        found = judge_findings(checked, report, known.key)
        findings, breaks, forgeries = (
            found.findings,
            breaks + list(found.breaks),
            forgeries + list(found.forgeries),
        )
        if not _is_newer(report, known.report):
            report = findings = None
    key = _usable_key(offered) if known.key is None else None
    if known.key is None:
        notes.append("no key is pinned, so signatures were not judged")
    if breaks or forgeries:
        return Brought(
            device=device, breaks=tuple(breaks), forgeries=tuple(forgeries), notes=tuple(notes)
        )
    return Brought(
        device=device,
        new=tuple(r for r in receipts[len(known.lines) :] if r is not None),
        report=report,
        findings=findings,
        key=key,
        notes=tuple(notes),
    )


def _decoded(lines: Sequence[bytes]) -> Iterator[SignedReceipt | None]:
    for line in lines:
        try:
            yield decode_line(line)
        except WireError:
            yield None


def _chain_faults(
    lines: list[bytes], receipts: Sequence[SignedReceipt | None], site: str, device: str
) -> list[str]:
    found = [f"receipt line {f.line}: {f.reason}" for f in faults(lines, None)]
    for number, signed in enumerate(receipts, 1):
        if signed is None:
            continue
        whose = (signed.receipt.site, signed.receipt.device)
        if whose != (site, device):
            found.append(f"receipt line {number}: it is of {whose[0]}/{whose[1]}")
    return found


def _other_past(lines: Sequence[bytes], known: Sequence[bytes]) -> list[str]:
    for number, (here, there) in enumerate(zip(known, lines, strict=False), 1):
        if here.rstrip(b"\n") != there:
            return [f"receipt line {number}: it is not the one that the device reported before"]
    return []


def _report(
    document: bytes | None,
    lines: list[bytes],
    receipts: Sequence[SignedReceipt | None],
    whose: tuple[str, str],
    known: Known,
    breaks: list[str],
    forgeries: list[str],
    notes: list[str],
) -> Report | None:
    """The state, when it is the device's; what is wrong goes into the lists."""
    if document is None:
        notes.append("it left no state, so plans go on from what was known")
        return None
    try:
        found = decode_report(document)
    except WireError as exc:
        breaks.append(f"its state is unreadable: {exc}")
        return None
    if (found.site, found.device) != whose:
        breaks.append(f"its state is of {found.site}/{found.device}")
        return None
    if known.key is not None and found.is_signed and not found.signed_by(known.key):
        forgeries.append("the signature of its state is not the device's")
        return None
    signs = [r.receipt.signing != "unsigned" for r in receipts if r is not None]
    if not found.is_signed and signs and signs[-1]:
        forgeries.append("its state is unsigned, though the device can sign")
        return None
    last = receipts[-1] if receipts else None
    head = GENESIS if last is None else last.receipt.chain_digest
    if (found.seq, found.head) != (len(lines), head):
        breaks.append(
            f"the chain here ends with receipt {len(lines)}, and the device says that its last is"
            f" {found.seq}: what is between is missing"
        )
        return None
    return found


def _is_newer(found: Report, before: bytes | None) -> bool:
    if before is None:
        return True
    try:
        old = decode_report(before)
    except WireError:
        return True
    return (found.seq, found.wall_time) > (old.seq, old.wall_time)


def _usable_key(content: bytes | None) -> str | None:
    if content is None or len(content) > MAX_KEY_BYTES:
        return None
    try:
        text = content.decode("ascii")
        p256.load_public_key(text)
    except (UnicodeDecodeError, ValueError, DeviceError):
        return None
    return text
