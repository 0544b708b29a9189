"""Every cut through a real transaction, and what the real recovery makes of what is left.

`explore` runs a story on the device in memory. Before each system call that changes something it asks
which trees may be on the medium if the power goes now (and what is there if only the process dies).
From each of them recovery runs, and is itself cut before each of its system calls, and runs again.
"""

from collections import Counter
from dataclasses import dataclass, field

from support.memdisk import File, MemoryDisk, states_after_cut, thawed
from support.memdpkg import packages
from support.transact import World

from edgeform_device import debs, decide, generations, recovery, settle
from edgeform_device.errors import DeviceError
from edgeform_device.transaction import resume

STATE_LIMIT = 20_000


@dataclass
class Report:
    """What was found: how many states, and the violations by their sentence."""

    states: int = 0
    first_cuts: int = 0
    second_cuts: int = 0
    violations: Counter = field(default_factory=Counter)
    stops_at_first: bool = False

    def violated(self, said):
        self.violations[said] += 1
        if self.stops_at_first:
            raise Killed


@dataclass
class Story:
    """A device and what is done to it.

    Args:
        make: a device before the story, its disk all on the medium.
        run: the story.
        old, new: generation numbers before and after; None for a device without one.
    """

    make: object
    run: object
    old: object
    new: object
    has_link: bool = True


class Killed(BaseException):
    """The process ended here; not an Exception, so that nothing in the product can catch it."""


def has_violation(story, make_disk=MemoryDisk):
    """Whether any cut, or then any pair of cuts, breaks an invariant; stops at the first."""
    return any(
        explore(story, make_disk, first_only=True, cut_again=again).violations
        for again in (False, True)
    )


def explore(story, make_disk=MemoryDisk, *, first_only=False, cut_again=True):
    """Run the story and recover from every cut; the report has no violation, or says which."""
    report = Report(stops_at_first=first_only)
    seen = set()
    world = story.make(make_disk)

    def cut(name, path):
        is_acked = has_acknowledged(world.disk)
        for state in states_after_cut(world.disk.root):
            _examine(story, report, seen, state, is_acked, make_disk, depth=1 + cut_again)
        volatile = frozen_now(world.disk.root)
        # The transaction's process alone; then the pipelines' processes too, which come back by themselves.
        for survives in (True, False):
            _examine_kill(story, report, seen, volatile, is_acked, make_disk, world, survives)

    world.disk.before_call = cut
    try:
        story.run(world)
        cut("end", "")
    except Killed:
        pass
    return report


def _examine(story, report, seen, state, is_acked, make_disk, *, depth):
    key = (skeleton(state), is_acked, depth)
    if key in seen:
        return
    seen.add(key)
    report.states += 1
    if report.states > STATE_LIMIT:
        raise RuntimeError(f"more than {STATE_LIMIT} states")
    if depth:
        report.first_cuts += 1
    else:
        report.second_cuts += 1
    said = before_recovery(story, state)
    if said:
        report.violated(said)
    world = booted(state, "boot-2" if depth else "boot-3", make_disk)
    if depth == 2:

        def again(name, path):
            acked_now = is_acked or has_acknowledged(world.disk)
            for left in states_after_cut(world.disk.root):
                _examine(story, report, seen, left, acked_now, make_disk, depth=0)

        world.disk.before_call = again
    judge(story, report, world, is_acked, recover_after_power_cut)


def _examine_kill(story, report, seen, state, is_acked, make_disk, world, survives):
    memory = repr(
        sorted((name, sorted(slots.items())) for name, slots in world.models.memory.items())
    )
    key = (skeleton(state), is_acked, "kill", memory if survives else "")
    if key in seen:
        return
    seen.add(key)
    report.states += 1
    left = booted(state, "boot-1", make_disk)
    left.services.running = dict(world.services.running)
    left.models.memory = {name: dict(slots) for name, slots in world.models.memory.items()}
    if not survives:
        for name in tuple(left.services.running):
            if left.current is None or name.endswith(".shadow"):
                del left.services.running[name]
            else:
                left.services.crash(name)
    judge(story, report, left, is_acked, finish_after_kill)


def judge(story, report, world, is_acked, repair):
    try:
        repair(world)
    except (DeviceError, OSError, ValueError, AssertionError) as exc:
        report.violated(f"recovery failed: {type(exc).__name__}: {exc}")
        return
    said = after_recovery(story, world, is_acked, is_swept=repair is recover_after_power_cut)
    if said:
        report.violated(said)


def booted(state, boot, make_disk):
    world = World(disk=make_disk(thawed(state)))
    world.clock.boot = boot
    for name in world.disk.names(world.layout.generations_dir):
        if name.isdigit():
            world.preparation.deployments[int(name)] = None
    return world


def recover_after_power_cut(world):
    recovery.recover(world.env)
    if world.state.txn() is not None:
        resume(world.env)


def finish_after_kill(world):
    """What the guard does in the same boot when the transaction's process is gone."""
    txn = world.state.txn()
    if txn is not None:
        decide.revert(world.env, txn.id)
    settle.finish(world.env)
    settle.close_abandoned(world.env)
    committed = world.state.committed()
    if committed is not None:
        # Nothing rebooted, so what was not touched still runs; what ended is kept by its supervisor.
        content = generations.read(world.disk, world.layout, committed.generation)
        world.services.define(content)
        world.services.start(tuple(use.name for use in content.pipelines))


# Invariants.


def before_recovery(story, state):
    """Row 7-8 of the failure table: the link is old or new, and never absent."""
    if not story.has_link:
        return ""
    entry = dict(dict(state[1])["p"][1]).get("current")
    if entry is None:
        return "current is absent"
    if entry[1] not in (f"gen/{story.old}", f"gen/{story.new}"):
        return f"current says {entry[1]}"
    return ""


def after_recovery(story, world, is_acked, *, is_swept):
    """Why this is not a sound end: current is committed, old or new, whole, served and reported."""
    committed = world.state.committed()
    number = None if committed is None else committed.generation
    if number not in (story.old, story.new):
        return f"committed is {number}, neither old nor new"
    if is_acked and number != story.new:
        return "success was acknowledged and is gone"
    if world.current != number:
        return f"current is {world.current} and committed is {number}"
    names = world.disk.names(world.layout.state_dir) + world.disk.names(world.layout.prefix)
    undone = ("txn", "txn.commit", "txn.revert", "order", "lease", "attempt")
    left = [n for n in names if n in undone or (is_swept and n.endswith(".tmp"))]
    if left:
        return f"left behind: {left[0]}"
    if world.disk.exists(world.layout.state(debs.RECORD)):
        return "a change of drivers is neither done nor taken back"
    half = [name for name, status in packages(world.disk).items() if status != "installed"]
    if half:
        return f"package {half[0]} is half installed"
    if committed is not None:
        said = _whole(world, committed)
        if said:
            return said
    elif world.services.running:
        return "something runs on a device without a generation"
    return _reported(world, committed)


def _whole(world, committed):
    content = generations.read(world.disk, world.layout, committed.generation)
    if content.digest != committed.digest:
        return "the manifest is not the committed one"
    for use in content.pipelines:
        if world.disk.read(world.layout.tree(use.model) + "/model") != use.model.encode():
            return "a tree of the committed generation is not whole"
        if world.runs(use.name) != use.model:
            return "the committed generation is not what runs"
        if set(world.models.memory[use.name]) != {"live"}:
            return "a model stays in memory that nobody serves"
        path = world.layout.pipeline_file(committed.generation, use.name)
        if world.disk.read(path) is None:
            return "a pipeline file is missing"
    if committed.digest in world.state.quarantine():
        return "what is committed is held"
    return ""


def _reported(world, committed):
    receipts = world.receipts.all()
    ids = [r.transaction for r in receipts]
    if len(set(ids)) != len(ids):
        return "two receipts for one transaction"
    if [r.seq for r in receipts] != list(range(1, len(receipts) + 1)):
        return "the chain of receipts is broken"
    results = {r.transaction: r.result for r in receipts}
    if committed is not None and committed.transaction not in ("t0-setup", "t0-earlier"):
        if results.get(committed.transaction) != "committed":
            return "a commit without its receipt"
    elif "committed" in results.values():
        return "a receipt says committed and nothing is"
    return ""


# Looking at trees.


def frozen_now(root):
    """The tree as processes see it, page cache included."""
    copy = MemoryDisk(root)

    def volatile(node):
        if hasattr(node, "entries"):
            return ("dir", tuple(sorted((n, volatile(c)) for n, c in node.entries.items())))
        if isinstance(node, File):
            return ("file", node.content)
        return ("link", node.target)

    return volatile(copy.root)


def has_acknowledged(disk):
    """Whether somebody who polls may have been told that it is committed."""
    for name in disk.names("/p/state/journal"):
        for line in (disk.read("/p/state/journal/" + name) or b"").split(b"\n"):
            if b'"step":"end"' in line and b'"result":"committed"' in line:
                return True
    return False


def skeleton(state):
    """The state without what recovery does not act on: the lines of journals, times in receipts."""

    def walk(path, value):
        kind, content = value
        if kind == "dir":
            return ("dir", tuple((n, walk(f"{path}/{n}", c)) for n, c in content))
        if kind == "file" and path.startswith("/p/state/journal/"):
            return ("file", b'"step":"end"' in content)
        if kind == "file" and path == "/p/receipts.jsonl":
            return ("file", (content.count(b"\n"), content.endswith(b"\n")))
        return value

    return walk("", state)
