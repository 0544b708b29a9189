"""`bundle apply`: a technician's laptop, a stick, and a line to the devices; no keys, no lock, no network."""

import time
from pathlib import Path

import click

from edgeform import events
from edgeform.apply.device import DeviceClient, Refusal
from edgeform.apply.enrolment import Enrolled
from edgeform.apply.outcome import (
    Helpless,
    Outcome,
    Pending,
    Refused,
    Unchanged,
    exit_code,
    sentence,
    word,
)
from edgeform.apply.shipment import Tool
from edgeform.apply.transaction import Means, carry
from edgeform.bundle.shipments import copy_in, shipment
from edgeform.bundle.verify import Proven, verify
from edgeform.cli.asking import Roll, call_the_roll
from edgeform.cli.device_keys import pin_device_key
from edgeform.cli.fleet import observe, open_fleet
from edgeform.cli.talking import talk
from edgeform.cli.tooling import METADATA_FOLDER, store_tool, tool_artifact
from edgeform.cli.workspace import Workspace, now, stamp, who
from edgeform.domain.observed import Observation, Unobserved
from edgeform.domain.quantities import show_bytes
from edgeform.errors import NotTrusted, UsageError, worst_of
from edgeform.report.tables import Column, table
from edgeform.rollout.journal import Journal
from edgeform.rollout.run import Stop, drive
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects
from edgeform.transport.base import DeviceUnreachable, Transport
from edgeform_device.medium import Folder
from edgeform_wire import bundle
from edgeform_wire.deployment import Deployment

COLUMNS = tuple(Column(title=t) for t in ("DEVICE", "OUTCOME", "DETAIL"))


def site_root(workspace: Workspace) -> bytes | None:
    """The first root of the site's own repository; None on a machine that has none."""
    file = workspace.trust_dir / METADATA_FOLDER / "1.root.json"
    return file.read_bytes() if file.exists() else None


def apply_bundle(
    folder: Path,
    workspace: Workspace,
    selectors: tuple[str, ...],
    *,
    fingerprint: str | None,
    max_parallel: int,
) -> int:
    """Give every selected device its turn; the exit code."""
    proven = verify(folder, now=now(), trusted_root=site_root(workspace))
    root = _vouched_root(folder, workspace, proven, fingerprint)
    with talk() as listener, workspace.journal() as journal, open_fleet() as transport:
        roll = call_the_roll(str(workspace.site_dir), selectors, listener)
        if roll.site.name != proven.contents.site:
            raise NotTrusted(
                f"This stick is for site {proven.contents.site}; this folder is site {roll.site.name}.",
                address=str(folder),
                hint="Take the stick that was made for this site.",
            )
        visit = _Visit(folder, roll, proven, root, transport, journal, listener)
        return visit.run(max_parallel)


def _vouched_root(
    folder: Path, workspace: Workspace, proven: Proven, fingerprint: str | None
) -> str | None:
    """The root that a new device may be given: the site's own, or the stick's with a typed fingerprint."""
    own = site_root(workspace)
    if own is not None:
        return own.decode()
    if fingerprint is None:
        return None
    if not bundle.is_fingerprint_of(fingerprint, "sha256:" + proven.root_sha256):
        raise NotTrusted(
            "The root on this stick does not have the fingerprint that was typed.",
            hint="Compare it with the paper once more; if it is right, do not use this stick.",
        )
    content = Folder(str(folder)).read(f"{bundle.METADATA}/1.root.json", 1 << 20)
    return None if content is None else content.decode()


class _Visit:
    def __init__(
        self,
        folder: Path,
        roll: Roll,
        proven: Proven,
        root: str | None,
        transport: Transport,
        journal: Journal,
        listener: events.Listener,
    ) -> None:
        self._medium = Folder(str(folder))
        self._roll = roll
        self._proven = proven
        self._root = root
        self._transport = transport
        self._journal = journal
        self._listener = listener
        self._objects = Objects(roll.workspace.store_dir)
        self._seen: dict[str, Observation] = {}
        self._loads: dict[str, tuple[Deployment, tuple[tuple[str, int], ...]]] = {}
        self._run = 0

    def run(self, max_parallel: int) -> int:
        here = {d.device: (d, blobs) for d, blobs in self._proven.deployments}
        devices = [d for d in self._roll.devices if d.name in here]
        if not devices:
            raise UsageError("There is nothing on this stick for any of the selected devices.")
        self._loads = {d.name: here[d.name] for d in devices}
        self._seen = observe(self._transport, devices, self._roll.targets, self._listener)
        # One after the other, before anybody is touched: a stick that fails now has cost nothing.
        copied = sum(
            copy_in(self._medium, self._objects, blobs)
            for name, (_, blobs) in self._loads.items()
            if not isinstance(self._seen[name], Unobserved)
        )
        click.echo(f"copied {show_bytes(copied)} from the stick", err=True)
        self._run = self._journal.begin(
            plan_digest=self._loads[devices[0].name][0].plan_digest,
            who=who(),
            now=stamp(),
            devices=self._loads,
        )
        ended = drive(
            tuple(self._loads),
            self._turn,
            max_parallel=max_parallel,
            stop=Stop(),
            ended=self._ended,
        )
        rows = [(o.device, word(o), sentence(o)) for o in sorted(ended.outcomes, key=_name)]
        click.echo(table(COLUMNS, rows), nl=False)
        for outcome in ended.outcomes:
            if isinstance(outcome, Refused | Pending | Helpless) and outcome.hint:
                click.echo(f"{outcome.device}: {outcome.hint}", err=True)
        code = worst_of(exit_code(o) for o in ended.outcomes)
        self._journal.finish(self._run, exit_code=code, now=stamp())
        return code

    def _turn(self, name: str) -> Outcome:
        seen = self._seen[name]
        if isinstance(seen, Unobserved):
            return Pending(device=name, detail=f"{seen.reason}: {seen.detail}", hint=seen.hint)
        found = self._loads[name]
        if seen.generation_digest == found[0].generation.digest:
            return Unchanged(device=name, generation=seen.committed)
        if seen.tool is None and self._root is None:
            return Refused(
                device=name,
                code="not_enrolled",
                exit_code=NotTrusted.exit_code,
                detail="it is new, and nothing here vouches for the root on the stick",
                hint="Type the fingerprint from the paper:\n    edgeform bundle apply DIR --fingerprint ...",
            )
        device = self._roll.site.device(name)
        if device is None:
            raise AssertionError(name)
        load = shipment(
            self._medium,
            self._proven,
            found,
            self._objects,
            prefix=device.prefix,
            tool=self._tool(),
            seen=seen,
        )
        means = Means(
            transport=self._transport,
            listener=self._listener,
            resolve=self._roll.resolver.resolve,
            monotonic=time.monotonic,
            sleep=time.sleep,
            touched=lambda device, transaction: self._journal.touched(
                self._run, device, transaction=transaction, now=stamp()
            ),
            enrolled=self._enrolled,
            who=who(),
            prove=self._objects.verified,
        )
        return carry(load, self._roll.targets[name], means)

    def _tool(self) -> Tool | None:
        """The tool of this machine; the one on the stick is not signed until a deployment names it."""
        if self._root is None:
            return None
        path = store_tool(Artifacts(self._objects))
        return Tool(path=path, digest=tool_artifact().files[0].digest, root=self._root)

    def _enrolled(self, device: str, enrolled: Enrolled) -> None:
        if enrolled.device_key:
            pin_device_key(self._roll.workspace, device, enrolled.device_key, replace=False)
        self._listener(events.Note(device=device, text=f"enrolled; its code is {enrolled.code}"))

    def _ended(self, outcome: Outcome) -> None:
        """In the waiting thread: the journal, and the receipts to take home."""
        self._journal.ended(self._run, outcome, now=stamp())
        if isinstance(outcome, Pending | Unchanged):
            return
        device = self._roll.site.device(outcome.device)
        if device is None:
            return
        site = self._roll.site.name
        client = DeviceClient(self._transport, self._roll.targets[device.name], device.prefix)
        try:
            found = client.receipts(self._journal.last_receipt(site, device.name))
        except DeviceUnreachable:
            return
        if not isinstance(found, Refusal):
            self._journal.keep_receipts(site, device.name, found, now=stamp())


def _name(outcome: Outcome) -> str:
    return outcome.device
