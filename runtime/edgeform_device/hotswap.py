"""Changing a model in a pipeline that goes on serving: judge it beside the live one, swap, give back, free.

Nothing here is remembered: each step asks the running process what it holds and does what is still to be
done. Where the process is not what it should be, the pipeline is started anew, which is always right:
whoever starts reads `current`. So a cut anywhere costs a restart at most, and never the wrong model.
"""

from dataclasses import replace
from typing import Dict, List, Optional, Tuple

from edgeform_device import generations
from edgeform_device.control import RuntimeRefused
from edgeform_device.errors import DeviceError
from edgeform_device.found import Found, failures, named
from edgeform_device.models import CANDIDATE, LIVE, PREVIOUS, Held
from edgeform_device.ports import Environment
from edgeform_device.subject import Previous, Subject
from edgeform_device.wording import shown_bytes
from edgeform_wire import takeover
from edgeform_wire.generation import Generation, PipelineUse
from edgeform_wire.receipt import CheckResult

ROOM_BYTES = 32 * 1024 * 1024
"""What must stay free beside the second model: frames, buffers, and a kernel that reclaims nothing."""
UNKNOWN_MODEL_BYTES = 16 * 1024 * 1024
"""Assumed on top of twice the file for a model of which nobody has measured anything."""
NEEDS_RESTART = "needs_restart"


def gate(
    env: Environment,
    before: Optional[Generation],
    after: Generation,
    number: int,
    seen_bytes: Dict[str, int],
) -> Found:
    """Load and judge the new models in the running pipelines. Nothing is switched by it.

    Args:
        seen_bytes: what the new model took in its shadow, for the pipelines that had one.

    Returns:
        For every pipeline that will stop and start instead, a skipped `candidate` that says why.
    """
    results: List[CheckResult] = []
    for name in generations.changed(before, after):
        if _use(before, name) is None:
            continue  # it interrupts nothing
        use = _required(after, name)
        why, measured = _obstacle(env, before, after, use, seen_bytes)
        if why:
            results.append(_stops(name, why, measured))
            continue
        old = _required(before, name) if before is not None else None
        found = _judged(env, use, number, old, has_shadow=name in seen_bytes)
        results.extend(found.results)
        if found.problem:
            free_candidates(env, after)
            return Found(tuple(results), found.problem)
    return Found(tuple(results))


def take_over(
    env: Environment, before: Optional[Generation], after: Generation, number: int
) -> Dict[str, str]:
    """Swap what the gate has loaded; how each of these pipelines got its model. The others need a start."""
    done: Dict[str, str] = {}
    for name in generations.changed(before, after):
        if takeover.obstacle(before, after, name):
            continue
        wanted = _content(after, name, number)
        held = env.models.held(name)
        if held is not None and _serves(held, wanted, number):
            done[name] = "it had started anew by itself, and reads the new one since"
            continue
        if held is None or not held.holds(CANDIDATE, wanted):
            continue
        try:
            env.models.swap(name, CANDIDATE, wanted)
        except DeviceError:
            continue
        done[name] = "the model was swapped while it went on serving"
    return done


def give_back(
    env: Environment, failed: Optional[Generation], before: Generation, number: int
) -> Tuple[str, ...]:
    """Swap the committed models back; the pipelines that serve them again, proven by their goldens."""
    if failed is None:
        return ()
    done = []
    for name in generations.changed(failed, before):
        if takeover.obstacle(failed, before, name):
            continue
        use, wanted = _required(before, name), _content(before, name, number)
        if _swapped_back(env, name, wanted) and _is_right(env, use):
            for slot in (CANDIDATE, PREVIOUS):
                env.models.free(name, slot)
            done.append(name)
    return tuple(done)


def strangers(env: Environment, content: Generation, number: int) -> Tuple[str, ...]:
    """The running pipelines that say they serve something else than this generation."""
    found = []
    for use in content.pipelines:
        held = env.models.held(use.name)
        if held is not None and not held.holds(LIVE, _content(content, use.name, number)):
            found.append(use.name)
    return tuple(sorted(found))


def before_of(
    env: Environment, old: Optional[PipelineUse], held: Optional[Held]
) -> Optional[Previous]:
    """The generation before as it serves now; None where it does not."""
    if old is None or held is None:
        return None
    return Previous(env.layout.socket(old.name), env.layout.tree(old.model), held.pid)


def free_candidates(env: Environment, content: Generation) -> None:
    """Forget what was loaded and not swapped, wherever somebody answers."""
    _free(env, content, (CANDIDATE,))


def free_previous(env: Environment, content: Generation) -> None:
    """Give back the memory of what was live before, now that nobody returns to it."""
    _free(env, content, (CANDIDATE, PREVIOUS))


def _free(env: Environment, content: Generation, slots: Tuple[str, ...]) -> None:
    for use in content.pipelines:
        held = env.models.held(use.name)
        for slot in slots:
            if held is not None and slot in held.slots:
                env.models.free(use.name, slot)


def _obstacle(
    env: Environment,
    before: Optional[Generation],
    after: Generation,
    use: PipelineUse,
    seen_bytes: Dict[str, int],
) -> Tuple[str, Dict[str, int]]:
    """Why it must stop and start, and the numbers behind that; empty when it need not."""
    why = takeover.obstacle(before, after, use.name)
    if why:
        return why, {}
    held = env.models.held(use.name)
    if held is None or LIVE not in held.slots:
        return "the running pipeline does not say what it holds", {}
    env.models.free(use.name, CANDIDATE)
    env.models.free(use.name, PREVIOUS)
    needed = seen_bytes.get(use.name) or _needed_bytes(before, after, use, held)
    room = env.models.room_bytes(use.name)
    measured = {"needed_bytes": needed + ROOM_BYTES, "available_bytes": room}
    if room < needed + ROOM_BYTES:
        short = f"{shown_bytes(room)} of memory left, {shown_bytes(needed + ROOM_BYTES)} needed"
        return f"no room for two models: {short}", measured
    return "", measured


def _needed_bytes(
    before: Optional[Generation], after: Generation, use: PipelineUse, held: Held
) -> int:
    """What the live model took when it was loaded, scaled by size; at least twice the new file."""
    old = _use(before, use.name)
    old_size = 0 if before is None or old is None else _size(before, old.model)
    new_size = _size(after, use.model)
    grown = held.slots[LIVE].grown_bytes
    scaled = grown * max(1.0, new_size / old_size) if old_size else float(grown)
    return max(int(scaled), 2 * new_size + (0 if grown else UNKNOWN_MODEL_BYTES))


def _judged(
    env: Environment, use: PipelineUse, number: int, old: Optional[PipelineUse], *, has_shadow: bool
) -> Found:
    try:
        env.models.load(use.name, number)
    except RuntimeRefused as exc:
        if exc.reason == NEEDS_RESTART:
            return Found((_stops(use.name, exc.detail, {}),))
        return Found((), f"Candidate: {use.name}: {exc.detail or exc.summary}")
    except DeviceError as exc:
        said = f"the running pipeline did not answer while it loaded the model ({exc.detail or exc.summary})"
        # A shadow has loaded it: then it is this process that is not well, and a new one will judge.
        return (
            Found((_stops(use.name, said, {}),)) if has_shadow else Found((), f"Candidate: {said}")
        )
    held = env.models.held(use.name)
    subject = replace(
        _subject(env, use, CANDIDATE, held, number), previous=before_of(env, old, held)
    )
    results = tuple(named("candidate", r) for r in env.checks.run(subject))
    problem = "" if env.checks.is_acceptable(results) else f"Candidate: {failures(results)}"
    return Found(results, problem)


def _swapped_back(env: Environment, name: str, wanted: str) -> bool:
    held = env.models.held(name)
    if held is None:
        return False
    if held.holds(LIVE, wanted):
        return True
    if not held.holds(PREVIOUS, wanted):
        return False
    try:
        env.models.swap(name, PREVIOUS, wanted)
    except DeviceError:
        return False
    return True


def _is_right(env: Environment, use: PipelineUse) -> bool:
    """Whether the live model answers its goldens: what a process says about itself is not enough."""
    asked = replace(use, checks={"golden": use.checks.get("golden", True)})
    subject = _subject(env, asked, LIVE, env.models.held(use.name), None)
    return env.checks.is_acceptable(env.checks.run(subject))


def _subject(
    env: Environment, use: PipelineUse, slot: str, held: Optional[Held], number: Optional[int]
) -> Subject:
    return Subject(
        use=use,
        model_tree=env.layout.tree(use.model),
        socket_path=env.layout.socket(use.name),
        pid=0 if held is None else held.pid,
        slot=slot,
        generation=number,
    )


def _serves(held: Held, wanted: str, number: int) -> bool:
    return held.holds(LIVE, wanted) and held.slots[LIVE].generation == number


def _stops(name: str, why: str, measured: Dict[str, int]) -> CheckResult:
    return CheckResult("candidate", name, "skipped", f"it stops and starts: {why}", dict(measured))


def _content(content: Generation, name: str, number: int) -> str:
    return generations.pipeline_file(content, _required(content, name), number).content_digest


def _size(content: Generation, digest: str) -> int:
    found = content.artifact(digest)
    return 0 if found is None else found.size_bytes


def _use(content: Optional[Generation], name: str) -> Optional[PipelineUse]:
    pipelines = () if content is None else content.pipelines
    return next((use for use in pipelines if use.name == name), None)


def _required(content: Generation, name: str) -> PipelineUse:
    return next(use for use in content.pipelines if use.name == name)
