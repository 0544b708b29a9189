"""A device in a plain directory with the real tool, the real runtime and the lab's own model.

Everything a process does here it does as on a device without systemd: the supervisor keeps the runtime,
transaction and guard are detached processes, and each verb is a process of its own.
"""

import json
import os
import signal
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path

from support import device as devices
from support.runtime import MODEL, some_stages

import edgeform_runtime
from edgeform_device import running
from edgeform_device.records import State
from edgeform_wire.artifact import Artifact
from edgeform_wire.deployment import Base, Deployment, Policy
from edgeform_wire.generation import Generation, PipelineUse

NONCE = "nonce-of-this-test-1"
WAIT_S = 90


def runtime_files() -> dict[str, bytes]:
    """A closure whose library is the checkout's runtime and this environment's engine.

    One file instead of 130 MB: the interpreter reads `sitecustomize` from its path before anything else.
    """
    paths = [sysconfig.get_path("purelib"), str(Path(edgeform_runtime.__file__).parents[1])]
    text = f"import sys\nsys.path.extend({paths!r})\n"
    # A closure brings its interpreter where the device's own does not fit; here it must be ours.
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    return {"lib/sitecustomize.py": text.encode(), "bin/python3": python.encode()}


def model_files(spoil=None) -> dict[str, bytes]:
    """The lab's model; `spoil` may change the files by name."""
    files = {
        str(path.relative_to(MODEL)): path.read_bytes()
        for path in sorted(MODEL.rglob("*"))
        if path.is_file()
    }
    return files if spoil is None else spoil(files)


def swapped_labels(files: dict[str, bytes]) -> dict[str, bytes]:
    """Goldens of other inputs: the model answers, and the answers are wrong."""
    names = sorted(n for n in files if n.endswith((".variant.bin", ".fp32.bin")))
    spoiled = dict(files)
    for name in names:
        spoiled[name] = bytes(reversed(files[name]))
    return spoiled


@dataclass
class RealDevice:
    """One device and the publisher it obeys."""

    folder: Path
    stages: dict = field(default_factory=some_stages)
    beside: tuple = ()
    """(model artifact, its files) of models that the stages name beside the pipeline's own."""

    def __post_init__(self) -> None:
        self.publisher = devices.a_publisher(self.folder / "trust")
        self.device = devices.an_enrolled_device(self.folder / "p", self.publisher.root)
        self.layout = self.device.layout
        self.tool = (
            sys.executable,
            "-I",
            "-S",
            "-B",
            str(devices.a_tool(self.folder)),
            "--prefix",
            self.layout.prefix,
        )
        self.runtime = devices.an_artifact(
            runtime_files(), kind="runtime", name="ort", executable=("bin/python3",)
        )
        self.number = 0

    @property
    def state(self) -> State:
        return State(self.device.disk, self.layout)

    def ask(self, *arguments: str, timeout_s: float = 120.0, **request: object) -> devices.Answer:
        stdin = json.dumps(request).encode() if request else b""
        return devices.ask(self.tool, *arguments, stdin=stdin, timeout_s=timeout_s)

    def offer(self, version: str, *, spoil=None, **policy: object) -> Deployment:
        """Sign a deployment with a model of that version and bring it here."""
        files = model_files(spoil)
        # The version is in no file, so that two good versions share their bytes and differ in digest.
        model = devices.a_model(files, version=version)
        committed = self.state.committed()
        self.number += 1
        settings: dict = {"soak_s": 0.5, "deadline_s": 60.0, **policy}
        deployment = devices.a_deployment(
            self.generation(model),
            number=self.number,
            base=Base(0, None)
            if committed is None
            else Base(committed.generation, committed.digest),
            policy=Policy(**settings),
        )
        others = [artifact for artifact, _ in self.beside]
        self.publisher.publish(deployment, model, self.runtime, *others)
        contents = [*files.values(), *runtime_files().values()]
        contents += [content for _, found in self.beside for content in found.values()]
        manifests = [a.encoded() for a in (model, self.runtime, *others)]
        devices.deliver(self.device, self.publisher, deployment, *contents, *manifests)
        return deployment

    def generation(self, model: Artifact) -> Generation:
        use = PipelineUse(
            name="digits",
            runtime=self.runtime.digest,
            model=model.digest,
            engine="onnxruntime",
            stages=self.stages,
            checks={"golden": True},
            limits={},
        )
        others = (artifact for artifact, _ in self.beside)
        refs = tuple(devices.ref_of(a) for a in (model, self.runtime, *others))
        return Generation(
            site=devices.SITE, device=devices.DEVICE, artifacts=refs, pipelines=(use,)
        )

    def activate(self, deployment: Deployment, nonce: str = NONCE) -> str:
        answer = self.ask(
            "activate",
            deployment=deployment.number,
            plan_digest=deployment.plan_digest,
            road="ssh",
            who="a test",
            nonce=nonce,
        )
        assert answer.exit_code == 0, answer
        return str(answer.said["transaction"])

    def wait(self, transaction: str) -> dict:
        return self.ask("status", "--transaction", transaction, "--wait", str(WAIT_S)).said

    def apply(self, version: str, *, spoil=None, **policy: object) -> dict:
        """Offer, activate and wait for the end."""
        deployment = self.offer(version, spoil=spoil, **policy)
        return self.wait(self.activate(deployment, f"nonce-{version}-{self.number}"))

    def serving(self) -> dict | None:
        """What the live runtime says of itself; None when nothing answers."""
        from edgeform_device.control import Control, RuntimeRefused, RuntimeSilent

        try:
            with Control(self.layout.socket("digits"), 3.0) as control:
                return control.state()
        except (RuntimeSilent, RuntimeRefused):
            return None

    def runtime_pid(self) -> int:
        found = running.read_running(os.path.join(self.layout.supervisor_dir, "digits.pid"))
        return 0 if found is None or not found.is_alive() else found.pid

    def processes(self) -> list[int]:
        """Every process that works for this prefix."""
        mine = self.layout.prefix.encode()
        pids = (int(n) for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid())
        return [pid for pid in pids if mine in running.command_line(pid)]

    def end(self) -> None:
        """End all of it, whatever state it is in."""
        until = time.monotonic() + 20
        while found := self.processes():
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if time.monotonic() > until:
                raise AssertionError(f"processes do not end: {found}")
            time.sleep(0.02)


def wait_for(condition, what: str, within_s: float = 30.0):
    until = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"waited {within_s:.0f} s for {what}")
        time.sleep(0.05)
