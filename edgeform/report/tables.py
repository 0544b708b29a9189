"""Results as aligned text: the same columns everywhere, readable with grep and awk."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeform.domain.names import short
from edgeform.domain.observed import Observation, Observed, Unobserved
from edgeform.domain.quantities import show_seconds
from edgeform.report.clean import one_line
from edgeform_wire.receipt import Receipt, SignedReceipt

GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    title: str
    right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRow:
    """A generation that a device keeps; `state` is current, committed, kept or failed."""

    number: int
    digest: str
    state: str
    deployment: int
    road: str
    wall_time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a doctor found: `state` is ok, missing, wrong or skipped."""

    name: str
    state: str
    detail: str = ""
    hint: str = ""


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns under their titles; the last one is never padded. No rows: titles only."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(len(row[n]) for row in [titles, *cells]) for n in range(len(columns))]
    lines = []
    for row in [titles, *cells]:
        padded = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        lines.append(GAP.join(padded).rstrip())
    return "\n".join(lines) + "\n"


def status_table(observations: Iterable[Observation]) -> str:
    """One line per device: what it runs, whether it is healthy, what is the matter."""
    columns = (
        Column(title="DEVICE"),
        Column(title="STATE"),
        Column(title="GEN", right=True),
        Column(title="DIGEST"),
        Column(title="PIPELINES"),
        Column(title="TOOL"),
        Column(title="DETAIL"),
    )
    return table(columns, [_status_row(observation) for observation in observations])


def generations_table(rows: Iterable[GenerationRow]) -> str:
    columns = (
        Column(title="GEN", right=True),
        Column(title="STATE"),
        Column(title="DIGEST"),
        Column(title="DEPLOYMENT", right=True),
        Column(title="ROAD"),
        Column(title="WHEN"),
    )
    return table(
        columns,
        [
            (str(r.number), r.state, short(r.digest), str(r.deployment), r.road, r.wall_time)
            for r in rows
        ],
    )


def receipts_table(receipts: Iterable[SignedReceipt]) -> str:
    """One line per receipt, in the order of the chain; how well it is signed stands beside it."""
    columns = (
        Column(title="SEQ", right=True),
        Column(title="WHEN"),
        Column(title="RESULT"),
        Column(title="GEN"),
        Column(title="DIGEST"),
        Column(title="CHECKS"),
        Column(title="TOOK", right=True),
        Column(title="SIGNED"),
        Column(title="REASON"),
    )
    return table(columns, [_receipt_row(signed) for signed in receipts])


def doctor_table(findings: Iterable[Finding]) -> str:
    """One line per finding; what to do stands on a line of its own below it."""
    findings = tuple(findings)
    columns = (Column(title="WHAT"), Column(title="STATE"), Column(title="DETAIL"))
    head, *lines = table(columns, [(f.name, f.state, f.detail) for f in findings]).splitlines()
    shown = [head]
    for finding, line in zip(findings, lines, strict=True):
        shown.append(line)
        if finding.hint and finding.state not in ("ok", "skipped"):
            shown += [f"    {hint}" for hint in finding.hint.splitlines()]
    return "\n".join(shown) + "\n"


def _status_row(observation: Observation) -> tuple[str, ...]:
    match observation:
        case Unobserved():
            return (
                observation.device,
                str(observation.reason),
                "-",
                "-",
                "-",
                "-",
                observation.detail,
            )
        case Observed():
            tool = observation.tool.version if observation.tool is not None else "-"
            pipelines = " ".join(f"{h.name}={h.state}" for h in observation.health) or "-"
            return (
                observation.device,
                state_of(observation),
                str(observation.current or "-"),
                short(observation.generation_digest or ""),
                pipelines,
                tool,
                _detail(observation),
            )


def state_of(seen: Observed) -> str:
    """One word for a device that answered."""
    if seen.needs_hands:
        return "needs-hands"
    if seen.transaction is not None:
        return "busy"
    if seen.tool is None:
        return "new"
    if any(h.state in ("failed", "stopped") for h in seen.health):
        return "unhealthy"
    return "drifted" if seen.drift else "healthy" if seen.current else "empty"


def _detail(seen: Observed) -> str:
    if seen.needs_hands:
        return seen.needs_hands
    if seen.transaction is not None:
        return f"{seen.transaction.phase} for {seen.transaction.who} until {seen.transaction.until}"
    parts = [h.detail for h in seen.health if h.detail and h.state != "active"]
    if seen.drift:
        parts.append(", ".join(drift.path for drift in seen.drift[:3]))
    parts += seen.worries
    return "; ".join(parts)


def _receipt_row(signed: SignedReceipt) -> tuple[str, ...]:
    receipt = signed.receipt
    return (
        str(receipt.seq),
        receipt.wall_time,
        receipt.result,
        f"{receipt.from_generation}>{receipt.to_generation}",
        short(receipt.digest),
        _verdicts(receipt),
        show_seconds(sum(receipt.seconds.values())),
        receipt.signing if signed.signature is not None else "unsigned",
        receipt.reason,
    )


def _verdicts(receipt: Receipt) -> str:
    if not receipt.checks:
        return "-"
    passed = sum(check.verdict == "pass" for check in receipt.checks)
    return f"{passed}/{len(receipt.checks)}"
