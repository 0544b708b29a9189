"""Whether a running pipeline can take over what a new generation changes, or must be started anew.

Asked by the plan, which promises a downtime, and by the device, which has to keep to it. A process can
take another model and what stands next to it (preprocessing, postprocessing of the same kind); its
closure, its limits, its secrets and everything that it opens to the outside are what it was started with.
"""

from typing import Optional, Tuple

from edgeform_wire.generation import Generation, PipelineUse

WITH_THE_MODEL = ("preprocess", "postprocess")
"""Stages that are loaded with the model; all others belong to the process."""


def obstacle(before: Optional[Generation], after: Generation, name: str) -> str:
    """Why the pipeline must be started anew, in a few words; empty when the running one takes it over."""
    was, now = _use(before, name), _use(after, name)
    if before is None or was is None or now is None:
        return "it does not run yet"
    if before.digest == after.digest:
        return "the same generation again puts right whatever the process has read"
    if (was.runtime, was.engine) != (now.runtime, now.engine):
        return "the runtime changes"
    if was.limits != now.limits:
        return "its limits change"
    if was.secrets != now.secrets or _secrets(before, was) != _secrets(after, now):
        return "its secrets change"
    return _stage_obstacle(was, now)


def _stage_obstacle(was: PipelineUse, now: PipelineUse) -> str:
    names = sorted(was.stages.keys() | now.stages.keys())
    for name in names:
        if name not in WITH_THE_MODEL and was.stages.get(name) != now.stages.get(name):
            return f"its {name} changes"
    if _kind(was) != _kind(now):
        return "its postprocess is another kind"
    return ""


def _kind(use: PipelineUse) -> object:
    chosen = use.stages.get("postprocess")
    return chosen.get("kind") if isinstance(chosen, dict) else None


def _use(content: Optional[Generation], name: str) -> Optional[PipelineUse]:
    pipelines = () if content is None else content.pipelines
    return next((use for use in pipelines if use.name == name), None)


def _secrets(content: Generation, use: PipelineUse) -> Tuple[Tuple[str, str], ...]:
    return tuple(sorted((s.name, s.hmac) for s in content.secrets if s.name in use.secrets))
