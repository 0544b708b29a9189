"""One application of a plan: drivers first, then generations, journalled device by device."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeform import events
from edgeform.apply.device import DeviceClient, Refusal
from edgeform.apply.enrolment import Enrolled
from edgeform.apply.outcome import (
    Committed,
    Helpless,
    Outcome,
    Pending,
    Refused,
    TurnedBack,
    Unchanged,
    sentence,
    word,
)
from edgeform.apply.transaction import Means, carry
from edgeform.cli.device_keys import pin_device_key
from edgeform.cli.planning import Seen, Wanted, has_arrived, targets
from edgeform.cli.roles import VendorRoles
from edgeform.cli.shipping import Dock
from edgeform.cli.workspace import stamp, who
from edgeform.domain.observed import Observed
from edgeform.drivers import change as driver_change
from edgeform.drivers.change import Surroundings
from edgeform.plan import Changed, stages
from edgeform.plan.changes import DriverChange, InstallPackage, Reboot
from edgeform.rollout.gate import judge
from edgeform.rollout.journal import Journal
from edgeform.rollout.run import Ended, Stop, drive
from edgeform.rollout.waves import one_wave
from edgeform.transport.base import DeviceUnreachable, Target, Transport
from edgeform_wire.deployment import Deployment


@dataclass(slots=True, kw_only=True)
class Application:
    """A plan on its way to its devices."""

    wanted: Wanted
    transport: Transport
    seen: Seen
    dock: Dock
    deployments: Mapping[str, Deployment]
    plan_digest: str
    journal: Journal
    listener: events.Listener
    _run: int = field(default=0, init=False)
    _targets: dict[str, Target] = field(default_factory=dict, init=False)

    def run(self, stop: Stop, *, resume: bool, max_parallel: int | None) -> Ended:
        """Give every changed device its turn."""
        changed = {c.device: c for c in self.seen.plan.changed}
        if resume:
            # The journal of a killed controller lacks what a device committed without it.
            done = self.journal.committed_before(self.plan_digest) | {
                name
                for name, c in changed.items()
                if has_arrived(c, self.seen.observations.get(name))
            }
            changed = {name: c for name, c in changed.items() if name not in done}
        self._targets = targets(
            self.wanted, [d for d in self.wanted.site.devices if d.name in changed]
        )
        self._run = self.journal.begin(
            plan_digest=self.plan_digest, who=who(), now=stamp(), devices=changed
        )
        outcomes: list[Outcome] = []
        unfinished: list[str] = []
        ended = Ended(outcomes=(), unfinished=(), verdict=judge(()))
        for wave in one_wave(tuple(changed)):
            ended = drive(
                wave,
                lambda name: self._turn(changed[name]),
                max_parallel=max_parallel or self.wanted.site.rollout.max_parallel,
                stop=stop,
                ended=self._ended,
            )
            outcomes += ended.outcomes
            unfinished += ended.unfinished
        return Ended(outcomes=tuple(outcomes), unfinished=tuple(unfinished), verdict=ended.verdict)

    def finish(self, code: int) -> None:
        self.journal.finish(self._run, exit_code=code, now=stamp())

    def _turn(self, changed: Changed) -> Outcome:
        parts = stages(changed.changes)
        if self._has_provisioning(changed.device, parts.drivers):
            outcome = self._drivers(changed)
            if outcome is not None:
                return outcome
        deployment = self.deployments.get(changed.device)
        if deployment is None:
            return Unchanged(device=changed.device, generation=changed.base.generation)
        shipment = self.dock.shipment(changed, deployment, self.plan_digest)
        means = Means(
            transport=self.transport,
            listener=self.listener,
            resolve=self.wanted.resolve_secret,
            monotonic=time.monotonic,
            sleep=time.sleep,
            touched=lambda device, transaction: self.journal.touched(
                self._run, device, transaction=transaction, now=stamp()
            ),
            enrolled=self._enrolled,
            who=who(),
            prove=self.dock.artifacts.objects.verified,
        )
        return carry(shipment, self._targets[changed.device], means)

    def _has_provisioning(self, name: str, drivers: Sequence[DriverChange]) -> bool:
        """Whether something of the tuple is ours: packages that travel are the device's own transaction."""
        device = self.wanted.site.device(name)
        carried = frozenset[str]() if device is None else device.hardware.drivers.carried_names
        return any(
            not (isinstance(x, InstallPackage) and x.name in carried)
            and not (isinstance(x, Reboot) and carried)
            for x in drivers
        )

    def _enrolled(self, device: str, enrolled: Enrolled) -> None:
        """Keep the device's key: its receipts are judged by it from now on."""
        if enrolled.device_key:
            workspace = self.wanted.workspace
            pin_device_key(workspace, device, enrolled.device_key, replace=False)
        text = f"enrolled; its code is {enrolled.code}"
        self.listener(events.Note(device=device, text=text))

    def _drivers(self, changed: Changed) -> Outcome | None:
        """None when the tuple is in place; else how the device's turn ended."""
        device = self.wanted.site.device(changed.device)
        observed = self.seen.observations[changed.device]
        if device is None:
            raise AssertionError(f"{changed.device} has changes and is not in the site")
        if not isinstance(observed, Observed):
            detail = f"drivers: not begun: {observed.reason}: {observed.detail}"
            return Pending(device=device.name, detail=detail, hint=observed.hint)
        self.journal.touched(self._run, device.name, transaction=None, now=stamp())
        around = Surroundings(
            transport=self.transport,
            play_role=VendorRoles(self.wanted.workspace.site_dir),
            listener=self.listener,
            monotonic=time.monotonic,
            sleep=time.sleep,
        )
        target = self._targets[device.name]
        try:
            outcome = driver_change.change(
                target, device.prefix, device.hardware.drivers.provisioned, observed.facts, around
            )
        except DeviceUnreachable as exc:
            return Pending(device=device.name, detail=f"{exc.reason}: {exc.detail}", hint=exc.hint)
        reason = driver_change.reason_of(outcome)
        if isinstance(outcome, driver_change.Stuck):
            hint = f"Look at the drivers by hand:\n    edgeform doctor -l {device.name}"
            return Helpless(device=device.name, detail=f"drivers: {reason}", hint=hint)
        if isinstance(outcome, driver_change.Undone):
            return TurnedBack(
                device=device.name,
                from_generation=changed.base.generation,
                to_generation=changed.base.generation,
                reason=f"drivers were put back: {reason}",
                receipt=None,
            )
        return None

    def _ended(self, outcome: Outcome) -> None:
        """In the waiting thread: the journal, the receipts, and whoever listens."""
        self.journal.ended(self._run, outcome, now=stamp())
        self.listener(_event(outcome))
        if isinstance(outcome, Committed | TurnedBack | Helpless | Refused):
            self._fetch_receipts(outcome.device)

    def _fetch_receipts(self, name: str) -> None:
        """Bring home what the device has written since last time; a later run tries again."""
        device = self.wanted.site.device(name)
        if device is None:
            return
        client = DeviceClient(self.transport, self._targets[name], device.prefix)
        site = self.wanted.site.name
        try:
            found = client.receipts(self.journal.last_receipt(site, name))
        except DeviceUnreachable:
            return
        if not isinstance(found, Refusal):
            self.journal.keep_receipts(site, name, found, now=stamp())


def _event(outcome: Outcome) -> events.Event:
    match outcome:
        case Committed():
            return events.DeviceCommitted(
                device=outcome.device,
                from_generation=outcome.from_generation,
                to_generation=outcome.to_generation,
                seconds=outcome.seconds,
            )
        case TurnedBack():
            return events.DeviceRolledBack(
                device=outcome.device,
                from_generation=outcome.from_generation,
                to_generation=outcome.to_generation,
                reason=outcome.reason,
            )
        case Unchanged():
            return events.DeviceUnchanged(device=outcome.device, generation=outcome.generation)
        case _:
            return events.DeviceFailed(
                device=outcome.device,
                outcome=word(outcome),
                detail=sentence(outcome),
                hint=outcome.hint,
            )
