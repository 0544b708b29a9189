"""A lab device with systemd on which the real tool, runtime and model are installed over SSH."""

import json
import shlex
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from support import device as devices
from support.real_device import model_files
from support.runtime import some_stages

import edgeform_runtime
from edgeform.build.tool import tool_bytes
from edgeform.lab.device import Bind, LabDevice
from edgeform_device import install
from edgeform_wire import digest as digests
from edgeform_wire import frames
from edgeform_wire.deployment import Base, Deployment, Policy
from edgeform_wire.generation import Generation, PipelineUse

ENGINE, RUNTIME = "/opt/closure/engine", "/opt/closure/runtime"
NONCE = "nonce-of-this-test-1"


def binds() -> tuple[Bind, ...]:
    """This environment's engine and runtime, so that a closure is one small file."""
    return (
        Bind(source=sysconfig.get_path("purelib"), target=ENGINE, writable=False),
        Bind(
            source=str(Path(edgeform_runtime.__file__).parents[1]), target=RUNTIME, writable=False
        ),
    )


def runtime_files() -> dict[str, bytes]:
    text = f"import sys\nsys.path.extend([{RUNTIME!r}, {ENGINE!r}])\n"
    return {"lib/sitecustomize.py": text.encode()}


@dataclass
class SystemdDevice:
    """One enrolled device; `ssh` is the fixture that logs in."""

    lab_device: LabDevice
    ssh: object
    folder: Path
    number: int = 0
    user: str = "root"
    limits: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.publisher = devices.a_publisher(self.folder / f"trust-{self.lab_device.name}")
        self.runtime = devices.an_artifact(runtime_files(), kind="runtime", name="ort")
        self.prefix = self.lab_device.prefix
        self._install()

    def _install(self) -> None:
        content = tool_bytes()
        source = Path(install.__file__).read_text()
        command = f"sudo python3 -c {shlex.quote(source)} {self.prefix} {digests.of_bytes(content)}"
        said = self.ssh(self.lab_device, command, stdin=content)
        assert said.status == 0, said
        answer = self.ask(
            "enrol",
            site=devices.SITE,
            device=devices.DEVICE,
            root=self.publisher.root.decode(),
            services="systemd",
            user=self.user,
        )
        assert answer["ok"], answer

    def sh(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60):
        return self.ssh(self.lab_device, command, stdin=stdin, timeout_s=timeout_s)

    def verb(self, *arguments: str, stdin: bytes = b"", timeout_s: float = 120) -> dict:
        command = f"sudo {self.prefix}/bin/edgeform-device {shlex.join(arguments)}"
        said = self.sh(command, stdin=stdin, timeout_s=timeout_s)
        assert said.out, said
        return json.loads(said.out)

    def ask(self, *arguments: str, **request: object) -> dict:
        return self.verb(*arguments, stdin=json.dumps(request).encode() if request else b"")

    def offer(self, version: str, *, spoil=None, tool: bytes = b"", **policy: object) -> Deployment:
        """Sign a deployment with a model of that version, and a tool if given, and bring it here."""
        files = model_files(spoil)
        model = devices.a_model(files, version=version)
        found = self.ask("state")["generation"]
        base = Base(found["committed"], found["digest"])
        self.number += 1
        use = PipelineUse(
            name="digits",
            runtime=self.runtime.digest,
            model=model.digest,
            engine="onnxruntime",
            stages=some_stages(),
            checks={"golden": True},
            limits=self.limits,
        )
        content = Generation(
            site=devices.SITE,
            device=devices.DEVICE,
            artifacts=(devices.ref_of(model), devices.ref_of(self.runtime)),
            pipelines=(use,),
        )
        settings: dict = {"soak_s": 0.5, "deadline_s": 60.0, **policy}
        more = ()
        if tool:
            more = (
                devices.an_artifact(
                    {"edgeform-device.pyz": tool}, kind="tool", name="device", version=version
                ),
            )
            settings["tool"] = more[0].digest
        deployment = devices.a_deployment(
            content, number=self.number, base=base, policy=Policy(**settings)
        )
        self.publisher.publish(deployment, model, self.runtime, *more)
        blobs = [*files.values(), *runtime_files().values(), model.encoded()]
        blobs += [self.runtime.encoded(), deployment.encoded()]
        blobs += [tool, *(artifact.encoded() for artifact in more)] if tool else []
        stream = b"".join(
            frames.head({"metadata": file.name}, file.stat().st_size) + file.read_bytes()
            for file in sorted(self.publisher.metadata.glob("*.json"))
        )
        stream += b"".join(devices.blob_frame(blob) for blob in blobs)
        answer = self.verb("ingest", stdin=stream)
        assert answer["ok"], answer
        return deployment

    def activate(self, deployment: Deployment, nonce: str = NONCE) -> str:
        answer = self.ask(
            "activate",
            deployment=deployment.number,
            plan_digest=deployment.plan_digest,
            road="ssh",
            who="a test",
            nonce=nonce,
        )
        assert answer["ok"], answer
        return str(answer["transaction"])

    def wait(self, transaction: str) -> dict:
        return self.ask("status", "--transaction", transaction, "--wait", "90")

    def apply(self, version: str, **options: object) -> dict:
        deployment = self.offer(version, **options)
        return self.wait(self.activate(deployment, f"nonce-{version}-{self.number}"))

    def service(self, name: str = "digits") -> dict[str, str]:
        said = self.sh(
            f"systemctl show edgeform-pipeline@{name} -p ActiveState,MainPID,NRestarts,User"
        )
        return dict(line.split("=", 1) for line in said.out.splitlines())

    def serving(self) -> dict:
        """What the live runtime says of itself."""
        source = (
            f"import sys, json; sys.path.insert(0, {RUNTIME!r})\n"
            "from edgeform_device.control import Control\n"
            "print(json.dumps(Control('/run/edgeform/digits.sock', 3.0).state()))\n"
        )
        said = self.sh("sudo python3 -", stdin=source.encode())
        return json.loads(said.out) if said.out else {}
