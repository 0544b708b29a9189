"""Virtual machines for tests, and site/lab on one of them.

Emulation is slow: a machine boots in some 15 s on an idle core, and everything in it takes 10 to 50 times
as long as here. So there is one machine per architecture and session, and its site asks for no latency.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.site import EDGEFORM, PIPELINE, PREFIX, REPOSITORY, Choice, SiteOnDevices, wait_for

from edgeform.lab.doctor import NEEDED_FOR_ARM_VM, NEEDED_FOR_VM, doctor, why_not_vm
from edgeform.lab.leftovers import machine_pid
from edgeform.lab.site import SCENES, copy_site
from edgeform.lab.vm import Vm
from edgeform.lab.vm_guest import AARCH64, RASPBERRY_PI_5, X86_64, Guest, VmOptions
from edgeform.lab.vm_lab import VmLab

APPLY_TIMEOUT_S = 1200.0
TRANSACTION = {"confirm": "controller", "confirm_s": 300, "deadline_s": 600, "soak_s": 1}
NEEDED = {X86_64: NEEDED_FOR_VM, AARCH64: NEEDED_FOR_ARM_VM}
CLASSES = {X86_64: "builtin/linux-x86_64", AARCH64: "builtin/raspberry-pi-5"}

WATCH = """
import os, sys, time
until = time.monotonic() + 300
while not os.path.exists(sys.argv[1]) and time.monotonic() < until:
    time.sleep(0.02)
print("there" if os.path.exists(sys.argv[1]) else "never", flush=True)
"""


class SiteOnMachine(SiteOnDevices):
    """One machine that is the only device of its site; the host cannot look into its disk."""

    @property
    def machine(self) -> Vm:
        return self.lab.machine("one")

    def file(self, name: str, *parts: str) -> Path:
        raise AssertionError("the host does not see a machine's disk: ask the machine")

    def exists(self, *parts: str) -> bool:
        return "yes" in self.on("one", "sh", "-c", '[ ! -e "$1" ] || echo yes', "sh", below(*parts))

    @contextmanager
    def watching(self, *parts: str) -> Iterator[Callable[[], None]]:
        """Gives a function that returns as soon as that file of the prefix is there."""
        command = (*self.machine.ssh_command(), f"python3 -u - {below(*parts)}")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
            try:
                watcher.stdin.write(WATCH.encode())
                watcher.stdin.close()

                def wait() -> None:
                    said = watcher.stdout.readline()
                    assert said == b"there\n", f"{below(*parts)} did not appear: {said}"

                yield wait
            finally:
                watcher.kill()

    def assert_serving(self, name: str, *, generation: int):
        """It serves that generation and is at rest: asked of the machine, not through edgeform."""
        found = self.seen(name)
        assert (found.current, found.committed) == (generation, generation), found
        assert not found.transaction, found
        assert not found.needs_hands, found
        assert found.healthy, found
        checks = self.tool(name, "check")["checks"]
        assert {c["name"] for c in checks} >= {"service", "golden"}, checks
        assert {c["verdict"] for c in checks} == {"pass"}, checks
        wait_for(lambda: not self._units(name), f"{name} to be at rest", within_s=120)
        return found


def below(*parts: str) -> str:
    return "/".join((PREFIX, *parts))


def closure_sizes(folder: Path) -> dict[str, int]:
    """Bytes of each runtime closure in the lock: "onnxruntime aarch64-glibc2.28-py3.11" and so on."""
    lock = json.loads((folder / "edgeform.lock").read_text())
    runtimes = [a for a in lock["artifacts"] if a["kind"] == "runtime"]
    return {f"{a['name']} {a['variant']}": a["size_bytes"] for a in runtimes}


def write_machine_site(folder: Path, guest: Guest) -> None:
    """A copy of site/lab for that architecture, without objectives that emulation cannot meet."""
    copy_site(REPOSITORY / "site" / "lab", folder)
    edit(folder / "classes.yaml", "builtin/linux-x86_64", CLASSES[guest])
    edit(folder / "site.yaml", "transaction: {confirm: controller, confirm_s: 60, deadline_s: 300, "
         "soak_s: 2}", f"transaction: {json.dumps(TRANSACTION)}")  # fmt: skip
    pipelines = folder / "pipelines.yaml"
    edit(pipelines, "p50_ms: 250, ", "")
    # Below the machine's memory, so that it is the limit that is met.
    edit(pipelines, 'memory_bytes: "512MiB"', 'memory_bytes: "320MiB"')
    edit(pipelines, 'rss_bytes: "400MiB"', 'rss_bytes: "300MiB"')
    edit(pipelines, "timeout_s: 2,", "timeout_s: 30,")
    edit(pipelines, "interval_s: 0.5", 'interval_s: "${vars.interval_s}"')
    edit(pipelines, "  vars:\n", "  vars:\n    interval_s: {type: number, default: 5}\n")


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text, (path, before)
    path.write_text(text.replace(before, after))


def a_machine(directory: Path, guest: Guest, *images: Path) -> VmLab:
    """A lab with the one machine "one", booted; skips where that cannot be. It may read the images."""
    if obstacles := why_not_vm(doctor(os.environ), NEEDED[guest]):
        pytest.skip(f"no {guest.machine} virtual machine here: {obstacles}")
    built = VmLab(directory, environment=os.environ, owner_pid=os.getpid())
    board = RASPBERRY_PI_5 if guest is AARCH64 else None
    built.up(())  # and what a killed run left is gone
    built.add("one", VmOptions(guest=guest, board=board, images=images))
    return built


def a_site(lab: VmLab, folder: Path, guest: Guest) -> SiteOnMachine:
    """The locked site of that machine; nothing is installed yet."""
    write_machine_site(folder, guest)
    locked = subprocess.run(
        (EDGEFORM, "lock", str(folder)), capture_output=True, text=True, timeout=600, check=False
    )
    assert locked.returncode == 0, locked.stderr
    made = SiteOnMachine(
        folder=folder,
        lab=lab,
        devices={d.name: d for d in lab.devices()},
        choices={"one": Choice(pipeline=PIPELINE, interval_s=5)},
    )
    lab.exec("one", ("mkdir", "-p", SCENES))
    scene = min((folder / "scenes").glob("*.png"))
    lab.exec("one", ("dd", f"of={SCENES}/{scene.name}"), stdin=scene.read_bytes())
    made.write()
    return made


@pytest.fixture
def measured(request) -> Callable[[str], None]:
    """measured("boot 12.3 s"): a line that the run's summary shows."""
    return lambda line: request.node.user_properties.append(("measured", line))


@pytest.fixture(scope="session")
def vm_lab(tmp_path_factory) -> Iterator[VmLab]:
    """A lab whose x86_64 machine "one" is on: `vm_lab.machine("one").plug(image)`."""
    built = a_machine(tmp_path_factory.mktemp("vm") / "lab", X86_64)
    yield built
    built.down()


@pytest.fixture
def vm(vm_lab) -> Vm:
    """The x86_64 machine, on."""
    machine = vm_lab.machine("one")
    if not machine.is_on:
        machine.boot()
    return machine


def processor_s(machine: Vm) -> float:
    """What the machine has used of this host's processor since it was switched on: no neighbour changes it."""
    pid = machine_pid(machine.plan.directory)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
