"""Generation directories: written once, manifest last, read back by number, compared by pipeline."""

import os
from typing import Optional, Tuple

from edgeform_device.durable import TMP, Disk
from edgeform_device.errors import Corrupt
from edgeform_device.layout import Layout
from edgeform_device.records import Committed
from edgeform_wire import asks, canonical, digest, generation
from edgeform_wire.asks import Asks
from edgeform_wire.deployment import Deployment
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields
from edgeform_wire.generation import Generation, PipelineUse
from edgeform_wire.pipeline import PipelineFile


def numbers(disk: Disk, layout: Layout) -> Tuple[int, ...]:
    """The generations there are, ascending."""
    return tuple(sorted(int(n) for n in disk.names(layout.generations_dir) if n.isdigit()))


def read(disk: Disk, layout: Layout, number: int) -> Generation:
    """The manifest of a generation that must be there.

    Raises:
        Corrupt: it is missing or not whole.
    """
    content = disk.read(layout.manifest(number))
    if content is None:
        raise Corrupt(f"Generation {number} has no manifest on this device.")
    try:
        return generation.decode(content)
    except WireError as exc:
        raise Corrupt(f"The manifest of generation {number} is damaged.", str(exc)) from exc


def is_current(disk: Disk, layout: Layout, number: Optional[int]) -> bool:
    """Whether `current` names exactly this generation; None asks whether there is no link."""
    target = None if number is None else layout.generation_target(number)
    return disk.read_link(layout.current) == target


def current(disk: Disk, layout: Layout) -> Optional[int]:
    """The generation that `current` names; None where it names none."""
    name = os.path.basename(disk.read_link(layout.current) or "")
    if name.isdigit() and int(name) and is_current(disk, layout, int(name)):
        return int(name)
    return None


def write(disk: Disk, layout: Layout, number: int, deployment: Deployment, road: str) -> None:
    """Write a generation so that it is either whole under its number or not there at all."""
    content = deployment.generation
    half = layout.generation(number) + TMP
    disk.remove_tree(half)
    disk.mkdir(os.path.join(half, "pipelines"))
    for use in content.pipelines:
        path = os.path.join(
            half, "pipelines", os.path.basename(layout.pipeline_file(number, use.name))
        )
        disk.write_file(path, pipeline_file(content, use, number).encoded())
    origin = {
        "deployment": deployment.number,
        "spec_digest": deployment.spec_digest,
        "lock_digest": deployment.lock_digest,
        "plan_digest": deployment.plan_digest,
        "road": road,
        **asks.optional(deployment.policy.asks),
    }
    disk.write_file(os.path.join(half, "origin.json"), canonical.encode(origin))
    disk.write_file(os.path.join(half, "manifest.json"), content.encoded())
    disk.publish(half, layout.generation(number))


def deployment_of(disk: Disk, layout: Layout, number: int) -> int:
    """The deployment that brought a generation; 0 where its origin cannot be read."""
    try:
        value = canonical.decode(disk.read(layout.origin(number)) or b"", "origin")
        return Fields(value, "origin").integer("deployment")
    except WireError:
        return 0


def asks_of(disk: Disk, layout: Layout, number: int) -> Asks:
    """What a generation's deployment has the device look for; nothing where its origin cannot be read."""
    try:
        value = canonical.decode(disk.read(layout.origin(number)) or b"", "origin")
        return asks.asks_of(Fields(value, "origin").object("asks", default={}))
    except WireError:
        return ()


def pipeline_file(content: Generation, use: PipelineUse, number: int) -> PipelineFile:
    """What the runtime of one pipeline is told; paths are relative to the prefix."""
    model = content.artifact(use.model)
    if model is None:
        raise AssertionError(
            "decoding a generation proves that its pipelines' artifacts are listed"
        )
    return PipelineFile(
        name=use.name,
        site=content.site,
        device=content.device,
        generation=number,
        generation_digest=content.digest,
        model_ref=f"{model.name}@{model.version}/{model.variant}",
        runtime_tree=os.path.join("trees", digest.hex_of(use.runtime)),
        model_tree=os.path.join("trees", digest.hex_of(use.model)),
        engine=use.engine,
        stages=use.stages,
        secrets=use.secrets,
    )


def changed(before: Optional[Generation], after: Generation) -> Tuple[str, ...]:
    """The pipelines of `after` that must be started anew: new, or different in anything they use.

    The same generation again is for putting right what somebody changed on this device: which of it the
    running pipelines have read nobody knows, so all of them are started anew.
    """
    if before is None or before.digest == after.digest:
        return tuple(sorted(use.name for use in after.pipelines))
    old = {use.name: use for use in before.pipelines}
    return tuple(
        sorted(
            use.name
            for use in after.pipelines
            if old.get(use.name) != use or _secrets(before, use) != _secrets(after, use)
        )
    )


def removed(before: Optional[Generation], after: Optional[Generation]) -> Tuple[str, ...]:
    """The pipelines of `before` that `after` does not have."""
    if before is None:
        return ()
    kept = {use.name for use in after.pipelines} if after is not None else set()
    return tuple(sorted(use.name for use in before.pipelines if use.name not in kept))


def _secrets(content: Generation, use: PipelineUse) -> Tuple[Tuple[str, str], ...]:
    return tuple(sorted((s.name, s.hmac) for s in content.secrets if s.name in use.secrets))


def next_number(disk: Disk, layout: Layout, committed: Optional[Committed]) -> int:
    """A number that no generation of this device ever had, as far as the disk remembers."""
    there = numbers(disk, layout)
    return max((0 if committed is None else committed.generation, *there)) + 1
