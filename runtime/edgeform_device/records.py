"""The state files of a device, typed: what is committed, what is undecided, what is held, and who works.

Each file is one canonical JSON object with a format number. A tool reads its own format and the one
before; the one after means that a newer tool wrote it, and is refused instead of guessed at.
"""

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Optional, Tuple, TypeVar

from edgeform_device.durable import Disk
from edgeform_device.errors import Corrupt
from edgeform_device.layout import Layout
from edgeform_wire import canonical, deployment
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

FORMAT = 1
"""Raise it only together with a reader for the old one; a new tool writes the OLD format until a boot
has recovered with it, because the old tool must still be able to take over."""
FORMATS_READ = tuple(n for n in (FORMAT - 1, FORMAT) if n > 0)
HISTORY_LENGTH = 8
_PRIVATE = 0o600

T = TypeVar("T")


@dataclass(frozen=True)
class Committed:
    """The generation the device returns to, whatever happens.

    Args:
        history: generations committed before, the newest first.
    """

    generation: int
    digest: str
    deployment: int
    transaction: str
    history: Tuple[int, ...] = ()

    def followed_by(self, newer: "Committed") -> "Committed":
        """The newer record, with this one remembered in its history."""
        kept = tuple(n for n in (self.generation, *self.history) if n != newer.generation)
        return replace(newer, history=kept[:HISTORY_LENGTH])


@dataclass(frozen=True)
class Txn:
    """A transaction that has begun to switch. Written once and never changed, so that the one rename
    which decides it cannot be undone by somebody who writes it again.

    Args:
        from_generation, from_digest: what to return to; 0 and None on a device without one.
        plan_digest, road, who: for the receipt.
        confirm, confirm_s, nonce: who decides, how long to wait, and the secret that proves it.
        boots_left: how many boots a plan that reboots gets; counted down in `Attempt`.
        boot_id, deadline_s: the boot that armed it, and its CLOCK_BOOTTIME at which the guard reverts.
    """

    id: str
    from_generation: int
    from_digest: Optional[str]
    to_generation: int
    to_digest: str
    deployment: int
    plan_digest: str
    road: str
    who: str
    phase: str
    confirm: str
    confirm_s: float
    soak_s: float
    window_s: float
    nonce: str
    reboot_required: bool
    boots_left: int
    boot_id: str
    deadline_s: float


@dataclass(frozen=True)
class Attempt:
    """One more boot spent on a transaction that needed a reboot, written before the try."""

    transaction: str
    boot_id: str
    boots_left: int
    deadline_s: float


@dataclass(frozen=True)
class Lease:
    """Who works on this device, on what, until when. One of another boot is dead.

    Args:
        fence: the number that was issued with it; a lower one is refused.
        pid: of the working process; 0 until it has started.
        since_s, until_s: CLOCK_BOOTTIME.
    """

    transaction: str
    who: str
    plan_digest: str
    fence: int
    boot_id: str
    since_s: float
    until_s: float
    pid: int


@dataclass(frozen=True)
class Order:
    """What a detached transaction shall do: bring a deployment, or return to a kept generation.

    Exactly one of `deployment` and `generation` is not zero.
    """

    transaction: str
    fence: int
    deployment: int
    generation: int
    plan_digest: str
    road: str
    who: str
    nonce: str


@dataclass(frozen=True)
class Quarantined:
    """Why a generation digest is held, and which generation directory is kept as evidence."""

    reason: str
    when: str
    transaction: str
    generation: int


@dataclass(frozen=True)
class NeedsHandsRecord:
    """A person is needed: neither the new nor the old generation is healthy."""

    transaction: str
    reason: str
    when: str


class State:
    """The state files of one prefix, read and written whole.

    Raises:
        Corrupt: a file is there and cannot be understood; nothing is guessed.
    """

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk = disk
        self._layout = layout

    def committed(self) -> Optional[Committed]:
        return self._read(self._layout.committed, _committed)

    def write_committed(self, record: Committed) -> None:
        self._write(self._layout.committed, dict(vars(record), history=list(record.history)))

    def txn(self) -> Optional[Txn]:
        """The undecided transaction."""
        return self._read(self._layout.txn, _txn)

    def committing(self) -> Optional[Txn]:
        """The transaction that was decided for, and is not finished."""
        return self._read(self._layout.txn_commit, _txn)

    def reverting(self) -> Optional[Txn]:
        """The transaction that was decided against, and is not finished."""
        return self._read(self._layout.txn_revert, _txn)

    def write_txn(self, record: Txn) -> None:
        self._write(self._layout.txn, dict(vars(record)), _PRIVATE)

    def attempt(self) -> Optional[Attempt]:
        return self._read(self._layout.attempt, _attempt)

    def write_attempt(self, record: Attempt) -> None:
        self._write(self._layout.attempt, dict(vars(record)))

    def lease(self) -> Optional[Lease]:
        return self._read(self._layout.lease, _lease)

    def write_lease(self, record: Lease) -> None:
        self._write(self._layout.lease, dict(vars(record)))

    def order(self) -> Optional[Order]:
        return self._read(self._layout.order, _order)

    def write_order(self, record: Order) -> None:
        self._write(self._layout.order, dict(vars(record)), _PRIVATE)

    def fence(self) -> int:
        """The highest fence ever issued here."""
        return self._read(self._layout.fence, lambda f: f.integer("number")) or 0

    def write_fence(self, number: int) -> None:
        self._write(self._layout.fence, {"number": number})

    def floor(self) -> Dict[str, int]:
        """The lowest epoch that may still be installed, by `<kind>/<name>` of the artifact."""
        return self._read(self._layout.floor, _epochs) or {}

    def write_floor(self, epochs: Dict[str, int]) -> None:
        self._write(self._layout.floor, {"epochs": epochs})

    def quarantine(self) -> Dict[str, Quarantined]:
        """The generation digests that failed here, and why."""
        return self._read(self._layout.quarantine, _held) or {}

    def write_quarantine(self, held: Dict[str, Quarantined]) -> None:
        value = {digest: dict(vars(entry)) for digest, entry in held.items()}
        self._write(self._layout.quarantine, {"held": value})

    def needs_hands(self) -> Optional[NeedsHandsRecord]:
        return self._read(self._layout.needs_hands, _needs_hands)

    def write_needs_hands(self, record: NeedsHandsRecord) -> None:
        self._write(self._layout.needs_hands, dict(vars(record)))

    def _read(self, path: str, parse: Callable[[Fields], T]) -> Optional[T]:
        content = self._disk.read(path)
        if content is None:
            return None
        try:
            fields = Fields(canonical.decode(content, path), path)
            found_format = fields.integer("format", minimum=1)
            if found_format > FORMAT:
                raise WireError(f"{path}: format {found_format} is of a newer tool")
            if found_format not in FORMATS_READ:
                raise WireError(f"{path}: format {found_format} is too old for this tool")
            record = parse(fields)
            fields.done()
        except WireError as exc:
            raise Corrupt(
                "A state file of this device cannot be read.",
                str(exc),
                "Keep the file for analysis and run `edgeform-device recover --dry-run`.",
            ) from exc
        return record

    def _write(self, path: str, value: Dict[str, Any], mode: int = 0o644) -> None:
        self._disk.write_file(path, canonical.encode(dict(value, format=FORMAT)), mode)


def _committed(fields: Fields) -> Committed:
    return Committed(
        generation=fields.integer("generation", minimum=1),
        digest=fields.digest("digest"),
        deployment=fields.integer("deployment"),
        transaction=fields.text("transaction"),
        history=fields.each("history", _generation_number),
    )


def _generation_number(value: Any, what: str) -> int:
    if type(value) is not int or value < 1:
        raise WireError(f"{what}: {value!r:.40} is not a generation")
    return value


def _txn(fields: Fields) -> Txn:
    return Txn(
        id=fields.text("id"),
        from_generation=fields.integer("from_generation"),
        from_digest=fields.optional_digest("from_digest"),
        to_generation=fields.integer("to_generation", minimum=1),
        to_digest=fields.digest("to_digest"),
        deployment=fields.integer("deployment"),
        plan_digest=fields.digest("plan_digest"),
        road=fields.text("road"),
        who=fields.text("who"),
        phase=fields.text("phase"),
        confirm=fields.choice("confirm", deployment.CONFIRM),
        confirm_s=fields.number("confirm_s"),
        soak_s=fields.number("soak_s"),
        window_s=fields.number("window_s"),
        nonce=fields.text("nonce"),
        reboot_required=fields.boolean("reboot_required"),
        boots_left=fields.integer("boots_left"),
        boot_id=fields.text("boot_id"),
        deadline_s=fields.number("deadline_s"),
    )


def _attempt(fields: Fields) -> Attempt:
    return Attempt(
        transaction=fields.text("transaction"),
        boot_id=fields.text("boot_id"),
        boots_left=fields.integer("boots_left"),
        deadline_s=fields.number("deadline_s"),
    )


def _lease(fields: Fields) -> Lease:
    return Lease(
        transaction=fields.text("transaction"),
        who=fields.text("who"),
        plan_digest=fields.digest("plan_digest"),
        fence=fields.integer("fence"),
        boot_id=fields.text("boot_id"),
        since_s=fields.number("since_s"),
        until_s=fields.number("until_s"),
        pid=fields.integer("pid"),
    )


def _order(fields: Fields) -> Order:
    return Order(
        transaction=fields.text("transaction"),
        fence=fields.integer("fence"),
        deployment=fields.integer("deployment"),
        generation=fields.integer("generation"),
        plan_digest=fields.digest("plan_digest"),
        road=fields.text("road"),
        who=fields.text("who"),
        nonce=fields.text("nonce"),
    )


def _epochs(fields: Fields) -> Dict[str, int]:
    found = fields.object("epochs")
    epochs = Fields(found, "floor.epochs")
    return {name: epochs.integer(name) for name in found}


def _held(fields: Fields) -> Dict[str, Quarantined]:
    found = fields.object("held")
    held = Fields(found, "quarantine.held")
    return {digest: _quarantined(held.object(digest)) for digest in found}


def _quarantined(value: Dict[str, Any]) -> Quarantined:
    fields = Fields(value, "quarantine entry")
    found = Quarantined(
        reason=fields.text("reason"),
        when=fields.text("when"),
        transaction=fields.text("transaction"),
        generation=fields.integer("generation"),
    )
    fields.done()
    return found


def _needs_hands(fields: Fields) -> NeedsHandsRecord:
    return NeedsHandsRecord(
        transaction=fields.text("transaction"),
        reason=fields.text("reason"),
        when=fields.text("when"),
    )
