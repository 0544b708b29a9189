"""One device back to a generation it keeps: asked once, then only watched. The device decides."""

from collections.abc import Callable
from dataclasses import dataclass

from edgeform import events
from edgeform.apply.device import DeviceClient, Progress, Refusal
from edgeform.apply.outcome import (
    Committed,
    Dark,
    Helpless,
    Outcome,
    Pending,
    Refused,
    TurnedBack,
)
from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable

POLL_S = 10.0
RECONNECT_FIRST_S = 0.2
RECONNECT_MOST_S = 5.0
NOT_SENT = (
    Unreachability.CONNECT,
    Unreachability.HOST_KEY,
    Unreachability.AUTHENTICATION,
    Unreachability.SUDO,
    Unreachability.OFFLINE,
)
"""Without any of these no command ran; after another loss it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Which device shall go back, from where to where.

    Args:
        wait_s: how long to watch; the device's own deadline is over by then.
    """

    device: str
    from_generation: int
    to_generation: int
    who: str
    wait_s: float


def turn_back(
    wish: Return,
    client: DeviceClient,
    listener: events.Listener,
    *,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
) -> Outcome:
    """How the return ended. Never raises for what a device does or does not.

    The request is sent once: after a lost answer nobody here knows whether it was heard.
    """
    began = monotonic()
    try:
        transaction = client.rollback(to=wish.to_generation, who=wish.who)
    except DeviceUnreachable as exc:
        detail = f"{exc.reason}: {exc.detail}"
        if exc.reason in NOT_SENT:
            return Pending(device=wish.device, detail=detail, hint=exc.hint)
        return _dark(wish, f"asked to return, no answer ({detail})")
    if isinstance(transaction, Refusal):
        return _refused(wish, transaction)
    last, pause, seen = "", RECONNECT_FIRST_S, 0
    while monotonic() - began < wish.wait_s:
        try:
            progress = client.status(transaction, wait_s=POLL_S)
        except DeviceUnreachable as exc:
            last = f"{exc.reason}: {exc.detail}"
            sleep(pause)
            pause = min(RECONNECT_MOST_S, pause * 2)
            continue
        pause = RECONNECT_FIRST_S
        if isinstance(progress, Refusal):
            return _refused(wish, progress)
        for step in progress.steps[seen:]:
            listener(events.StepStarted(device=wish.device, step=step))
        seen = max(seen, len(progress.steps))
        if progress.outcome:
            return _ended(wish, progress, monotonic() - began)
    return _dark(wish, f"silent since its transaction {transaction} began ({last or 'no outcome'})")


def _ended(wish: Return, progress: Progress, seconds: float) -> Outcome:
    receipt = progress.receipt.receipt if progress.receipt else None
    reason = progress.reason or (receipt.reason if receipt else "")
    match progress.outcome:
        case "committed":
            return Committed(
                device=wish.device,
                from_generation=wish.from_generation,
                to_generation=wish.to_generation,
                receipt=progress.receipt,
                seconds=seconds,
            )
        case "rolled_back":
            return TurnedBack(
                device=wish.device,
                from_generation=wish.to_generation,
                to_generation=wish.from_generation,
                reason=reason,
                receipt=progress.receipt,
            )
        case "refused" | "held" as code:
            return Refused(
                device=wish.device,
                code=code,
                exit_code=5 if code == "held" else 3,
                detail=reason,
                hint="Nothing was switched.",
            )
        case other:
            return Helpless(
                device=wish.device,
                detail=reason or f"the device reports {other!r}",
                hint=f"Look at it by hand:\n    edgeform logs {wish.device}\n"
                f"    edgeform doctor -l {wish.device}",
            )


def _refused(wish: Return, refusal: Refusal) -> Outcome:
    if refusal.code == "needs_hands":
        return Helpless(device=wish.device, detail=str(refusal), hint=refusal.hint)
    return Refused(
        device=wish.device,
        code=refusal.code,
        exit_code=refusal.exit_code,
        detail=str(refusal),
        hint=refusal.hint,
    )


def _dark(wish: Return, detail: str) -> Dark:
    return Dark(
        device=wish.device,
        detail=detail,
        hint="It decides by its own deadline. When it answers again:\n"
        f"    edgeform status {wish.device}",
    )
