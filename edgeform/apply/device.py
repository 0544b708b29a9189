"""The device tool's verbs as typed calls over a transport.

What a device answers is data: bounded, parsed once, its text cleaned of control characters. A device
that says no is a `Refusal` value; a device that cannot be reached raises `DeviceUnreachable`.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edgeform.domain.observed import Unreachability
from edgeform.errors import DeviceBlocked
from edgeform.transport.base import DeviceUnreachable, Finished, Piece, Run, Target
from edgeform_wire import canonical, frames, receipt
from edgeform_wire.errors import WireError

SHOWN_CHARACTERS = 2000
NOT_FOUND_EXIT = 127
"""What a shell answers for a command that is not there."""
_NOT_FOUND = "command not found"


class Runs(Protocol):
    """The half of a transport that runs commands."""

    def run(self, target: Target, command: Run) -> Finished: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The device tool said no, and why."""

    code: str
    exit_code: int
    summary: str
    detail: str
    hint: str

    def __str__(self) -> str:
        return f"{self.summary}: {self.detail}" if self.detail else self.summary


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBlob:
    """A blob the device lacks, and how much of it an interrupted upload already left there."""

    digest: str
    have_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a transaction stands; `outcome` is empty while it runs."""

    phase: str
    outcome: str
    reason: str
    steps: tuple[str, ...]
    receipt: receipt.SignedReceipt | None
    generation: int


class DeviceClient:
    """One device's tool.

    Every method raises DeviceUnreachable when there is no usable answer; methods that can be refused
    return a Refusal instead of their result.
    """

    def __init__(self, transport: Runs, target: Target, prefix: str) -> None:
        self._transport = transport
        self._target = target
        self._tool = f"{prefix}/bin/edgeform-device"

    @property
    def name(self) -> str:
        return self._target.name

    def ask(
        self,
        verb: str,
        *options: str,
        stdin: tuple[Piece, ...] = (),
        timeout_s: float = 60.0,
        new_connection: bool = False,
    ) -> Mapping[str, Any] | Refusal:
        """The answer's fields, or the device's refusal; that there is no tool yet is one, too."""
        command = Run(
            argv=(self._tool, verb, *options),
            stdin=stdin,
            timeout_s=timeout_s,
            new_connection=new_connection,
        )
        try:
            finished = self._transport.run(self._target, command)
        except DeviceUnreachable as exc:
            # sudo itself looks for the command, and says so as if it refused.
            if exc.reason is Unreachability.SUDO and f"{self._tool}: {_NOT_FOUND}" in exc.detail:
                return self._not_enrolled()
            raise
        if finished.exit_code == NOT_FOUND_EXIT and not finished.stdout:
            return self._not_enrolled()
        return read_answer(self.name, verb, finished)

    def _not_enrolled(self) -> Refusal:
        return Refusal(
            code="not_enrolled",
            exit_code=DeviceBlocked.exit_code,
            summary="The device tool is not installed",
            detail=f"There is no {self._tool}.",
            hint=f"Enrol the device:\n    edgeform enroll -l {self.name}",
        )

    def missing(self, digests: Iterable[str]) -> tuple[MissingBlob, ...] | Refusal:
        answer = self.ask("missing", stdin=_json({"blobs": sorted(digests)}))
        if isinstance(answer, Refusal):
            return answer
        try:
            return tuple(
                MissingBlob(digest=str(m["digest"]), have_bytes=int(m["have_bytes"]))
                for m in answer["missing"]
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise _not_agreed(self.name, "missing", str(exc)) from exc

    def ingest(self, pieces: tuple[Piece, ...], *, timeout_s: float) -> Refusal | None:
        """Send frames (made by `blob_frame` and `metadata_frame`); None when all were taken."""
        answer = self.ask("ingest", stdin=pieces, timeout_s=timeout_s)
        return answer if isinstance(answer, Refusal) else None

    def activate(
        self, *, deployment: int, plan_digest: str, who: str, lease_s: float, nonce: str
    ) -> str | Refusal:
        """Start the transaction; its id."""
        answer = self.ask(
            "activate",
            stdin=_json(
                {
                    "deployment": deployment,
                    "plan_digest": plan_digest,
                    "road": "ssh",
                    "who": who,
                    "lease_s": lease_s,
                    "nonce": nonce,
                }
            ),
        )
        return answer if isinstance(answer, Refusal) else self._text(answer, "transaction")

    def rollback(self, *, to: int | None, who: str) -> str | Refusal:
        """Start a transaction back to a kept generation; its id."""
        request: dict[str, Any] = {"who": who} if to is None else {"to": to, "who": who}
        answer = self.ask("rollback", stdin=_json(request))
        return answer if isinstance(answer, Refusal) else self._text(answer, "transaction")

    def status(self, transaction: str, *, wait_s: float) -> Progress | Refusal:
        answer = self.ask(
            "status",
            "--transaction",
            transaction,
            "--wait",
            f"{wait_s:g}",
            timeout_s=wait_s + 30.0,
        )
        if isinstance(answer, Refusal):
            return answer
        return read_progress(self.name, answer)

    def confirm(self, *, transaction: str, nonce: str) -> Mapping[str, Any] | Refusal:
        """Confirm over a NEW connection: what is proven is the road, not only the service."""
        return self.ask(
            "confirm",
            stdin=_json({"transaction": transaction, "nonce": nonce}),
            new_connection=True,
        )

    def receipts(self, since: int) -> tuple[receipt.SignedReceipt, ...] | Refusal:
        answer = self.ask("receipts", "--since", str(since))
        if isinstance(answer, Refusal):
            return answer
        try:
            return tuple(
                receipt.decode_line(str(line).encode()) for line in answer.get("receipts", ())
            )
        except (WireError, TypeError) as exc:
            raise _not_agreed(self.name, "receipts", str(exc)) from exc

    def put_secret(self, name: str, value: bytes, hmac: str) -> Refusal | None:
        """Deliver a value on standard input; `hmac` is what the plan knows it by, and no secret."""
        answer = self.ask("secret", "put", name, "--hmac", hmac, stdin=(value,))
        return answer if isinstance(answer, Refusal) else None

    def _text(self, answer: Mapping[str, Any], field: str) -> str:
        value = answer.get(field)
        if not isinstance(value, str):
            raise _not_agreed(self.name, field, repr(value)[:80])
        return value


def blob_head(digest: str, *, offset: int, length: int, size_bytes: int) -> bytes:
    """The bytes before `length` bytes of a blob, from `offset`, in an `ingest` stream."""
    return frames.head({"blob": digest, "offset": offset, "size_bytes": size_bytes}, length)


def metadata_frame(name: str, content: bytes) -> tuple[bytes, bytes]:
    return frames.head({"metadata": name}, len(content)), content


def read_answer(device: str, verb: str, finished: Finished) -> Mapping[str, Any] | Refusal:
    """The JSON object a verb printed.

    Raises:
        DeviceUnreachable: (protocol) anything but the agreed form, with what was on stderr.
    """
    try:
        answer = canonical.decode(finished.stdout, f"answer to {verb}")
        if not isinstance(answer, dict):
            raise WireError("not an object")
    except WireError as exc:
        said = shown(finished.stderr.decode("utf-8", "replace"))[-400:]
        raise _not_agreed(
            device, verb, f"{exc}; exit {finished.exit_code}; it said: {said}"
        ) from exc
    if answer.pop("ok", None) is True:
        return answer
    error = answer.get("error")
    fields = error if isinstance(error, dict) else {}
    return Refusal(
        code=shown(str(fields.get("code", "internal"))),
        exit_code=finished.exit_code or 1,
        summary=shown(str(fields.get("summary", "the device tool failed without saying why"))),
        detail=shown(str(fields.get("detail", ""))),
        hint=shown(str(fields.get("hint", ""))),
    )


def read_progress(device: str, answer: Mapping[str, Any]) -> Progress:
    """A transaction's progress from the answer of `status`."""
    try:
        line = answer.get("receipt")
        return Progress(
            phase=shown(str(answer["phase"])),
            outcome=shown(str(answer.get("outcome") or "")),
            reason=shown(str(answer.get("reason") or "")),
            steps=tuple(
                shown(str(s.get("step", s) if isinstance(s, dict) else s))
                for s in answer.get("steps", ())
            ),
            receipt=None if line is None else _receipt(line),
            generation=int(answer.get("generation") or 0),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _not_agreed(device, "status", str(exc)) from exc


def shown(text: str) -> str:
    """A device's text made safe to print: no control characters, bounded."""
    clean = "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else "�" for c in text)
    return clean if len(clean) <= SHOWN_CHARACTERS else clean[:SHOWN_CHARACTERS] + "…"


def _step(entry: Any) -> str:
    return shown(str(entry.get("step", "") if isinstance(entry, dict) else entry))


def _receipt(value: Any) -> receipt.SignedReceipt:
    """A receipt as `status` tells it; its signature comes with `receipts`."""
    return receipt.SignedReceipt(receipt=receipt.from_json(value), signature=None)


def _json(value: Mapping[str, Any]) -> tuple[bytes]:
    return (canonical.encode(dict(value)),)


def _not_agreed(device: str, what: str, detail: str) -> DeviceUnreachable:
    return DeviceUnreachable(
        device,
        Unreachability.PROTOCOL,
        f"{what}: the device's answer has not the agreed form ({detail})",
        hint="Is another program's output in the way? Try:\n    edgeform doctor -l " + device,
    )
