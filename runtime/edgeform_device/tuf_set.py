"""The set of verified roles, grown one file at a time; no I/O.

A state machine over bytes: root chain, then timestamp, snapshot, targets, delegations, in that
order. What it holds is verified; what it refuses leaves it as it was. Files kept from an earlier
refresh enter through the `remember_*` methods: they count only while the current root still vouches
for them, which is also how a device recovers after an online key was stolen and replaced.
Source: TUF specification 1.0.34, section 5 (detailed client workflow).
"""

from typing import Dict, Optional

from edgeform_device import p256
from edgeform_device.clock import Clock, TimeFloor, as_text, check_required, time_floor
from edgeform_device.errors import NotTrusted, Stale
from edgeform_device.tuf_metadata import Envelope, check_bytes, shown
from edgeform_device.tuf_values import (
    Delegation,
    FileMeta,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)


class TrustedSet:
    """Verified metadata, starting from a root that this device already trusts.

    Args:
        root: the bytes of the newest root that was trusted before; it must at least sign itself.
        clock: what this device can say about the time.
        verify: judges one signature.

    Raises:
        NotTrusted: the stored root is damaged.
    """

    def __init__(self, root: bytes, clock: Clock, verify: p256.Verify) -> None:
        self._clock = clock
        self._verify = verify
        envelope = Envelope.parse(root, "root", "root")
        self.root: Root = envelope.root()
        envelope.check_signatures(self.root.roles["root"], verify)
        self.timestamp: Optional[Timestamp] = None
        self.snapshot: Optional[Snapshot] = None
        self.targets: Dict[str, Targets] = {}
        self._old_snapshot: Optional[Snapshot] = None

    @property
    def floor(self) -> TimeFloor:
        """No earlier than this: the tool, the clock if plausible, the newest signed time seen."""
        return time_floor(self._clock, self.timestamp.issued_s if self.timestamp else 0)

    def update_root(self, data: bytes) -> Root:
        """Follow the chain by one root: the old keys and the new keys must both have signed it."""
        envelope = Envelope.parse(data, "root", "root")
        envelope.check_signatures(self.root.roles["root"], self._verify)
        new = envelope.root()
        envelope.check_signatures(new.roles["root"], self._verify)
        if new.version != self.root.version + 1:
            raise NotTrusted(
                f"root says version {new.version} where version {self.root.version + 1} must follow.",
                detail="The chain of roots has no gaps and never goes back. Nothing was changed.",
                hint="Take all root files of the repository, from version 1.",
            )
        if new.profile != self.root.profile:
            raise NotTrusted(
                f"root version {new.version} turns a {self.root.profile} root into a "
                f"{new.profile} root.",
                detail="Development and production are different roots, never one chain. "
                "Nothing was changed.",
                hint="Enrol the device again with the other root:\n    edgeform enroll",
            )
        self.root = new
        return new

    def finish_root(self) -> None:
        """The chain has ended here: the newest root must not have expired."""
        self._check_fresh("root", self.root.expires_s)

    def remember_timestamp(self, data: bytes) -> None:
        """Take the timestamp kept from last time as the oldest that may be accepted now."""
        self.timestamp = self._verified("timestamp", data).timestamp()

    def update_timestamp(self, data: bytes) -> bool:
        """Accept the newest timestamp; False when it is the one already known."""
        old, new = self.timestamp, self._verified("timestamp", data).timestamp()
        if old is not None and new.version < old.version:
            raise _older("timestamp", new.version, old.version, new.issued_s, old.issued_s)
        if old is not None and new.version == old.version:
            self._check_timestamp(old)
            return False
        if old is not None and new.snapshot.version < old.snapshot.version:
            raise _older("snapshot", new.snapshot.version, old.snapshot.version)
        self.timestamp = new
        try:
            self._check_timestamp(new)
        except Stale:
            self.timestamp = old
            raise
        return True

    def remember_snapshot(self, data: bytes) -> bool:
        """Take the snapshot kept from last time; True when it is still the current one."""
        snapshot = self._verified("snapshot", data).snapshot()
        self._old_snapshot = snapshot
        if self.snapshot_meta().version != snapshot.version:
            return False
        self._check_fresh("snapshot", snapshot.expires_s)
        self.snapshot = snapshot
        return True

    def update_snapshot(self, data: bytes) -> None:
        """Accept the snapshot that the timestamp pins, when no role in it goes back."""
        meta = self.snapshot_meta()
        check_bytes(data, meta, "snapshot")
        snapshot = self._verified("snapshot", data).snapshot()
        _check_version("snapshot", snapshot.version, meta.version, "timestamp")
        for name, old in (self._old_snapshot.meta if self._old_snapshot else {}).items():
            new = snapshot.meta.get(name)
            if new is None:
                raise NotTrusted(
                    f"{shown(name)} has disappeared from the snapshot.",
                    detail="A role that was listed once stays listed. Nothing was changed.",
                    hint="Publish again with the role present; revoke its targets instead of its file.",
                )
            if new.version < old.version:
                raise _older(name, new.version, old.version)
        self._check_fresh("snapshot", snapshot.expires_s)
        self.snapshot = snapshot

    def update_targets(self, data: bytes, delegation: Optional[Delegation] = None) -> Targets:
        """Verify a targets role against *this* delegator, never against an earlier verdict.

        Args:
            delegation: who vouches for the role; None is the top-level role, vouched for by root.
        """
        name = delegation.name if delegation else "targets"
        keys = delegation.role_keys if delegation else self.root.roles["targets"]
        meta = self.targets_meta(name)
        check_bytes(data, meta, name)
        envelope = Envelope.parse(data, name, "targets")
        envelope.check_signatures(keys, self._verify)
        targets = envelope.targets()
        _check_version(name, targets.version, meta.version, "snapshot")
        self._check_fresh(name, targets.expires_s)
        self.targets[name] = targets
        return targets

    def snapshot_meta(self) -> FileMeta:
        if self.timestamp is None:
            raise AssertionError("the timestamp comes before the snapshot")
        return self.timestamp.snapshot

    def targets_meta(self, name: str) -> FileMeta:
        """The version, length and hashes that the snapshot pins for a targets role."""
        if self.snapshot is None:
            raise AssertionError("the snapshot comes before the targets")
        meta = self.snapshot.meta.get(name + ".json")
        if meta is None:
            raise NotTrusted(
                f"{shown(name)} is delegated to, but the snapshot does not list it.",
                detail="Without a signed version an old file could be slipped in. Nothing was changed.",
                hint="Publish the repository again:\n    edgeform publish plan.json",
            )
        return meta

    def _verified(self, role: str, data: bytes) -> Envelope:
        envelope = Envelope.parse(data, role, role)
        envelope.check_signatures(self.root.roles[role], self._verify)
        return envelope

    def _check_timestamp(self, timestamp: Timestamp) -> None:
        check_required(self._clock, self.floor)
        self._check_fresh("timestamp", timestamp.expires_s)

    def _check_fresh(self, role: str, expires_s: int) -> None:
        floor = self.floor
        if floor.floor_s < expires_s:
            return
        raise Stale(
            f"{shown(role)} expired at {as_text(expires_s)}.",
            detail=f"It is {as_text(floor.floor_s)} or later. Expired metadata could hide a newer "
            "release or a revocation, so nothing new is installed; what runs keeps running.",
            hint="Bring newer metadata (publish, or export a stick again); if this device's clock "
            "runs ahead, set it.",
        )


def _older(role: str, new: int, old: int, new_s: int = 0, old_s: int = 0) -> NotTrusted:
    made = (
        f" It was made at {as_text(new_s)}, the newer at {as_text(old_s)}."
        if new_s and old_s
        else ""
    )
    return NotTrusted(
        f"This device already has newer metadata: {shown(role)} version {old}, offered is {new}.",
        detail=f"Going back is refused, whoever asks.{made} Nothing was changed.",
        hint="Use a newer stick or repository. To return to an earlier release, publish it again "
        "as the newest.",
    )


def _check_version(role: str, found: int, pinned: int, by: str) -> None:
    if found != pinned:
        raise NotTrusted(
            f"{shown(role)} says version {found}, but the {by} pins version {pinned}.",
            detail="Files of two publications are mixed. Nothing was changed.",
            hint="Copy the whole repository again, from one publication.",
        )
