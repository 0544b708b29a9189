"""The parts of a transaction that touch running pipelines: shadow gate, switch of services, live checks.

Each gives a value that says how it went; none of them decides.
"""

from dataclasses import dataclass, field
from typing import Callable, List, Optional, Tuple

from edgeform_device import generations
from edgeform_device.health import Health
from edgeform_device.ports import Environment
from edgeform_device.settle import POLL_S, await_healthy, describe
from edgeform_device.subject import Subject
from edgeform_wire.generation import Generation, PipelineUse
from edgeform_wire.receipt import CheckResult

READY_WITHIN_S = 120.0
SHADOW_HEADROOM_BYTES = 64 * 1024 * 1024
"""What must stay available beside the shadow, so that the kernel reclaims nothing from the live one."""
UNKNOWN_RUNTIME_BYTES = 192 * 1024 * 1024
"""Assumed for a pipeline without a limit that does not run yet, on top of twice its model."""

Interrupted = Callable[[], bool]


@dataclass(frozen=True)
class Found:
    """What a gate found.

    Args:
        problem: why it is not passed, for people; empty when it is.
    """

    results: Tuple[CheckResult, ...] = field(default=())
    problem: str = ""


def shadow_gate(
    env: Environment, before: Optional[Generation], after: Generation, number: int
) -> Found:
    """Judge every changed pipeline beside the live one, one at a time. Nothing is switched by it."""
    results: List[CheckResult] = []
    for name in generations.changed(before, after):
        use = pipeline(after, name)
        needed = needed_bytes(env, after, use)
        available = env.services.available_bytes()
        if available < needed + SHADOW_HEADROOM_BYTES:
            results.append(_skipped(name, needed, available))
            continue
        found = _judge_shadow(env, use, number)
        results.extend(found.results)
        if found.problem:
            return Found(tuple(results), found.problem)
    return Found(tuple(results))


def needed_bytes(env: Environment, content: Generation, use: PipelineUse) -> int:
    """How much memory a pipeline may take: its limit, else what it takes now, else a guess."""
    limit = use.limits.get("memory_bytes")
    if isinstance(limit, int):
        return limit
    resident = env.services.resident_bytes(use.name)
    if resident is not None:
        return resident
    model = content.artifact(use.model)
    return UNKNOWN_RUNTIME_BYTES + 2 * (0 if model is None else model.size_bytes)


def switch_services(env: Environment, before: Optional[Generation], after: Generation) -> str:
    """Run the new generation's pipelines; why they are not all ready, or an empty text."""
    env.services.define(after)
    env.services.stop(generations.removed(before, after))
    env.services.restart(generations.changed(before, after))
    env.services.start(tuple(sorted(use.name for use in after.pipelines)))
    return " ".join(await_healthy(env, after, READY_WITHIN_S))


def live_checks(
    env: Environment, before: Optional[Generation], after: Generation, number: int
) -> Found:
    """Judge every pipeline as it runs now, each one for itself.

    A pipeline that did not change was not restarted and still names the generation it was started from.
    """
    changed = generations.changed(before, after)
    results: List[CheckResult] = []
    for use in after.pipelines:
        health = env.services.health(use.name)
        if not health.is_ready:
            return Found(tuple(results), describe(health))
        subject = Subject(
            use=use,
            model_tree=env.layout.tree(use.model),
            socket_path=env.layout.socket(use.name),
            pid=health.pid,
            generation=number if use.name in changed else None,
        )
        found = env.checks.run(subject)
        results.extend(found)
        if not env.checks.is_acceptable(found):
            return Found(tuple(results), failures(found))
    return Found(tuple(results))


def soak(env: Environment, content: Generation, soak_s: float, is_interrupted: Interrupted) -> str:
    """Why the generation did not stay healthy for that long; empty when it did."""
    first = {use.name: env.services.health(use.name) for use in content.pipelines}
    until = env.clock.boottime_s() + soak_s
    while True:
        for use in content.pipelines:
            health = env.services.health(use.name)
            problem = _changed_health(first[use.name], health)
            if problem:
                return problem
        left = until - env.clock.boottime_s()
        if left <= 0 or is_interrupted():
            return ""
        env.clock.sleep(min(POLL_S, left))


def failures(results: Tuple[CheckResult, ...]) -> str:
    """The failed checks in one sentence for people."""
    failed = [r for r in results if r.verdict == "fail"] or list(results)
    said = "; ".join(f"{r.pipeline}: {r.name}: {r.detail}" for r in failed)
    return f"Checks failed. {said}"


def pipeline(content: Generation, name: str) -> PipelineUse:
    return next(use for use in content.pipelines if use.name == name)


def _judge_shadow(env: Environment, use: PipelineUse, number: int) -> Found:
    try:
        pid = env.services.start_shadow(number, use)
        problem = _await_shadow(env, use.name)
        if problem:
            return Found((), f"Shadow gate: {problem}")
        subject = Subject(
            use=use,
            model_tree=env.layout.tree(use.model),
            socket_path=env.layout.socket(use.name, is_shadow=True),
            pid=pid,
            generation=number,
        )
        results = tuple(_as_shadow(r) for r in env.checks.run(subject))
    finally:
        env.services.stop_shadow(use.name)
    if env.checks.is_acceptable(results):
        return Found(results)
    return Found(results, f"Shadow gate: {failures(results)}")


def _await_shadow(env: Environment, name: str) -> str:
    until = env.clock.boottime_s() + READY_WITHIN_S
    while True:
        health = env.services.shadow_health(name)
        if health.is_ready:
            return ""
        is_over = env.clock.boottime_s() >= until
        if is_over or not health.is_active or health.phase == "failed":
            return describe(health)
        env.clock.sleep(POLL_S)


def _as_shadow(result: CheckResult) -> CheckResult:
    return CheckResult(
        name=f"shadow.{result.name}",
        pipeline=result.pipeline,
        verdict=result.verdict,
        detail=result.detail,
        measured=result.measured,
    )


def _skipped(name: str, needed: int, available: int) -> CheckResult:
    return CheckResult(
        name="shadow",
        pipeline=name,
        verdict="skipped",
        detail="not enough memory to run it beside the live one; it was judged after the switch",
        measured={"needed_bytes": needed, "available_bytes": available},
    )


def _changed_health(first: Health, now: Health) -> str:
    if not now.is_ready:
        return f"It did not stay healthy. {describe(now)}"
    if now.pid != first.pid:
        return f"It did not stay healthy. {now.name} was restarted while it was watched."
    return ""
