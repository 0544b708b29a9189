"""A small device to run transactions on: the real logic over parts that a test can break.

Disk, clock, locks, services, checks and launcher live in memory; what they do is written down.
"""

from dataclasses import dataclass, field, replace

from support.memdisk import MemoryDisk
from support.memdpkg import DRIVER, drivers_on

from edgeform_device import generations
from edgeform_device.errors import DeviceError
from edgeform_device.layout import layout_for
from edgeform_device.models import CANDIDATE, LIVE, PREVIOUS, Held, Slot
from edgeform_device.ports import GUARD_LOCK, Environment, Health
from edgeform_device.records import Committed, State
from edgeform_wire import receipt as wire
from edgeform_wire.deployment import Base, Deployment, Policy
from edgeform_wire.generation import ArtifactRef, Generation, PipelineUse
from edgeform_wire.receipt import CheckResult, Receipt

DIGEST = "sha256:" + "{:064x}"
BOOT = "boot-1"


def digest(number):
    return DIGEST.format(number)


def a_generation(model=1, runtime=100, name="cam", epoch=1, **pipeline):
    use = PipelineUse(
        name=name,
        runtime=digest(runtime),
        model=digest(model),
        engine="onnxruntime",
        stages={},
        checks={"golden": True},
        limits={"memory_bytes": None, "cpu_percent": None},
    )
    artifacts = (
        ArtifactRef(digest(model), "model", "digits", f"1.{model}", "fp32", 1000, epoch),
        ArtifactRef(digest(runtime), "runtime", "ort", "1", "cpu", 1000, 1),
    )
    return Generation("lab", "dev-1", artifacts, (replace(use, **pipeline),))


def a_deployment(content, number, base=None, **policy):
    settings = {"soak_s": 1.0, "deadline_s": 60.0, "confirm_s": 20.0, **policy}
    return Deployment(
        site="lab",
        device="dev-1",
        number=number,
        base=base or Base(0, None),
        generation=content,
        policy=Policy(**settings),
        plan_digest=digest(900 + number),
        spec_digest=digest(901),
        lock_digest=digest(902),
        issued_at="2026-01-01T00:00:00Z",
    )


class FakeClock:
    def __init__(self, boot=BOOT):
        self.now_s = 100.0
        self.boot = boot
        self.on_sleep = []  # each is called once per sleep, and may act as another process

    def boottime_s(self):
        return self.now_s

    def boot_id(self):
        return self.boot

    def wall_time(self):
        return "2026-01-01T00:00:00Z"

    def sleep(self, seconds):
        self.now_s += max(seconds, 0.001)
        for act in tuple(self.on_sleep):
            act()


@dataclass
class FakeHeld:
    locks: "FakeLocks"
    name: str
    is_shared: bool

    def release(self):
        there = self.locks.held.get(self.name, [])
        if self in there:  # a reboot has taken it away
            there.remove(self)


class FakeLocks:
    def __init__(self, clock):
        self.held = {}
        self.clock = clock
        self.on_wait = lambda: None  # lets others go on while somebody waits

    def take(self, name, wait_s, *, is_shared=False):
        there = self.held.setdefault(name, [])
        until = self.clock.now_s + wait_s
        while there and not (is_shared and all(h.is_shared for h in there)):
            if self.clock.now_s >= until:
                return None
            self.clock.now_s += 0.1
            self.on_wait()
        held = FakeHeld(self, name, is_shared)
        there.append(held)
        return held


class FakeServices:
    """Pipelines as names: which run, from which model, and how well."""

    def __init__(self, world):
        self.world = world
        self.running = {}
        self.calls = []
        self.sick_models = set()
        self.available = 10**9
        self.next_pid = 10

    def define(self, generation):
        self.defined = {use.name: use for use in generation.pipelines}

    def _run(self, name):
        """A process that reads `current`, as the real one does; its memory holds nothing else."""
        self.next_pid += 1
        number = self.world.current
        content = generations.read(self.world.disk, self.world.layout, number)
        use = next(use for use in content.pipelines if use.name == name)
        self.running[name] = (self.next_pid, use.model)
        self.world.models.began(name, content, number)

    def crash(self, name):
        """The process dies by itself, and whoever keeps it starts it again."""
        self._run(name)

    def start(self, names):
        for name in names:
            if name not in self.running:
                self.calls.append(("start", name))
                self._run(name)

    def restart(self, names):
        for name in names:
            self.calls.append(("restart", name))
            self._run(name)

    def stop(self, names):
        for name in names:
            if self.running.pop(name, None):
                self.calls.append(("stop", name))

    def known(self):
        return tuple(sorted(self.running))

    def health(self, name):
        pid, model = self.running.get(name, (0, None))
        if not pid:
            return Health(name, is_active=False, pid=0, phase="")
        phase = "failed" if model in self.sick_models else "ready"
        return Health(name, is_active=True, pid=pid, phase=phase)

    def start_shadow(self, number, use):
        self.calls.append(("shadow", use.name))
        self.running[use.name + ".shadow"] = (7, use.model)
        content = generations.read(self.world.disk, self.world.layout, number)
        self.world.models.began(use.name, content, number, is_shadow=True)
        return 7

    def shadow_health(self, name):
        return replace(self.health(name + ".shadow"), name=name)

    def stop_shadow(self, name):
        self.running.pop(name + ".shadow", None)

    def sweep_shadows(self):
        for name in [n for n in self.running if n.endswith(".shadow")]:
            del self.running[name]

    def available_bytes(self):
        return self.available

    def resident_bytes(self, name):
        return 10**6 if name in self.running else None

    def reboot(self):
        self.calls.append(("reboot",))


class FakeModels:
    """What running pipelines hold in memory: (model, slot) by pipeline and slot.

    Args:
        room: bytes that a running pipeline may still take.
        refusal: what `load` raises, if anything.
    """

    def __init__(self, world):
        self.world = world
        self.memory = {}
        self.room = 10**9
        self.refusal = None
        self.on_load = lambda name: None

    def began(self, name, content, number, *, is_shadow=False):
        use = next(use for use in content.pipelines if use.name == name)
        file = generations.pipeline_file(content, use, number)
        slot = (use.model, Slot(number, file.content_digest, 10**6))
        self.memory[name + ".shadow" if is_shadow else name] = {LIVE: slot}

    def held(self, name, *, is_shadow=False):
        key = name + ".shadow" if is_shadow else name
        if key not in self.world.services.running or not self.world.services.health(key).is_ready:
            return None
        pid = self.world.services.running[key][0]
        return Held(pid, {slot: held for slot, (_, held) in self.memory[key].items()})

    def room_bytes(self, name):
        return self.room

    def load(self, name, number):
        if self.refusal is not None:
            raise self.refusal
        self.on_load(name)
        content = generations.read(self.world.disk, self.world.layout, number)
        use = next(use for use in content.pipelines if use.name == name)
        file = generations.pipeline_file(content, use, number)
        self.memory[name][CANDIDATE] = (use.model, Slot(number, file.content_digest, 10**6))

    def swap(self, name, slot, content):
        slots = self.memory[name]
        if slot not in slots or slots[slot][1].content != content:
            raise DeviceError(f"slot {slot} does not hold it")
        wanted = slots.pop(slot)
        slots[PREVIOUS], slots[LIVE] = slots[LIVE], wanted
        pid, _ = self.world.services.running[name]
        self.world.services.running[name] = (pid, wanted[0])
        self.world.services.calls.append(("swap", name))

    def free(self, name, slot):
        if self.held(name) is None:
            return False
        self.memory[name].pop(slot, None)
        return True


class FakeChecks:
    """Passes what is not in `bad_models`; `bad_live` fails only after the switch."""

    def __init__(self):
        self.bad_models = set()
        self.bad_live = set()
        self.on_run = lambda subject: None

    def run(self, subject):
        self.on_run(subject)
        is_beside = ".shadow." in subject.socket_path or subject.slot == CANDIDATE
        bad = subject.use.model in self.bad_models or (
            not is_beside and subject.use.model in self.bad_live
        )
        verdict = "fail" if bad else "pass"
        return (CheckResult("golden", subject.use.name, verdict, "as the test wants", {}),)

    def is_acceptable(self, results):
        verdicts = [r.verdict for r in results]
        return "pass" in verdicts and "fail" not in verdicts


@dataclass(frozen=True)
class FakeApproved:
    deployment: Deployment
    tool: object = None


class FakePreparation:
    def __init__(self, world):
        self.world = world
        self.deployments = {}
        self.refusal = None
        self.collected = 0

    def approve(self, number):
        if number not in self.deployments:
            raise DeviceError(f"there is no deployment {number}")
        return FakeApproved(self.deployments[number])

    def preflight(self, approved, committed):
        if self.refusal is not None:
            raise self.refusal

    def materialise(self, approved):
        """Model trees, each one file, written as the store does: aside, synced, renamed."""
        layout, disk = self.world.layout, self.world.disk
        for ref in approved.deployment.generation.artifacts:
            tree = layout.tree(ref.digest)
            if not disk.exists(tree):
                disk.remove_tree(tree + ".tmp")
                disk.mkdir(tree + ".tmp")
                disk.write_file(tree + ".tmp/model", ref.digest.encode())
                disk.publish(tree + ".tmp", tree)

    def derive(self, generation):
        return {}

    def install_drivers(self, approved, transaction):
        with drivers_on(self.world) as drivers:
            drivers.install(DRIVER, approved.deployment.policy.drivers, transaction)

    def undo_drivers(self):
        with drivers_on(self.world) as drivers:
            return drivers.undo_cut()

    def verify(self, generation):
        pass

    def clean(self):
        for name in self.world.disk.names(self.world.layout.trees_dir):
            if name.endswith(".tmp"):
                self.world.disk.remove_tree(self.world.layout.trees_dir + "/" + name)

    def collect(self):
        self.collected += 1


class FakeReceipts:
    """Chained lines through the disk, one per transaction."""

    def __init__(self, world):
        self.world = world

    def all(self):
        content = self.world.disk.read(self.world.layout.receipts) or b""
        return [wire.decode_line(line).receipt for line in content.split(b"\n")[:-1]]

    def record(self, verdict):
        there = self.all()
        for found in there:
            if found.transaction == verdict.transaction:
                return found
        receipt = Receipt(
            site="lab",
            device="dev-1",
            seq=len(there) + 1,
            prev=there[-1].chain_digest if there else wire.GENESIS,
            tool="tool",
            boot_id=self.world.clock.boot_id(),
            wall_time=self.world.clock.wall_time(),
            clock="ntp",
            signing="unsigned",
            **vars(verdict),
        )
        line = wire.SignedReceipt(receipt, None).encoded_line()
        self.world.disk.append_line(self.world.layout.receipts, line)
        return receipt


class FakeLauncher:
    def __init__(self, world):
        self.world = world
        self.started = []
        self.killed = []
        self.guards_start = True

    def start(self, unit, arguments, *, is_restarted):
        self.started.append(arguments)
        if arguments[0] == "guard" and self.guards_start:
            self.world.guard = self.world.locks.take(GUARD_LOCK, 0)

    def kill(self, pid):
        self.killed.append(pid)


class FakeTool:
    def __init__(self):
        self.updates = []
        self.refusal = None

    def update(self, artifact):
        if self.refusal is not None:
            raise self.refusal
        self.updates.append(artifact)
        return True

    def settle(self, wall_time):
        return ""


@dataclass
class World:
    """One device. `env` is what the product sees of it."""

    disk: MemoryDisk = field(default_factory=MemoryDisk)
    clock: FakeClock = field(default_factory=FakeClock)
    prefix: str = "/p"

    def __post_init__(self):
        self.layout = layout_for(self.prefix)
        self.locks = FakeLocks(self.clock)
        self.services = FakeServices(self)
        self.models = FakeModels(self)
        self.preparation = FakePreparation(self)
        self.checks = FakeChecks()
        self.receipts = FakeReceipts(self)
        self.launcher = FakeLauncher(self)
        self.tool = FakeTool()
        self.guard = None
        for folder in (
            self.layout.state_dir,
            self.layout.generations_dir,
            self.layout.trees_dir,
            self.layout.journal_dir,
        ):
            self.disk.mkdir(folder)

    @property
    def env(self):
        return Environment(
            layout=self.layout,
            disk=self.disk,
            clock=self.clock,
            locks=self.locks,
            services=self.services,
            models=self.models,
            preparation=self.preparation,
            checks=self.checks,
            receipts=self.receipts,
            launcher=self.launcher,
            tool=self.tool,
        )

    @property
    def state(self):
        return State(self.disk, self.layout)

    @property
    def current(self):
        return generations.current(self.disk, self.layout)

    def reboot(self, boot):
        """All processes end; the disk stays as it is."""
        self.clock.boot = boot
        self.locks.held.clear()
        self.services.running.clear()
        self.models.memory.clear()
        self.guard = None
        return self

    def runs(self, name="cam"):
        """The model that the running pipeline serves."""
        found = self.services.running.get(name)
        return None if found is None else found[1]


def a_device_at(generation_content, number=1, world=None):
    """A device that has committed this generation and runs it."""
    world = world or World()
    deployment = a_deployment(generation_content, number)
    world.preparation.deployments[number] = deployment
    world.preparation.materialise(FakeApproved(deployment))
    generations.write(world.disk, world.layout, number, deployment, "ssh")
    world.disk.replace_link(world.layout.current, world.layout.generation_target(number))
    digest_ = generation_content.digest
    world.state.write_committed(Committed(number, digest_, number, "t0-setup"))
    world.services.define(generation_content)
    world.services.restart(tuple(use.name for use in generation_content.pipelines))
    world.services.calls.clear()
    settle = getattr(world.disk, "settle", None)
    if settle is not None:
        settle()
    return world


def order(world, deployment, nonce=""):
    """Offer a deployment to the device and write the order, as `activate` does; the order."""
    from edgeform_device.activate import Request, activate

    world.preparation.deployments[deployment.number] = deployment
    activate(
        world.env,
        Request(
            deployment=deployment.number,
            generation=0,
            plan_digest=deployment.plan_digest,
            road="ssh",
            who="tester",
            nonce=nonce or f"nonce-{world.state.fence():08}",
        ),
    )
    return world.state.order()


def next_deployment(world, content, **policy):
    """A deployment of that content on top of what the device has."""
    committed = world.state.committed()
    base = Base(0, None) if committed is None else Base(committed.generation, committed.digest)
    number = 1 if committed is None else committed.deployment + 1
    return a_deployment(content, number, base, **policy)
