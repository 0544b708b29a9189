"""One device's driver tuple: saved, changed, verified, and undone when it does not verify.

A transaction of its own, before any generation. It is not atomic, and nobody pretends that it is: the
plan says `undo: packages` or `undo: none`, and this module does what the plan said.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, assert_never

from edgeform import events
from edgeform.domain.drivers import DriverTuple, VendorRole
from edgeform.domain.observed import Facts
from edgeform.drivers.undo import Saved, prepare
from edgeform.transport.base import (
    DeviceUnreachable,
    Finished,
    ProvisionStep,
    Run,
    Target,
    Transport,
)

COMMAND_S = 300.0
VERIFY_S = 60.0
REBOOT_S = 300.0
REBOOT_POLL_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The tuple is in place and its verification command exited 0."""

    device: str
    changed_steps: int
    rebooted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """It did not verify; what was there before is there again and verified as far as it can be."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """It did not verify, and the way back failed too: somebody has to look."""

    device: str
    reason: str
    undo_failed: tuple[str, ...]


DriverOutcome = Changed | Undone | Stuck


class PlaysRoles(Protocol):
    """Whoever can run a vendor role on a device; what it does there nobody can foresee."""

    def __call__(
        self, target: Target, role: VendorRole, on_step: Callable[[ProvisionStep], None], /
    ) -> str:
        """Why the role failed; empty when it ended well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a driver change happens: the way to the device, who plays roles, who listens, the clock."""

    transport: Transport
    play_role: PlaysRoles
    listener: events.Listener
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]


def change(
    target: Target, prefix: str, wanted: DriverTuple, facts: Facts, around: Surroundings
) -> DriverOutcome:
    """Bring one device to the tuple.

    Raises:
        DeviceUnreachable: the device went away before anything was changed.
    """
    return _Change(target, wanted, facts, around, prepare(prefix, wanted, facts)).run()


def reason_of(outcome: DriverOutcome) -> str:
    """A sentence for people; empty when all is well."""
    match outcome:
        case Changed():
            return ""
        case Undone():
            return outcome.reason
        case Stuck():
            return f"{outcome.reason}; undo failed: {'; '.join(outcome.undo_failed)}"
        case _:
            assert_never(outcome)


class RoleFailed(Exception):
    """A vendor role did not end well; the sentence says which and why."""


_STAMP = 'mkdir -p "$(dirname "$1")" && cat > "$1.tmp" && mv "$1.tmp" "$1"'


class _Change:
    def __init__(
        self,
        target: Target,
        wanted: DriverTuple,
        facts: Facts,
        around: Surroundings,
        saved: Saved,
    ) -> None:
        self._target = target
        self._wanted = wanted
        self._facts = facts
        self._around = around
        self._saved = saved

    def run(self) -> DriverOutcome:
        self._save()
        try:
            steps = self._around.transport.provision(self._target, self._wanted, self._tell)
            failed = next((s for s in steps if not s.succeeded), None)
            if failed is not None:
                return self._undo(f"{failed.operation} failed: {failed.detail}")
            roles = self._roles()
            changed = sum(s.changed for s in steps) + roles
            is_loaded = roles > 0 or any(s.changed and s.is_loaded for s in steps)
            rebooted = self._wanted.reboot and is_loaded and self._reboot()
            reason = self._verify()
        except DeviceUnreachable as exc:
            return self._undo(f"the device went away: {exc.detail}")
        except RoleFailed as exc:
            return self._undo(str(exc))
        if reason:
            return self._undo(reason)
        return Changed(device=self._target.name, changed_steps=changed, rebooted=rebooted)

    def _save(self) -> None:
        for command in self._saved.save:
            finished = self._run(command)
            if finished.exit_code and command in self._saved.optional:
                self._note(f"{command[-1]} could not be saved and will not be put back by an undo")

    def _roles(self) -> int:
        """Run the vendor roles whose stamp is not there; how many there were.

        Raises:
            RoleFailed: one did not end well.
        """
        files = dict(self._facts.files)
        wanted = [r for r in self._wanted.vendor_roles if files.get(r.stamp_path) != r.stamp_digest]
        for role in wanted:
            reason = self._around.play_role(self._target, role, self._tell)
            if reason:
                raise RoleFailed(f"vendor role {role.name}: {reason}")
            stamp = Run(
                argv=("sh", "-c", _STAMP, "stamp", role.stamp_path), stdin=(role.stamp.encode(),)
            )
            self._around.transport.run(self._target, stamp)
        return len(wanted)

    def _verify(self) -> str:
        """Why the tuple does not verify; empty if it does or there is nothing to ask."""
        if self._wanted.verify is None:
            return ""
        finished = self._run(self._wanted.verify, timeout_s=VERIFY_S)
        if finished.exit_code == 0:
            return ""
        said = (finished.stderr or finished.stdout).decode("utf-8", "replace").strip()[-300:]
        return f"verification {' '.join(self._wanted.verify)!r} exited {finished.exit_code}: {said}"

    def _undo(self, reason: str) -> DriverOutcome:
        failures = [*self._saved.cannot]
        for command in self._saved.restore:
            try:
                finished = self._run(command)
            except DeviceUnreachable as exc:
                failures.append(f"{command[0]}: {exc.detail}")
                break
            if finished.exit_code:
                said = finished.stderr.decode("utf-8", "replace").strip()[-200:]
                failures.append(f"{' '.join(command[:2])}: exit {finished.exit_code}: {said}")
        if failures:
            return Stuck(device=self._target.name, reason=reason, undo_failed=tuple(failures))
        return Undone(device=self._target.name, reason=reason)

    def _reboot(self) -> bool:
        """Reboot, and come back only when another boot answers.

        Raises:
            DeviceUnreachable: it did not come back within REBOOT_S.
        """
        self._note("rebooting")
        with suppress(DeviceUnreachable):  # its answer may be lost with it: the boot id tells
            self._run(("systemctl", "reboot"))
        until = self._around.monotonic() + REBOOT_S
        while True:
            self._around.sleep(REBOOT_POLL_S)
            try:
                boot = Run(
                    argv=("cat", "/proc/sys/kernel/random/boot_id"),
                    become=False,
                    new_connection=True,
                )
                found = self._around.transport.run(self._target, boot)
                if found.stdout.decode("ascii", "replace").strip() != self._facts.boot_id:
                    return True
            except DeviceUnreachable:
                if self._around.monotonic() >= until:
                    raise

    def _run(self, command: tuple[str, ...], timeout_s: float = COMMAND_S) -> Finished:
        return self._around.transport.run(self._target, Run(argv=command, timeout_s=timeout_s))

    def _tell(self, step: ProvisionStep) -> None:
        self._around.listener(
            events.DriverStep(
                device=self._target.name,
                operation=step.operation,
                changed=step.changed,
                succeeded=step.succeeded,
                detail=step.detail,
            )
        )

    def _note(self, text: str) -> None:
        self._around.listener(events.Note(device=self._target.name, text=text))
