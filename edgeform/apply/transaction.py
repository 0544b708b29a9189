"""One device, from the first byte to its receipt. The device decides; this only carries and watches.

Losing the connection at any point changes nothing on the device: before `activate` nothing was touched,
after it the device goes on alone, and this side reconnects until the device's own deadline is over.
"""

import secrets as randomness
from collections.abc import Callable
from dataclasses import dataclass

from edgeform import events
from edgeform.apply.device import DeviceClient, Progress, Refusal
from edgeform.apply.enrolment import Enrolled, enrol, install_tool
from edgeform.apply.outcome import (
    Committed,
    Dark,
    Helpless,
    Outcome,
    Pending,
    Refused,
    TurnedBack,
)
from edgeform.apply.shipment import Shipment, Tool, loads
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import SecretRef
from edgeform.errors import Corrupt, NotTrusted
from edgeform.secrets.value import SecretValue
from edgeform.transport.base import DeviceUnreachable, Target, Transport

POLL_S = 10.0
RECONNECT_FIRST_S = 0.2
RECONNECT_MOST_S = 5.0
UPLOAD_ATTEMPTS = 5
UNREADABLE_ANSWERS = 10
"""A tool that keeps answering in another form will not learn ours; a damaged answer is one of these."""
AWAIT_CONFIRM = "await_confirm"
"""The phase in which the device waits for a confirmation over a new connection."""
RETRIED = (Unreachability.CONNECT, Unreachability.TIMEOUT, Unreachability.PROTOCOL)
"""Losses worth another attempt: a wrong key or password will not become right by itself."""
SLOWEST_LINK_BYTES_S = 8_000
"""A load's time limit allows for a link this slow; the transport notices a silent one earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a transaction needs from the world around it.

    Args:
        resolve: a secret's value, asked for at the moment it is sent.
        monotonic, sleep: the clock, as arguments.
        touched: called before the device is asked to act, and again with its transaction.
        enrolled: called when a device was enrolled on the way; NotTrusted from it ends the turn.
        prove: raises Corrupt for a digest whose stored bytes are damaged.
        stopping: whether the operator asked to stop before new devices are touched.
    """

    transport: Transport
    listener: events.Listener
    resolve: Callable[[SecretRef], SecretValue]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    touched: Callable[[str, str | None], None]
    enrolled: Callable[[str, Enrolled], None]
    who: str
    prove: Callable[[str], object] = lambda _digest: None


def carry(shipment: Shipment, target: Target, means: Means) -> Outcome:
    """Deliver, activate, watch, confirm. Never raises for what a device does or does not."""
    return _Turn(shipment, target, means).run()


class _Turn:
    def __init__(self, shipment: Shipment, target: Target, means: Means) -> None:
        self._shipment = shipment
        self._target = target
        self._means = means
        self._client = DeviceClient(means.transport, target, shipment.prefix)
        self._began = means.monotonic()
        self._seen = 0

    def run(self) -> Outcome:
        try:
            refusal = self._deliver()
        except DeviceUnreachable as exc:
            return self._unreachable(exc)
        if refusal is not None:
            return self._refused(refusal)
        nonce = randomness.token_hex(16)
        self._means.touched(self._shipment.device, None)
        until = self._means.monotonic() + self._shipment.wait_s
        transaction = self._activate(nonce, until)
        if not isinstance(transaction, str):
            return transaction
        self._means.touched(self._shipment.device, transaction)
        return self._watch(transaction, nonce, until)

    def _activate(self, nonce: str, until: float) -> str | Outcome:
        """The transaction's id. Asked again after a lost answer: one nonce is one transaction."""
        pause = RECONNECT_FIRST_S
        while True:
            try:
                answer = self._client.activate(
                    deployment=self._shipment.number,
                    plan_digest=self._shipment.plan_digest,
                    who=self._means.who,
                    lease_s=self._shipment.wait_s,
                    nonce=nonce,
                )
            except DeviceUnreachable as exc:
                if self._means.monotonic() >= until:
                    return self._dark(f"asked to activate, no answer ({exc.reason}: {exc.detail})")
                pause = self._lost(pause)
                continue
            return self._refused(answer) if isinstance(answer, Refusal) else answer

    def _lost(self, pause: float) -> float:
        """Say, once for each loss, that the connection is gone; wait, and give the next wait."""
        if pause == RECONNECT_FIRST_S:
            text = "connection lost; what the device has begun it goes on with alone; reconnecting"
            self._means.listener(events.Note(device=self._shipment.device, text=text))
        self._means.sleep(pause)
        return min(RECONNECT_MOST_S, pause * 2)

    def _dark(self, detail: str) -> Dark:
        return Dark(
            device=self._shipment.device,
            detail=detail,
            hint="It decides by its own deadline. When it answers again:\n"
            f"    edgeform status -l {self._shipment.device}",
        )

    def _deliver(self) -> Refusal | None:
        if self._shipment.tool is not None:
            refusal = self._install(self._shipment.tool)
            if refusal is not None:
                return refusal
        for name, reference, hmac in self._shipment.secrets:
            value = self._means.resolve(reference)
            refusal = self._client.put_secret(name, value.reveal(), hmac)
            if refusal is not None:
                return refusal
        return self._upload()

    def _install(self, tool: Tool) -> Refusal | None:
        self._step_begins("install the device tool")
        refusal = install_tool(
            self._means.transport, self._target, self._shipment.prefix, tool.path, tool.digest
        )
        if refusal is not None:
            return refusal
        answer = enrol(self._client, site=self._shipment.site, root=tool.root)
        if isinstance(answer, Refusal):
            return answer
        try:
            self._means.enrolled(self._shipment.device, answer)
        except NotTrusted as exc:
            return Refusal(
                code="not_trusted",
                exit_code=exc.exit_code,
                summary=exc.summary,
                detail=exc.detail,
                hint=exc.hint,
            )
        return None

    def _upload(self) -> Refusal | None:
        pause = RECONNECT_FIRST_S
        for attempt in range(UPLOAD_ATTEMPTS):
            try:
                return self._upload_missing()
            except DeviceUnreachable as exc:
                if exc.reason not in RETRIED or attempt == UPLOAD_ATTEMPTS - 1:
                    raise
                pause = self._lost(pause)
        raise AssertionError(UPLOAD_ATTEMPTS)

    def _upload_missing(self) -> Refusal | None:
        missing = self._client.missing(b.digest for b in self._shipment.blobs)
        if isinstance(missing, Refusal):
            return missing
        try:
            for wanted in missing:
                self._means.prove(wanted.digest)
        except Corrupt as exc:
            return Refusal(
                code="corrupt",
                exit_code=exc.exit_code,
                summary=exc.detail,
                detail="No byte of it was sent.",
                hint=exc.hint,
            )
        sizes = {b.digest: b.size_bytes for b in self._shipment.blobs}
        total = sum(max(0, sizes[m.digest] - m.have_bytes) for m in missing)
        sent = 0
        for pieces, carried in loads(self._shipment, missing):
            refusal = self._client.ingest(pieces, timeout_s=60.0 + carried / SLOWEST_LINK_BYTES_S)
            if refusal is not None:
                return refusal
            sent += carried
            self._means.listener(
                events.TransferProgress(
                    device=self._shipment.device, sent_bytes=sent, total_bytes=total
                )
            )
        return None

    def _watch(self, transaction: str, nonce: str, until: float) -> Outcome:
        """Follow the transaction until it has an outcome or its time is over."""
        pause = RECONNECT_FIRST_S
        confirmed = False
        unreadable = 0
        last = "no outcome in time"
        while self._means.monotonic() < until and unreadable < UNREADABLE_ANSWERS:
            try:
                progress = self._client.status(transaction, wait_s=POLL_S)
                if isinstance(progress, Refusal):
                    return self._refused(progress)
                pause, unreadable = RECONNECT_FIRST_S, 0
                self._tell_steps(progress)
                if progress.outcome:
                    return self._ended(progress)
                if progress.phase == AWAIT_CONFIRM and not confirmed:
                    # Refused here means that the guard was faster: the next status tells the outcome.
                    confirmed = not isinstance(
                        self._client.confirm(transaction=transaction, nonce=nonce), Refusal
                    )
            except DeviceUnreachable as exc:
                last = f"{exc.reason}: {exc.detail}"
                unreadable += exc.reason is Unreachability.PROTOCOL
                pause = self._lost(pause)
        return self._dark(f"its transaction {transaction} began, and then: {last}")

    def _ended(self, progress: Progress) -> Outcome:
        device = self._shipment.device
        found = progress.receipt.receipt if progress.receipt else None
        for check in found.checks if found else ():
            self._means.listener(
                events.CheckFinished(
                    device=device,
                    pipeline=check.pipeline,
                    check=check.name,
                    verdict=check.verdict,
                    detail=check.detail,
                )
            )
        reason = progress.reason or (found.reason if found else "")
        match progress.outcome:
            case "committed":
                return Committed(
                    device=device,
                    from_generation=self._shipment.from_generation,
                    to_generation=found.to_generation if found else progress.generation,
                    receipt=progress.receipt,
                    seconds=self._means.monotonic() - self._began,
                )
            case "rolled_back":
                return TurnedBack(
                    device=device,
                    from_generation=found.to_generation if found else 0,
                    to_generation=self._shipment.from_generation,
                    reason=reason,
                    receipt=progress.receipt,
                )
            case "refused" | "held" as code:
                return Refused(
                    device=device,
                    code=code,
                    exit_code=5 if code == "held" else 3,
                    detail=reason,
                    hint="Nothing was switched.",
                )
            case _:
                return Helpless(
                    device=device,
                    detail=reason or f"the device reports {progress.outcome!r}",
                    hint=f"Look at it by hand:\n    edgeform logs {device}\n    edgeform doctor -l {device}",
                )

    def _tell_steps(self, progress: Progress) -> None:
        for step in progress.steps[self._seen :]:
            self._step_begins(step)
        self._seen = max(self._seen, len(progress.steps))

    def _step_begins(self, step: str) -> None:
        self._means.listener(events.StepStarted(device=self._shipment.device, step=step))

    def _refused(self, refusal: Refusal) -> Outcome:
        if refusal.code == "needs_hands":
            return Helpless(device=self._shipment.device, detail=str(refusal), hint=refusal.hint)
        return Refused(
            device=self._shipment.device,
            code=refusal.code,
            exit_code=refusal.exit_code,
            detail=str(refusal),
            hint=refusal.hint,
        )

    def _unreachable(self, exc: DeviceUnreachable) -> Outcome:
        return Pending(
            device=self._shipment.device,
            detail=f"{exc.reason}: {exc.detail}",
            hint=exc.hint or "Nothing was switched; apply the same plan again later.",
        )
