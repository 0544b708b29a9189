"""Everything before the switch, with the real parts: trust, judgement, trees, tidying.

This is the `Preparation` that the transaction asks for. It decides nothing about when to switch.
"""

import os
from typing import Any, Dict, List, Optional, Tuple

from edgeform_device import (
    debs,
    derive,
    facts,
    gc,
    manifests,
    preflight,
    secrets,
    signing,
    trees,
    trusted,
    tuf,
    unseal,
)
from edgeform_device.boottime import BootClock
from edgeform_device.durable import TMP, Disk
from edgeform_device.errors import DeviceError, Incomplete
from edgeform_device.identity import Identity
from edgeform_device.layout import Layout
from edgeform_device.preflight import Situation
from edgeform_device.records import Committed, State
from edgeform_device.store import Store
from edgeform_device.trusted import Approved
from edgeform_wire.artifact import Artifact
from edgeform_wire.driverset import DriverSet
from edgeform_wire.generation import Generation


class Prepare:
    """Approves, judges, builds and tidies below one prefix."""

    def __init__(self, disk: Disk, layout: Layout, who: Identity) -> None:
        self._disk = disk
        self._layout = layout
        self._who = who
        self._state = State(disk, layout)
        self._store = Store(layout, disk)

    def approve(self, number: int) -> Approved:
        """The verified deployment of that number, remembered as the newest one accepted.

        Raises:
            DeviceError: not trusted, stale, for another device, or not all here.
        """
        approved = self.examined(number)
        trusted.remember(self._disk, self._layout, approved)
        return approved

    def examined(self, number: Optional[int]) -> Approved:
        """The same without remembering it."""
        metadata = trusted.refreshed(self._layout)
        approved = trusted.approve(self._store, self._who, metadata, self._state.floor(), number)
        trusted.check_order(approved, trusted.seen(self._disk, self._layout))
        return approved

    def preflight(self, approved: Approved, committed: Optional[Committed]) -> None:
        """Nothing, when the deployment may be tried here now; sealed secrets are opened and kept then.

        Raises:
            DeviceError: the weightiest refusal; its detail has the others.
        """
        found = self.refusals(approved, committed)
        if found:
            first = found[0]
            others = "; ".join(refusal.summary for refusal in found[1:])
            if others:
                first.detail = f"{first.detail} Also: {others}".strip()
            raise first
        unseal.open_all(self._disk, self._layout, approved.sealed, approved.deployment.generation)

    def refusals(
        self, approved: Approved, committed: Optional[Committed]
    ) -> Tuple[DeviceError, ...]:
        """Everything that stands against it."""
        absent = trusted.missing_blobs(self._store, approved)
        missing_bytes = sum(absent.values())
        present = {s.name: s.planned for s in secrets.listed(self._disk, self._layout)}
        present.update(unseal.planned(approved.sealed, approved.deployment.generation))
        waiting: Tuple[DeviceError, ...] = ()
        if approved.deployment.policy.drivers is not None and self._drivers().awaits_reboot():
            waiting = (debs.reboot_wanted(),)
        return waiting + preflight.refusals(
            approved,
            Situation(
                facts=facts.now(self._who.root, self._layout.prefix),
                committed=committed,
                quarantine=self._state.quarantine(),
                secrets=present,
                new_bytes=missing_bytes,
                missing_bytes=missing_bytes,
                can_sign=signing.find_signer(self._disk, self._layout).kind != signing.UNSIGNED,
            ),
        )

    def materialise(self, approved: Approved) -> None:
        """Build and verify the trees of all artifacts, durably.

        Raises:
            Incomplete, Corrupt, Refused: as `trees.build` says.
        """
        trusted.require_blobs(self._store, approved)
        for artifact in approved.artifacts:
            trees.build(self._store, artifact)

    def install_drivers(self, approved: Approved, transaction: str) -> None:
        """Install the driver packages that the deployment brings, if it brings any.

        Raises:
            Refused, RolledBack, NeedsHands: as `debs.Drivers.install` says.
        """
        wanted = approved.deployment.policy.drivers
        if wanted is not None:
            self._drivers().install(_of(approved, wanted), wanted, transaction)

    def undo_drivers(self) -> str:
        """Take back driver packages whose installation was cut; a sentence, empty where none was."""
        return self._drivers().undo_cut()

    def drivers_differ(self, approved: Approved) -> bool:
        """Whether the deployment's driver packages are not all here."""
        wanted = approved.deployment.policy.drivers
        if wanted is None:
            return False
        return bool(self._drivers().differing(_of(approved, wanted)))

    def _drivers(self) -> "debs.Drivers":
        return debs.Drivers(self._disk, self._layout, BootClock(self._who.root).boot_id())

    def derive(self, generation: Generation) -> Dict[str, str]:
        """Digests of what must be built on this device, by key; built here where it is missing.

        Raises:
            Refused: a builder failed, or took longer than its limit.
        """
        return derive.derived(self._layout, generation)

    def verify(self, generation: Generation) -> None:
        """Nothing, when the trees of a kept generation are whole and nothing in it was revoked.

        Raises:
            Corrupt, Incomplete: a tree is not whole. NotTrusted: an artifact was revoked.
        """
        trusted.check_not_revoked(tuf.stored(self._layout.trust_dir), generation)
        for ref in generation.artifacts:
            trees.require_sound(self._store, manifests.read_artifact(self._store, ref.digest))

    def clean(self) -> None:
        """Remove what a cut left half made in the trees and the store."""
        folders = [self._layout.trees_dir]
        folders += [
            os.path.join(self._layout.blobs_dir, shard)
            for shard in self._disk.names(self._layout.blobs_dir)
        ]
        for folder in folders:
            for name in self._disk.names(folder):
                if name.endswith(TMP):
                    self._disk.remove_tree(os.path.join(folder, name))

    def collect(self) -> None:
        """Remove what no kept generation uses."""
        gc.collect(self._disk, self._layout, is_dry_run=False)


def _of(approved: Approved, wanted: DriverSet) -> Artifact:
    """The driver artifact that the policy names; the deployment was refused if it lists none such."""
    return next(a for a in approved.artifacts if a.digest == wanted.artifact)


def plan(disk: Disk, layout: Layout, who: Identity, number: Optional[int]) -> Dict[str, Any]:
    """What `activate` would refuse and why; nothing is remembered, and only metadata is stored."""
    prepare = Prepare(disk, layout, who)
    committed = State(disk, layout).committed()
    approved: Optional[Approved] = None
    try:
        approved = prepare.examined(number)
        found: List[DeviceError] = list(prepare.refusals(approved, committed))
    except DeviceError as exc:
        found = [exc]
    absent = {} if approved is None else trusted.missing_blobs(Store(layout, disk), approved)
    return {
        "deployment": None if approved is None else approved.deployment.number,
        "digest": None if approved is None else approved.deployment.generation.digest,
        "freshness": None if approved is None else approved.freshness,
        "versions": {} if approved is None else approved.versions,
        "missing": sorted(absent),
        "refusals": [refusal.to_json() for refusal in found],
        "is_ready": not [r for r in found if not isinstance(r, Incomplete)],
    }
