"""Artifacts as read-only trees, each file proven while it is put in its place.

A tree appears whole or not at all. The files of a model stand in its tree alone and nowhere else, since
readers of ONNX external data refuse hard links and symbolic links; all other files are hard links to
their blobs. Either way nothing is on the disk twice.
"""

import os
import random
import stat
from dataclasses import dataclass
from typing import Dict, List, Optional, Set, Tuple

from edgeform_device.durable import TMP
from edgeform_device.errors import Corrupt, Incomplete
from edgeform_device.store import NO_SPACE, STAMP_S, Store, copy_file, disk_full, is_sound, seal
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact, ArtifactFile

ALONE = ("model",)
"""Kinds whose files must have one name only."""

SAMPLED_FILES = 16
SAMPLED_BYTES = 16 * 1024 * 1024
FOREIGN = "foreign"
OTHER_MODE = "same bytes, other mode or time"


@dataclass(frozen=True)
class Damage:
    """A file of a tree that is not what the manifest says; `actual` is `absent`, `changed`, a digest..."""

    path: str
    expected: str
    actual: str


def build(store: Store, artifact: Artifact) -> str:
    """The path of the artifact's tree; made from the store's blobs if it is not there yet.

    Running it again finishes what a power cut left undone.

    Raises:
        Incomplete: blobs are missing. Corrupt: a blob is damaged; it was taken out of the store.
        Refused: the disk is full.
    """
    tree = store.layout.tree(artifact.digest)
    if os.path.isdir(tree):
        _mend(store, artifact, tree)
    else:
        _check_present(store, artifact, {f.path for f in artifact.files})
        _make(store, artifact, tree)
    if artifact.kind in ALONE:
        _leave_only_the_tree(store, artifact, tree)
    return tree


def damage_of(
    store: Store, artifact: Artifact, level: str, choose: Optional[random.Random] = None
) -> Tuple[Damage, ...]:
    """What in an artifact's tree is not as its manifest says.

    Args:
        level: `none` only looks whether the tree is there; `sample` looks at every file's size and
            times and reads some of them, others each time; `full` reads every byte.
    """
    tree = store.layout.tree(artifact.digest)
    if not os.path.isdir(tree):
        return (Damage("", artifact.digest, "absent"),)
    if level == "none":
        return ()
    read = _to_be_read(artifact, level, choose or random.Random())  # noqa: S311 - a sample, no secret
    found = [
        damage
        for damage in (_damage_of_file(tree, f, is_read=f.path in read) for f in artifact.files)
        if damage is not None
    ]
    known = {f.path for f in artifact.files}
    found += [Damage(path, "absent", FOREIGN) for path in _files_below(tree) if path not in known]
    return tuple(found)


def _to_be_read(artifact: Artifact, level: str, choose: random.Random) -> Set[str]:
    if level == "full":
        return {f.path for f in artifact.files}
    chosen: Set[str] = set()
    left = SAMPLED_BYTES
    for file in choose.sample(artifact.files, min(SAMPLED_FILES, len(artifact.files))):
        if file.size_bytes <= left:
            left -= file.size_bytes
            chosen.add(file.path)
    return chosen


def _damage_of_file(tree: str, file: ArtifactFile, *, is_read: bool) -> Optional[Damage]:
    path = os.path.join(tree, file.path)
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Damage(file.path, file.digest, "absent")
    if not stat.S_ISREG(status.st_mode):
        return Damage(file.path, file.digest, "not a plain file")
    if status.st_size != file.size_bytes:
        return Damage(file.path, file.digest, f"{status.st_size} bytes")
    is_touched = int(status.st_mtime) != STAMP_S or status.st_mode & 0o222
    if is_read or is_touched:
        try:
            actual = digests.of_file(path)
        except OSError as exc:
            return Damage(file.path, file.digest, f"unreadable: {exc.strerror}")
        if actual != file.digest:
            return Damage(file.path, file.digest, actual)
    if is_touched or bool(status.st_mode & 0o111) != file.is_executable:
        return Damage(file.path, file.digest, OTHER_MODE)
    return None


def _files_below(tree: str) -> List[str]:
    """All that is no directory, by its path below the tree; links are not followed."""
    found = []
    left = [""]
    while left:
        below = left.pop()
        try:
            with os.scandir(os.path.join(tree, below)) as entries:
                for entry in entries:
                    path = below + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        left.append(path + "/")
                    else:
                        found.append(path)
        except OSError:
            continue  # what cannot be listed is missed where its files are looked at
    return sorted(found)


def _check_present(store: Store, artifact: Artifact, paths: Set[str]) -> None:
    absent = {
        f.digest
        for f in artifact.files
        if f.path in paths and not store.has(f.digest, f.size_bytes)
    }
    if absent:
        raise Incomplete(
            f"{len(absent)} blob(s) of {artifact.name} {artifact.version} are not on this device.",
            detail="The first is " + min(absent) + ". Nothing was changed.",
            hint="Upload them again:\n    edgeform apply",
        )


def _make(store: Store, artifact: Artifact, tree: str) -> None:
    disk = store.disk
    tmp = tree + ".new" + TMP  # not tree + TMP: remove_tree() parks there what it removes
    if os.path.lexists(tmp):
        disk.remove_tree(tmp)
    disk.mkdir(store.layout.trees_dir)
    disk.sys_mkdir(tmp, 0o755)
    made = {tmp}
    try:
        for file in artifact.files:
            place = os.path.join(tmp, file.path)
            _make_directories(store, os.path.dirname(place), made)
            _put(store, artifact, file, place)
    except OSError as exc:
        if exc.errno not in NO_SPACE:
            raise
        disk.remove_tree(tmp)
        raise disk_full(tree, artifact.size_bytes) from exc
    disk.publish(tmp, tree)


def _mend(store: Store, artifact: Artifact, tree: str) -> None:
    """Put back what is damaged, file by file: a service may be running from this tree."""
    disk = store.disk
    wanted = {f.path: f for f in artifact.files}
    damage = damage_of(store, artifact, "sample")
    for found in damage:
        if found.actual == FOREIGN:
            disk.remove(os.path.join(tree, found.path))
        elif found.actual == OTHER_MODE:
            path = os.path.join(tree, found.path)
            seal(disk, path, is_executable=wanted[found.path].is_executable)
    broken = {d.path for d in damage if d.actual not in (FOREIGN, OTHER_MODE)}
    _check_present(store, artifact, broken)
    for path in sorted(broken):
        place = os.path.join(tree, path)
        tmp = place + TMP
        disk.mkdir(os.path.dirname(place))
        disk.remove(tmp)
        _put(store, artifact, wanted[path], tmp)
        if os.path.isdir(place) and not os.path.islink(place):
            disk.remove_tree(place)
        disk.publish(tmp, place)


def _make_directories(store: Store, path: str, made: Set[str]) -> None:
    if path not in made:
        _make_directories(store, os.path.dirname(path), made)
        store.disk.sys_mkdir(path, 0o755)
        made.add(path)


def _put(store: Store, artifact: Artifact, file: ArtifactFile, place: str) -> None:
    """Put one file where it belongs, and prove the very bytes that are now there."""
    source = store.executable(file.digest) if file.is_executable else store.plain(file.digest)
    is_alone = artifact.kind in ALONE
    if os.path.islink(source) or (is_alone and os.lstat(source).st_nlink > 1):
        # Another tree holds these bytes alone, or shares them where this one must not.
        copy_file(store.disk, source, place)
        seal(store.disk, place, is_executable=file.is_executable)
    else:
        store.disk.sys_link(source, place)
    if digests.of_file(place) != file.digest:
        raise store.condemn(file.digest)


def _leave_only_the_tree(store: Store, artifact: Artifact, tree: str) -> None:
    """Take away the second name of each file, so that readers who refuse hard links are content."""
    first: Dict[str, str] = {}
    for file in artifact.files:
        place = os.path.join(tree, file.path)
        if file.digest in first:
            continue
        first[file.digest] = place
        for is_executable in (False, True):
            blob = store.layout.blob(file.digest, is_executable=is_executable)
            if os.path.islink(blob) or not os.path.lexists(blob):
                continue
            if is_executable:
                store.disk.remove(blob)
            else:
                store.point_into_tree(file.digest, place)
        if not os.path.lexists(store.layout.blob(file.digest)):
            store.point_into_tree(file.digest, place)


def remove(store: Store, artifact_digest: str) -> bool:
    """Remove a tree; False where there was none. Links into it are `gc`'s to clear."""
    return store.disk.remove_tree(store.layout.tree(artifact_digest))


def rescue(store: Store, artifact: Artifact) -> None:
    """Point the store's links at this tree where they point at nothing, so that nothing is sent twice."""
    if artifact.kind not in ALONE:
        return
    tree = store.layout.tree(artifact.digest)
    for file in artifact.files:
        place = os.path.join(tree, file.path)
        if store.path_of(file.digest) is None and is_sound(place):
            store.point_into_tree(file.digest, place)


def require_sound(store: Store, artifact: Artifact) -> str:
    """The artifact's tree, when nothing in it has changed.

    Raises:
        Corrupt: names the first file that did.
    """
    damage = damage_of(store, artifact, "full")
    if damage:
        first = damage[0]
        raise Corrupt(
            f"{artifact.name} {artifact.version} on this device is damaged.",
            detail=f"{first.path or 'its tree'}: expected {first.expected}, found {first.actual}"
            + (f", and {len(damage) - 1} more." if len(damage) > 1 else "."),
            hint="Put it back with\n    edgeform apply",
        )
    return store.layout.tree(artifact.digest)
