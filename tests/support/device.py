"""Devices for tests: a prefix enrolled with a real root, a signed repository, bytes on their way in."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from edgeform.build.tool import tool_bytes
from edgeform.trust.create import Trust, init_development, open_trust
from edgeform.trust.publication import publish
from edgeform.trust.repository import NewTarget
from edgeform_device import enrol
from edgeform_device.durable import Disk
from edgeform_device.ingest import Ingest
from edgeform_device.layout import Layout, layout_for
from edgeform_device.store import Store
from edgeform_wire import digest as digests
from edgeform_wire import frames
from edgeform_wire.artifact import Artifact, ArtifactFile, Requires
from edgeform_wire.deployment import Base, Deployment, Policy
from edgeform_wire.generation import ArtifactRef, Generation, PipelineUse, SecretUse

SITE, DEVICE = "lab", "cam-1"
NO_DIGEST = digests.PREFIX + "0" * 64
PYENV = Path.home() / ".pyenv" / "versions"


def interpreters() -> tuple[Path, ...]:
    """The CPython 3.8 and newer that stand on this machine beside the one that runs the tests."""
    found = []
    for folder in sorted(
        PYENV.glob("3.*"), key=lambda f: [int(n) for n in f.name.split(".") if n.isdigit()]
    ):
        minor = folder.name.split(".")[1]
        python = folder / "bin" / "python3"
        if minor.isdigit() and int(minor) >= 8 and python.is_file():
            found.append(python)
    return tuple(found)


def sampled_interpreters() -> list[Any]:
    """This Python, the oldest and the newest for every run; those between only in `make test-all`."""
    found = interpreters()
    always = {Path(sys.executable), *found[:1], *found[-1:]}
    return [
        pytest.param(
            python,
            id="-".join(python.parts[-3:-2]) if python in found else "this",
            marks=() if python in always else (pytest.mark.slow,),
        )
        for python in (Path(sys.executable), *found)
    ]


def old_interpreters() -> tuple[Path, ...]:
    """Those that are too old for the tool."""
    return tuple(sorted(p / "bin" / "python3" for p in PYENV.glob("3.[5-7].*")))


@dataclass
class Device:
    """An enrolled prefix."""

    layout: Layout
    disk: Disk
    store: Store

    @property
    def prefix(self) -> Path:
        return Path(self.layout.prefix)

    def receive(self, *blobs: bytes) -> None:
        """Bring whole blobs in, as the controller does."""
        stream = io.BytesIO(b"".join(blob_frame(blob) for blob in blobs))
        Ingest(self.store, stream).run()

    def receive_metadata(self, folder: Path) -> None:
        pieces = [
            frames.head({"metadata": file.name}, file.stat().st_size) + file.read_bytes()
            for file in sorted(folder.glob("*.json"))
        ]
        Ingest(self.store, io.BytesIO(b"".join(pieces))).run()


def a_prefix(folder: Path) -> Device:
    """A prefix that nobody enrolled yet."""
    layout = layout_for(str(folder))
    disk = Disk(reserve=layout.reserve)
    return Device(layout=layout, disk=disk, store=Store(layout, disk))


def an_enrolled_device(folder: Path, root: bytes, *, device: str = DEVICE) -> Device:
    made = a_prefix(folder)
    wish = enrol.Wish(site=SITE, device=device, root=root, services="supervisor", user="root")
    enrol.enrol(made.disk, made.layout, wish, "/")
    return made


def blob_frame(content: bytes, *, start: int = 0, stop: int | None = None) -> bytes:
    """The frame that carries a blob, or the bytes from `start` to `stop` of it."""
    body = content[start:stop]
    header = {"blob": digests.of_bytes(content), "offset": start, "size_bytes": len(content)}
    return frames.head(header, len(body)) + body


def an_artifact(
    files: dict[str, bytes],
    *,
    kind: str = "runtime",
    name: str = "onnx",
    version: str = "1.0",
    epoch: int = 1,
    executable: Iterable[str] = (),
    requires: Requires | None = None,
) -> Artifact:
    return Artifact(
        kind=kind,
        name=name,
        version=version,
        variant="cpu",
        epoch=epoch,
        requires=requires or Requires(),
        files=tuple(
            ArtifactFile(
                path=path,
                size_bytes=len(content),
                mode="0755" if path in executable else "0644",
                digest=digests.of_bytes(content),
            )
            for path, content in sorted(files.items())
        ),
    )


def a_model(files: dict[str, bytes] | None = None, **kwargs: object) -> Artifact:
    return an_artifact(files or MODEL_FILES, **{"kind": "model", "name": "digits", **kwargs})  # type: ignore[arg-type]


MODEL_FILES = {"model.onnx": b"weights" * 4000, "labels.txt": b"0\n1\n"}
RUNTIME_FILES = {"lib/engine/__init__.py": b"VERSION = 1\n", "bin/run": b"#!/bin/sh\n"}


def ref_of(artifact: Artifact) -> ArtifactRef:
    return ArtifactRef(
        digest=artifact.digest,
        kind=artifact.kind,
        name=artifact.name,
        version=artifact.version,
        variant=artifact.variant,
        size_bytes=artifact.size_bytes,
        epoch=artifact.epoch,
    )


def a_generation(
    *artifacts: Artifact, device: str = DEVICE, secrets: dict[str, str] | None = None
) -> Generation:
    by_kind = {a.kind: a for a in artifacts}
    uses = ()
    if {"runtime", "model"} <= set(by_kind):
        uses = (
            PipelineUse(
                name="digits",
                runtime=by_kind["runtime"].digest,
                model=by_kind["model"].digest,
                engine="onnxruntime",
                stages={"infer": {}},
                checks={"golden": True},
                limits={},
                secrets=tuple(secrets or ()),
            ),
        )
    return Generation(
        site=SITE,
        device=device,
        artifacts=tuple(ref_of(a) for a in artifacts),
        pipelines=uses,
        secrets=tuple(SecretUse(name=n, hmac=h) for n, h in (secrets or {}).items()),
    )


def a_deployment(
    content: Generation,
    *,
    number: int = 1,
    device: str | None = None,
    base: Base | None = None,
    policy: Policy | None = None,
) -> Deployment:
    return Deployment(
        site=content.site,
        device=device or content.device,
        number=number,
        base=base or Base(generation=0, digest=None),
        generation=content,
        policy=policy or Policy(),
        plan_digest=NO_DIGEST,
        spec_digest=NO_DIGEST,
        lock_digest=NO_DIGEST,
        issued_at="2026-11-22T00:00:00Z",
    )


@dataclass
class Publisher:
    """A development root with its repository, signing what a test wants signed."""

    trust: Trust

    @property
    def root(self) -> bytes:
        return (self.metadata / "1.root.json").read_bytes()

    @property
    def metadata(self) -> Path:
        return self.trust.repository.metadata

    def publish(
        self,
        deployment: Deployment,
        *artifacts: Artifact,
        remove: Iterable[str] = (),
        at: str | None = None,
    ) -> None:
        """Sign a deployment with its artifacts; `at` puts it at another device's place."""
        now = datetime.now(timezone.utc)
        targets = [NewTarget(path=a.target_path, content=a.encoded()) for a in artifacts]
        path = at or deployment.target_path
        targets.append(NewTarget(path=path, content=deployment.encoded()))
        self.trust.repository.stage(now=now, add=targets, remove=remove)
        publish(self.trust.repository, self.trust.keyring, now=now)


def a_publisher(folder: Path) -> Publisher:
    """A new development root, in a folder that is not there yet."""
    init_development(folder, (SITE,), _passphrase, now=datetime.now(timezone.utc))
    return the_publisher(folder)


def the_publisher(folder: Path) -> Publisher:
    """The publisher of a folder that `a_publisher` made."""
    return Publisher(open_trust(folder, _passphrase))


def _passphrase() -> bytes:
    return b"development"


def deliver(device: Device, publisher: Publisher, deployment: Deployment, *contents: bytes) -> None:
    """Bring metadata, the deployment and blobs to the device."""
    device.receive_metadata(publisher.metadata)
    device.receive(deployment.encoded(), *contents)


@dataclass(frozen=True)
class Answer:
    exit_code: int
    said: dict[str, object]
    talk: str


def a_tool(folder: Path) -> Path:
    path = folder / "edgeform-device.pyz"
    path.write_bytes(tool_bytes())
    return path


def ask(
    tool: tuple[str, ...], *arguments: str, stdin: bytes = b"", timeout_s: float = 60.0
) -> Answer:
    """Run the tool in a process of its own; what it printed must be one JSON object."""
    done = subprocess.run(
        (*tool, *arguments), input=stdin, capture_output=True, timeout=timeout_s, check=False
    )
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 1, (done.stdout, done.stderr)
    return Answer(done.returncode, json.loads(lines[0]), done.stderr.decode())


def plant(tree: Path, folder: Path) -> Path:
    """Make a recorded machine's files: lines `file PATH TEXT`, `link PATH TARGET`, `node PATH`, `dir PATH`."""
    for number, line in enumerate(tree.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        kind, path, *rest = line.split(" ", 2)
        where = folder / path.lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        text = rest[0] if rest else ""
        match kind:
            case "file":
                content = text.replace("\\n", "\n").replace("\\0", "\0")
                where.write_bytes(content.encode())
            case "link":
                os.symlink(text, where)
            case "node":
                where.touch()
            case "dir":
                where.mkdir(exist_ok=True)
            case _:
                raise AssertionError(f"{tree}:{number}: {line}")
    return folder
