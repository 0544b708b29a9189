"""What somebody who watches a site sees of each device: one look after the other, rates between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSeen:
    """A pipeline at one look; rates are since the look before and None at the first.

    Args:
        phase: of the runtime, or `silent` when its socket does not answer.
        inferred, dropped, failed: frames since the process began. psi: of the feature that moved most.
    """

    name: str
    phase: str
    generation: int
    model: str
    inferred: int
    dropped: int
    failed: int
    monotonic_s: float
    fps: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    psi: float | None = None
    is_shifted: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSeen:
    """A device that answered at `at` (seconds since the epoch, by the clock here)."""

    device: str
    at: float
    generation: int
    transaction: str
    needs_hands: str
    temperature_c: float | None
    load_1m: float | None
    pipelines: tuple[PipelineSeen, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUnknown:
    """A device that does not answer since `since`; `reason` is one word."""

    device: str
    at: float
    since: float
    reason: str
    detail: str


Look = DeviceSeen | DeviceUnknown


def seen(device: str, answer: Mapping[str, Any], before: Look | None, at: float) -> DeviceSeen:
    """A look made of the answer of `figures`; fields that are not of the agreed kind count as absent."""
    known = {p.name: p for p in before.pipelines} if isinstance(before, DeviceSeen) else {}
    machine = _object(answer.get("machine"))
    entries = answer.get("pipelines")
    return DeviceSeen(
        device=device,
        at=at,
        generation=_count(answer.get("generation")),
        transaction=_text(answer.get("transaction")),
        needs_hands=_text(answer.get("needs_hands")),
        temperature_c=_number(machine.get("temperature_c")),
        load_1m=_number(machine.get("load_1m")),
        pipelines=tuple(
            _pipeline(_object(entry), known)
            for entry in (entries if isinstance(entries, list) else ())
        ),
    )


def unknown(device: str, reason: str, detail: str, before: Look | None, at: float) -> DeviceUnknown:
    """A look that found nobody; since the first of such looks in a row."""
    since = before.since if isinstance(before, DeviceUnknown) else at
    return DeviceUnknown(device=device, at=at, since=since, reason=reason, detail=detail)


def _pipeline(value: Mapping[str, Any], known: Mapping[str, PipelineSeen]) -> PipelineSeen:
    frames, recent = _object(value.get("frames")), _object(value.get("recent"))
    drift = _object(value.get("drift"))
    name = _text(value.get("name"))
    inferred, now = _count(frames.get("inferred")), _number(value.get("monotonic_s")) or 0.0
    return PipelineSeen(
        name=name,
        phase=_text(value.get("phase")),
        generation=_count(value.get("generation")),
        model=_text(value.get("model_ref")),
        inferred=inferred,
        dropped=_count(frames.get("dropped")),
        failed=_count(frames.get("failed")),
        monotonic_s=now,
        fps=_rate(known.get(name), inferred, now),
        p50_ms=_number(recent.get("infer_p50_ms")),
        p95_ms=_number(recent.get("infer_p95_ms")),
        psi=_number(drift.get("psi")),
        is_shifted=drift.get("is_shifted") is True,
        detail=_text(value.get("detail") or value.get("last_error")),
    )


def _rate(before: PipelineSeen | None, inferred: int, now: float) -> float | None:
    """Frames a second since the look before; None when the process or the machine began anew."""
    if before is None or now <= before.monotonic_s or inferred < before.inferred:
        return None
    return (inferred - before.inferred) / (now - before.monotonic_s)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
