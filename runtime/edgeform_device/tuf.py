"""The device's TUF client: refresh from anywhere, then ask what is signed.

`tuf_set` decides, this shell fetches and stores. It reads through `fetch(name, limit)`, so a stick,
an upload folder and HTTP are the same to it, and it stores under `<store_dir>/metadata`. It never
talks to a network itself and it never installs anything.
"""

from typing import Callable, Dict, Iterator, List, Optional, Set, Tuple

from edgeform_device import p256
from edgeform_device.clock import Clock, as_text
from edgeform_device.errors import Corrupt, DeviceError, NotTrusted
from edgeform_device.p256_openssl import system_verify
from edgeform_device.tuf_metadata import Envelope, shown
from edgeform_device.tuf_set import TrustedSet
from edgeform_device.tuf_store import Fetch, Store, file_name, folder_fetch, store_in
from edgeform_device.tuf_values import Delegation, FileMeta, SuccinctBins, TargetInfo, Targets

__all__ = [
    "Fetch",
    "TargetInfo",
    "Trusted",
    "folder_fetch",
    "install_root",
    "refresh",
    "stored",
]

MAX_ROOT_BYTES = 512_000
MAX_TIMESTAMP_BYTES = 16_384
MAX_SNAPSHOT_BYTES = 2_000_000
MAX_TARGETS_BYTES = 5_000_000  # about 20,000 targets; beyond that a role has bins
MAX_NEW_ROOTS = 256
MAX_DELEGATIONS = 32


class Trusted:
    """What the signed metadata says: every answer is verified when it is given."""

    def __init__(
        self, trusted: TrustedSet, load: Callable[[Optional[Delegation]], Targets]
    ) -> None:
        self._set = trusted
        self._load = load

    @property
    def root_profile(self) -> str:
        """`development` or `production`: which kind of root this device obeys."""
        return self._set.root.profile

    @property
    def freshness(self) -> str:
        """`known`, or `unknown` where no clock can be trusted: then expiry was checked against a floor."""
        return self._set.floor.freshness

    @property
    def floor(self) -> str:
        """The earliest time it can be now, for people."""
        return as_text(self._set.floor.floor_s)

    def versions(self) -> Dict[str, int]:
        """The version of every role that was verified so far."""
        found = {"root": self._set.root.version}
        if self._set.timestamp is not None:
            found["timestamp"] = self._set.timestamp.version
        if self._set.snapshot is not None:
            found["snapshot"] = self._set.snapshot.version
        found.update({name: role.version for name, role in sorted(self._set.targets.items())})
        return found

    def target(self, path: str) -> Optional[TargetInfo]:
        """The signed length, digest and custom fields of a target; None when nobody signs it now.

        Delegations are walked in their order of trust, depth first; a terminating one ends the search.

        Raises:
            NotTrusted, Stale, Corrupt: a role on the way does not verify.
        """
        _check_target_path(path)
        todo: List[Optional[Delegation]] = [None]
        seen: Set[str] = set()
        while todo and len(seen) < MAX_DELEGATIONS:
            delegation = todo.pop()
            name = delegation.name if delegation else "targets"
            if name in seen:
                continue
            seen.add(name)
            role = self._load(delegation)
            if path in role.targets:
                return _with_digest(role.targets[path], name)
            children: List[Optional[Delegation]] = []
            for child in role.delegations:
                if child.covers(path):
                    children.append(child)
                    if child.is_terminating:
                        todo = []
                        break
            if role.bins is not None:
                children.append(role.bins.bin_for(path))
            todo.extend(reversed(children))
        return None

    def every_target(self) -> Iterator[Tuple[str, TargetInfo]]:
        """All targets of all roles, each with the role that lists it; verifies the whole repository.

        A role may list what it may not speak about; such a target is never given out, here or above.

        Raises:
            NotTrusted, Stale, Corrupt: some role does not verify.
        """
        yield from self._targets_below(None, {"targets"}, lambda _path: True)

    def _targets_below(
        self, delegation: Optional[Delegation], seen: Set[str], may_speak: Callable[[str], bool]
    ) -> Iterator[Tuple[str, TargetInfo]]:
        role = self._load(delegation)
        name = delegation.name if delegation else "targets"
        for path, target in sorted(role.targets.items()):
            if may_speak(path):
                yield name, _with_digest(target, name)
        children: List[Tuple[Delegation, Callable[[str], bool]]] = [
            (child, child.covers) for child in role.delegations
        ]
        if role.bins is not None:
            children = [(child, _in_bin(role.bins, child)) for child in role.bins.every_bin()]
        for child, covers in children:
            if child.name not in seen:
                seen.add(child.name)
                both = _both(may_speak, covers)
                yield from self._targets_below(child, seen, both)


def install_root(store_dir: str, root: bytes, verify: Optional[p256.Verify] = None) -> str:
    """Make this root the anchor of a device that has none; answers its profile.

    The caller has compared its digest with what a person expects: nothing here can do that.

    Raises:
        NotTrusted: the root does not sign itself, or the device already obeys another one.
    """
    envelope = Envelope.parse(root, "root", "root")
    offered = envelope.root()
    envelope.check_signatures(offered.roles["root"], verify or system_verify())
    store = store_in(store_dir)
    present = store.read("root", MAX_ROOT_BYTES)
    if present is not None and present != root:
        raise NotTrusted(
            "This device already obeys a root, and it is not this one.",
            detail="A root changes only through the chain that its own keys sign. Nothing was changed.",
            hint="Refresh from a repository with that chain. To hand the device to another owner, "
            "remove its trust folder by hand first.",
        )
    if present is None:
        store.create()
        store.write("root", root)
    return offered.profile


def refresh(
    store_dir: str, fetch: Fetch, clock: Clock, verify: Optional[p256.Verify] = None
) -> Trusted:
    """The newest metadata that this repository offers, verified and stored.

    Args:
        store_dir: the device's `trust` folder; it must hold a root (see `install_root`).
        fetch: where the repository's metadata files come from.
        clock: what this device can say about the time.
        verify: judges signatures; by default edgeform's verifier, cross-checked with openssl.

    Raises:
        NotTrusted: a signature, a version that goes back, malformed metadata.
        Stale: expired, or no trusted clock where one is required.
        Corrupt: a file is not the one that is pinned.
    """
    return refresh_store(store_in(store_dir), fetch, clock, verify or system_verify())


def stored(store_dir: str, verify: Optional[p256.Verify] = None) -> Trusted:
    """What this device verified last time, without a repository and whatever the clock says.

    Expiry gates new installs, never what runs: use it to decide what may be returned to, and to name
    what is no longer signed. A role that was never fetched is missing, and says so.
    """
    store = store_in(store_dir)

    def fetch(name: str, limit: int) -> Optional[bytes]:
        return store.read("timestamp", limit) if name == "timestamp.json" else None

    clock = Clock(built_s=0, now_s=0, is_vouched=False)
    return refresh_store(store, fetch, clock, verify or system_verify())


def refresh_store(store: Store, fetch: Fetch, clock: Clock, verify: p256.Verify) -> Trusted:
    """`refresh` with its parts given."""
    trusted = TrustedSet(_stored_root(store), clock, verify)
    _follow_roots(trusted, store, fetch)
    _recall(store, "timestamp", MAX_TIMESTAMP_BYTES, trusted.remember_timestamp)
    data = _fetched(fetch, "timestamp", None, MAX_TIMESTAMP_BYTES)
    if trusted.update_timestamp(data):
        store.write("timestamp", data)
    if not _recall(store, "snapshot", MAX_SNAPSHOT_BYTES, trusted.remember_snapshot):
        meta = trusted.snapshot_meta()
        version = meta.version if trusted.root.is_consistent_snapshot else None
        data = _fetched(fetch, "snapshot", version, _limit(meta, MAX_SNAPSHOT_BYTES))
        trusted.update_snapshot(data)
        store.write("snapshot", data)

    def load(delegation: Optional[Delegation]) -> Targets:
        name = delegation.name if delegation else "targets"
        kept = store.read(name, MAX_TARGETS_BYTES)
        if kept is not None:
            try:
                return trusted.update_targets(kept, delegation)
            except DeviceError:
                pass  # outdated, or no longer vouched for: the repository must have a better one
        meta = trusted.targets_meta(name)
        version = meta.version if trusted.root.is_consistent_snapshot else None
        data = _fetched(fetch, name, version, _limit(meta, MAX_TARGETS_BYTES))
        targets = trusted.update_targets(data, delegation)
        store.write(name, data)
        return targets

    load(None)
    return Trusted(trusted, load)


def _follow_roots(trusted: TrustedSet, store: Store, fetch: Fetch) -> None:
    for _ in range(MAX_NEW_ROOTS):
        name = file_name("root", trusted.root.version + 1)
        data = fetch(name, MAX_ROOT_BYTES)
        if data is None:
            break
        _check_length(name, data, MAX_ROOT_BYTES)
        trusted.update_root(data)
        store.write("root", data)
    trusted.finish_root()


def _stored_root(store: Store) -> bytes:
    root = store.read("root", MAX_ROOT_BYTES)
    if root is None:
        raise NotTrusted(
            "This device has no root to trust.",
            detail="It was never enrolled, or its trust folder was removed.",
            hint="Enrol it from the controller:\n    edgeform enroll",
        )
    return root


def _recall(
    store: Store, role: str, limit: int, remember: Callable[[bytes], Optional[bool]]
) -> bool:
    """Bring in a role's file from last time; a file that no longer verifies is simply forgotten."""
    data = store.read(role, limit)
    if data is None:
        return False
    try:
        return bool(remember(data))
    except DeviceError:
        return False


def _fetched(fetch: Fetch, role: str, version: Optional[int], limit: int) -> bytes:
    name = file_name(role, version)
    data = fetch(name, limit)
    if data is None:
        raise NotTrusted(
            f"{shown(name)} is missing from the repository.",
            detail="Without it nothing can be proven. Nothing was changed.",
            hint="Copy the whole metadata folder of one publication.",
        )
    _check_length(name, data, limit)
    return data


def _limit(meta: FileMeta, limit: int) -> int:
    return limit if meta.length is None else min(meta.length, limit)


def _check_length(name: str, data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise Corrupt(
            f"{shown(name)} is longer than the {limit} bytes that are allowed.",
            detail="Reading stopped there. Nothing was changed.",
            hint="Copy the repository again; if it stays, somebody has changed it.",
        )


def _check_target_path(path: str) -> None:
    segments = path.split("/")
    if not path or "" in segments or ".." in segments or "." in segments or "\\" in path:
        raise NotTrusted(
            f"{shown(path)} is no path of a target.",
            detail="Target paths are relative and have no '.', '..' or empty segments.",
        )


def _in_bin(bins: SuccinctBins, child: Delegation) -> Callable[[str], bool]:
    return lambda path: bins.bin_for(path).name == child.name


def _both(first: Callable[[str], bool], second: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda path: first(path) and second(path)


def _with_digest(target: TargetInfo, role: str) -> TargetInfo:
    if not target.sha256:
        raise NotTrusted(
            f"{shown(role)} lists {shown(target.path)} without a SHA-256.",
            detail="Without it the file's content is not signed at all.",
            hint="Publish the target again:\n    edgeform publish plan.json",
        )
    return target
