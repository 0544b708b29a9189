"""The parts of a transaction that touch running pipelines: shadow gate, switch of services, live checks.

Each gives a value that says how it went; none of them decides.
"""

from typing import Callable, Dict, List, Optional

from edgeform_device import generations, hotswap
from edgeform_device.found import Found, failures, named
from edgeform_device.health import Health
from edgeform_device.models import LIVE
from edgeform_device.ports import Environment
from edgeform_device.settle import POLL_S, await_healthy, describe
from edgeform_device.subject import Subject
from edgeform_device.wording import sentence
from edgeform_wire.generation import Generation, PipelineUse
from edgeform_wire.receipt import CheckResult

READY_WITHIN_S = 120.0
FAILED_STARTS = 3
"""A pipeline may start too early once, for example while its neighbour still has the port it takes over."""
SHADOW_HEADROOM_BYTES = 64 * 1024 * 1024
"""What must stay available beside the shadow, so that the kernel reclaims nothing from the live one."""
UNKNOWN_RUNTIME_BYTES = 192 * 1024 * 1024
"""Assumed for a pipeline without a limit that does not run yet, on top of twice its model."""

Interrupted = Callable[[], bool]


def shadow_gate(
    env: Environment, before: Optional[Generation], after: Generation, number: int
) -> Found:
    """Judge every changed pipeline beside the live one, one at a time. Nothing is switched by it."""
    results: List[CheckResult] = []
    grown: Dict[str, int] = {}
    for name in generations.changed(before, after):
        use = pipeline(after, name)
        needed = needed_bytes(env, after, use)
        available = env.services.available_bytes()
        if available < needed + SHADOW_HEADROOM_BYTES:
            results.append(_skipped(name, needed, available))
            continue
        found = _judge_shadow(env, use, number, before)
        results.extend(found.results)
        grown.update(found.grown_bytes)
        if found.problem:
            return Found(tuple(results), found.problem)
    return Found(tuple(results), grown_bytes=grown)


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


def switch_services(
    env: Environment, before: Optional[Generation], after: Generation, number: int
) -> Found:
    """Run the new generation's pipelines: swapped where the gate has prepared that, else started anew.

    Each `switch` among the results says which it was, and how long nobody answered.
    """
    env.services.define(after)
    env.services.stop(generations.removed(before, after))
    swapped = hotswap.take_over(env, before, after, number)
    anew = tuple(n for n in generations.changed(before, after) if n not in swapped)
    since_s = env.clock.boottime_s()
    env.services.restart(anew)
    env.services.start(tuple(sorted(use.name for use in after.pipelines)))
    found = await_healthy(env, after, READY_WITHIN_S, failures=FAILED_STARTS)
    down_s = round(env.clock.boottime_s() - since_s, 3)
    ran = set() if before is None else {use.name for use in before.pipelines}
    results = [_switched(name, how, 0.0) for name, how in sorted(swapped.items())]
    for name in anew:
        if name in ran:
            how = f"it was stopped and started; nobody answered for at most {down_s:.1f} s"
            results.append(_switched(name, how, down_s))
    return Found(tuple(results), " ".join(sentence(problem) for problem in found))


def _switched(name: str, how: str, down_s: float) -> CheckResult:
    return CheckResult("switch", name, "pass", how, {"down_s": down_s})


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


def pipeline(content: Generation, name: str) -> PipelineUse:
    return next(use for use in content.pipelines if use.name == name)


def _judge_shadow(
    env: Environment, use: PipelineUse, number: int, before: Optional[Generation]
) -> Found:
    old = (
        None if before is None else next((u for u in before.pipelines if u.name == use.name), None)
    )
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
            previous=hotswap.before_of(env, old, env.models.held(use.name)),
        )
        results = tuple(named("shadow", r) for r in env.checks.run(subject))
        held = env.models.held(use.name, is_shadow=True)
    finally:
        env.services.stop_shadow(use.name)
    if env.checks.is_acceptable(results):
        grown = 0 if held is None or LIVE not in held.slots else held.slots[LIVE].grown_bytes
        return Found(results, grown_bytes={use.name: grown})
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


def _skipped(name: str, needed: int, available: int) -> CheckResult:
    return CheckResult(
        name="shadow",
        pipeline=name,
        verdict="skipped",
        detail="not enough memory to run it beside the live one; it is judged in the service",
        measured={"needed_bytes": needed, "available_bytes": available},
    )


def _changed_health(first: Health, now: Health) -> str:
    if not now.is_ready:
        return f"It did not stay healthy. {describe(now)}"
    if now.pid != first.pid:
        return f"It did not stay healthy. {now.name} was restarted while it was watched."
    return ""
