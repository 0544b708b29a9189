"""What on this device is not what its own last confirmed generation says; looks only, repairs nothing.

The link, the manifest, the files of the trees, the pipeline files and the state of the services are
compared. A digest is proof; a glance (size, mode, time) finds what somebody edited without hiding it.
"""

import os
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple

from edgeform_device import generations
from edgeform_device.durable import Disk
from edgeform_device.errors import DeviceError, Usage
from edgeform_device.layout import Layout
from edgeform_device.records import Committed, State
from edgeform_wire import digest as digests
from edgeform_wire.generation import Generation

MAX_FOUND = 200
LEVELS = ("none", "sample", "full")


@dataclass(frozen=True)
class Drift:
    """One thing that differs; `kind` is link, file or configuration."""

    kind: str
    path: str
    expected: str
    actual: str

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self))


def drift(disk: Disk, layout: Layout, level: str) -> Tuple[Drift, ...]:
    """Everything that differs from the committed generation, at most MAX_FOUND; empty before the first.

    Args:
        level: how thoroughly files are compared: `none`, `sample` or `full`.

    Raises:
        Usage: another level. Corrupt: a state file cannot be read.
    """
    if level not in LEVELS:
        raise Usage(f"verify is one of {', '.join(LEVELS)}, not {level!r:.40}.")
    record = State(disk, layout)
    committed = record.committed()
    if committed is None:
        return ()
    found: List[Drift] = list(_link(disk, layout, committed))
    if found and record.committed() != committed:
        return drift(disk, layout, level)  # a transaction ended between the two looks
    content = _manifest(disk, layout, committed, found)
    if content is not None:
        found += _configuration(disk, layout, committed.generation, content)
        found += _files(disk, layout, content, level)
    return tuple(found[:MAX_FOUND])


def _link(disk: Disk, layout: Layout, committed: Committed) -> Iterator[Drift]:
    expected = layout.generation_target(committed.generation)
    actual = disk.read_link(layout.current) or "absent"
    if actual == expected:
        return
    if actual != _on_trial(disk, layout):
        yield Drift("link", "current", expected, actual)


def _on_trial(disk: Disk, layout: Layout) -> Optional[str]:
    """Where the link may point, too, as long as a transaction is undecided or being finished."""
    record = State(disk, layout)
    txn = record.txn() or record.committing() or record.reverting()
    return None if txn is None else layout.generation_target(txn.to_generation)


def _manifest(
    disk: Disk, layout: Layout, committed: Committed, found: List[Drift]
) -> Optional[Generation]:
    path = _below(layout, layout.manifest(committed.generation))
    content = disk.read(layout.manifest(committed.generation))
    actual = "absent" if content is None else digests.of_bytes(content)
    if actual != committed.digest:
        found.append(Drift("file", path, committed.digest, actual))
        return None
    return generations.read(disk, layout, committed.generation)


def _configuration(disk: Disk, layout: Layout, number: int, content: Generation) -> Iterator[Drift]:
    for use in content.pipelines:
        path = layout.pipeline_file(number, use.name)
        expected = generations.pipeline_file(content, use, number).encoded()
        actual = disk.read(path)
        if actual != expected:
            yield Drift(
                "configuration",
                _below(layout, path),
                digests.of_bytes(expected),
                "absent" if actual is None else digests.of_bytes(actual),
            )


def _files(disk: Disk, layout: Layout, content: Generation, level: str) -> Iterator[Drift]:
    if level == "none":
        for ref in content.artifacts:
            if not os.path.isdir(layout.tree(ref.digest)):
                yield Drift("file", _below(layout, layout.tree(ref.digest)), ref.digest, "absent")
        return
    from edgeform_device import manifests, store, trees  # noqa: PLC0415 - most questions do without

    blobs = store.Store(layout, disk)
    for ref in content.artifacts:
        tree = _below(layout, layout.tree(ref.digest))
        try:
            artifact = manifests.read_artifact(blobs, ref.digest)
        except DeviceError as exc:
            yield Drift("file", tree, ref.digest, exc.summary)
            continue
        for damage in trees.damage_of(blobs, artifact, level):
            yield Drift("file", os.path.join(tree, damage.path), damage.expected, damage.actual)


def _below(layout: Layout, path: str) -> str:
    return os.path.relpath(path, layout.prefix)
