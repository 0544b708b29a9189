"""What differs between two generation manifests, as changes.

The device's name does not count: two devices that go from equal manifests to equal manifests have
equal changes, and the work is done once for both.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from edgeform.plan import changes as c
from edgeform.plan.changes import FieldChange, GenerationChange, Reason, Ref, Undoing
from edgeform_wire import canonical, generation, takeover
from edgeform_wire.errors import WireError
from edgeform_wire.generation import ArtifactRef, Generation, PipelineUse

SWITCH_S = 2.0
"""The service gap of a switch: the target of the device's design, and what its tests hold it to."""

ReasonOf = Callable[[ArtifactRef, ArtifactRef], Reason]
"""Why an artifact is replaced by another of the same name."""


class Manifests:
    """Reads manifests and compares them, each pair once however many devices have it."""

    def __init__(self) -> None:
        self._read = lru_cache(maxsize=4096)(_read)
        self._pairs: dict[tuple[str | None, str, Reason | None], tuple[GenerationChange, ...]] = {}

    def changes(
        self,
        device: str,
        before: str | None,
        after: str,
        *,
        reason_of: ReasonOf,
        all_because: Reason | None = None,
        generation: Generation | None = None,
    ) -> tuple[GenerationChange, ...]:
        """What must change from one manifest to the other, unordered.

        Args:
            before: the committed manifest; None on a device without one.
            generation: what `after` says, where the caller made it; else it is read.
            all_because: one reason for everything, where the caller knows better.

        Raises:
            WireError: `before` does not follow the schema that this side speaks.
        """
        without = None if before is None else _nameless(before, device)
        key = (without, _nameless(after, device), all_because)
        found = self._pairs.get(key)
        if found is None:
            old = None if without is None else self._read(without)
            new = (
                self._read(key[1]) if generation is None else replace(generation, device=_NAMELESS)
            )
            found = tuple(_compared(old, new, reason_of=reason_of, all_because=all_because))
            self._pairs[key] = found
        return found


_NAMELESS = "device"


def _nameless(manifest: str, device: str) -> str:
    return manifest.replace(f'"device":"{device}"', f'"device":"{_NAMELESS}"', 1)


def _read(manifest: str) -> Generation:
    return generation.decode(manifest.encode())


def _compared(
    before: Generation | None,
    after: Generation,
    *,
    reason_of: ReasonOf,
    all_because: Reason | None,
) -> Iterator[GenerationChange]:
    if before is None:
        before = Generation(
            site=after.site,
            device=after.device,
            artifacts=(),
            pipelines=(),
            keep_generations=after.keep_generations,
        )
        all_because = all_because or Reason.FIRST_INSTALL
    if (before.site, before.device) != (after.site, after.device):
        raise WireError(f"it belongs to {before.site}/{before.device}, which is another device")
    reason = all_because or Reason.SPEC_CHANGED
    yield from _artifacts(
        before, after, lambda old, new: all_because or reason_of(old, new), reason
    )
    yield from _pipelines(before, after, reason)
    yield from _secrets(before, after, reason)
    if before.keep_generations != after.keep_generations:
        yield c.KeepGenerations(
            before=before.keep_generations, after=after.keep_generations, reason=reason
        )


def _artifacts(
    before: Generation, after: Generation, reason_of: ReasonOf, reason: Reason
) -> Iterator[GenerationChange]:
    old, new = _by_name(before), _by_name(after)
    for kind, name in sorted(old.keys() | new.keys()):
        had, gets = old.get((kind, name), ()), new.get((kind, name), ())
        gone = [ref for ref in had if ref not in gets]
        come = [ref for ref in gets if ref not in had]
        for was, now in zip(gone, come, strict=False):
            swaps = _swap(before, after, now.digest)
            yield _replaced(was, now, reason_of(was, now), swaps=swaps)
        for now in come[len(gone) :]:
            yield _added(now, reason)
        for was in gone[len(come) :]:
            yield c.Retire(kind=kind, name=name, before=_ref(was), reason=reason)


def _by_name(manifest: Generation) -> dict[tuple[str, str], tuple[ArtifactRef, ...]]:
    found: dict[tuple[str, str], tuple[ArtifactRef, ...]] = {}
    for ref in sorted(manifest.artifacts, key=lambda a: (a.variant, a.version, a.digest)):
        found[ref.kind, ref.name] = (*found.get((ref.kind, ref.name), ()), ref)
    return found


def _added(now: ArtifactRef, reason: Reason) -> GenerationChange:
    if now.kind == "runtime":
        return c.SwitchRuntime(
            name=now.name, before=None, after=_ref(now), reason=reason, send_bytes=now.size_bytes
        )
    return c.InstallModel(name=now.name, after=_ref(now), reason=reason, send_bytes=now.size_bytes)


def _swap(before: Generation, after: Generation, model: str) -> bool:
    """Whether all pipelines that get this model take it over as they run."""
    users = [use.name for use in after.pipelines if use.model == model]
    running = {use.name for use in before.pipelines}
    return all(not takeover.obstacle(before, after, name) for name in users if name in running)


def _replaced(
    was: ArtifactRef, now: ArtifactRef, reason: Reason, *, swaps: bool
) -> GenerationChange:
    sent = 0 if was.digest == now.digest else now.size_bytes  # only its epoch was raised
    if now.kind == "runtime":
        return c.SwitchRuntime(
            name=now.name,
            before=_ref(was),
            after=_ref(now),
            reason=reason,
            send_bytes=sent,
            downtime_s=SWITCH_S,
        )
    return c.ReplaceModel(
        name=now.name,
        before=_ref(was),
        after=_ref(now),
        reason=reason,
        send_bytes=sent,
        downtime_s=SWITCH_S,
        swaps=swaps,
    )


def _ref(artifact: ArtifactRef) -> Ref:
    return Ref(version=artifact.version, variant=artifact.variant, digest=artifact.digest)


def _pipelines(before: Generation, after: Generation, reason: Reason) -> Iterator[GenerationChange]:
    old = {p.name: p for p in before.pipelines}
    new = {p.name: p for p in after.pipelines}
    kept = {a.digest for a in before.artifacts} & {a.digest for a in after.artifacts}
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if now is None:
            yield c.RemovePipeline(name=name, reason=reason)
        elif was is None:
            yield c.AddPipeline(
                name=name, model=_label(after, now.model), engine=now.engine, reason=reason
            )
        elif fields := tuple(_differences(before, was, after, now, kept)):
            yield c.ChangePipeline(
                name=name,
                fields=fields,
                reason=reason,
                downtime_s=SWITCH_S,
                swaps=not takeover.obstacle(before, after, name),
            )


def _differences(
    before: Generation, was: PipelineUse, after: Generation, now: PipelineUse, kept: set[str]
) -> Iterator[FieldChange]:
    """What differs in a pipeline, but for artifacts whose replacement is a change of its own."""
    for what, old, new in (("model", was.model, now.model), ("runtime", was.runtime, now.runtime)):
        if old != new and (old in kept or new in kept):
            yield FieldChange(
                path=what, before=_json(_label(before, old)), after=_json(_label(after, new))
            )
    for what in ("engine", "stages", "checks", "limits", "secrets"):
        yield from field_changes(what, _plain(getattr(was, what)), _plain(getattr(now, what)))


def field_changes(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    """The leaves of two JSON values that differ, by their path."""
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _object_changes(path, before, after)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from field_changes(f"{path}[{index}]", old, new)
    elif before != after or type(before) is not type(after):
        yield FieldChange(path=path, before=_json(before), after=_json(after))


def _object_changes(
    path: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[FieldChange]:
    for key in sorted(before.keys() | after.keys()):
        inner = f"{path}.{key}"
        if key not in before:
            yield FieldChange(path=inner, before=None, after=_json(after[key]))
        elif key not in after:
            yield FieldChange(path=inner, before=_json(before[key]), after=None)
        else:
            yield from field_changes(inner, before[key], after[key])


def _secrets(before: Generation, after: Generation, reason: Reason) -> Iterator[GenerationChange]:
    old = {s.name: s.hmac for s in before.secrets}
    new = {s.name: s.hmac for s in after.secrets}
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield c.DropSecret(name=name, reason=reason)
        elif old.get(name) != new[name]:
            replaces = name in old
            yield c.PutSecret(
                name=name,
                replaces=replaces,
                reason=reason,
                undo=Undoing.NONE if replaces else Undoing.GENERATION,
                downtime_s=SWITCH_S if replaces else 0.0,
            )


def _label(manifest: Generation, digest: str) -> str:
    found = manifest.artifact(digest)
    return digest if found is None else f"{found.name} {found.version} {found.variant}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _json(value: Any) -> str:
    return canonical.encode(value).decode()
