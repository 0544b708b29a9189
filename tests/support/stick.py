"""Sticks for tests: a signed deployment and its artifacts written as a bundle, for a real device or a bare prefix."""

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support import device as devices
from support.device import MODEL_FILES, RUNTIME_FILES, Publisher, a_generation, a_model, an_artifact
from support.real_device import RealDevice, model_files, runtime_files

from edgeform.build.tool import tool_bytes
from edgeform.bundle import create
from edgeform.cli.trusting import SiteTrust
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects
from edgeform.trust.publication import export_timestamp, publish
from edgeform.trust.repository import NewTarget
from edgeform_wire import digest as digests
from edgeform_wire import sealed as seals
from edgeform_wire.artifact import Artifact
from edgeform_wire.deployment import Base, Deployment, Policy
from edgeform_wire.sealed import Sealed

SMALL_PARTS = 10_000


@dataclass
class Press:
    """Signs deployments and writes them to sticks."""

    folder: Path
    publisher: Publisher
    artifacts: Artifacts = field(init=False)
    number: int = 0

    def __post_init__(self) -> None:
        self.artifacts = Artifacts(Objects(self.folder / "press-store"))
        self.tool = self.folder / "press.pyz"
        self.tool.write_bytes(tool_bytes())

    def store(self, artifact: Artifact, files: dict[str, bytes]) -> None:
        paths = {}
        for number, (name, content) in enumerate(files.items()):
            paths[name] = self.folder / f"press-file-{number}"
            paths[name].write_bytes(content)
        self.artifacts.add(artifact, paths)

    def sign(self, content, *artifacts: Artifact, base: Base | None = None, **policy) -> Deployment:
        self.number += 1
        found = devices.a_deployment(
            content, number=self.number, base=base, policy=Policy(**policy)
        )
        self.publisher.publish(found, *artifacts)
        return found

    def a_small_one(
        self, version: str = "1.0", *, secrets: dict[str, str] | None = None, **policy
    ) -> Deployment:
        """Two small artifacts that no runtime could run; for everything up to the transaction."""
        model = a_model(version=version)
        runtime = an_artifact(RUNTIME_FILES, executable=["bin/run"])
        self.store(model, MODEL_FILES)
        self.store(runtime, RUNTIME_FILES)
        content = a_generation(model, runtime, secrets=secrets)
        return self.sign(content, model, runtime, **policy)

    def sign_sealed(self, *documents: Sealed, device: str = devices.DEVICE) -> None:
        """Sign secrets at a device's place."""
        path = seals.target_path(devices.SITE, device)
        new = [NewTarget(path=path, content=one.encoded()) for one in documents]
        now = datetime.now(UTC)
        self.publisher.trust.repository.stage(now=now, add=new)
        publish(self.publisher.trust.repository, self.publisher.trust.keyring, now=now)

    def load(self, *deployments: Deployment, valid_for=timedelta(days=90), at=None) -> create.Load:
        trust = self.publisher.trust
        paths = [d.target_path for d in deployments]
        paths += [
            self.artifacts.get(ref.digest).target_path
            for d in deployments
            for ref in d.generation.artifacts
        ]
        site = SiteTrust(trust)
        secrets = [site.target(seals.target_path(d.site, d.device)) for d in deployments]
        metadata = dict(site.metadata_for(paths))
        now = at or datetime.now(UTC)
        metadata["timestamp.json"] = export_timestamp(
            trust.repository, trust.keyring, now=now, valid_for=valid_for
        )
        return create.Load(
            site=devices.SITE,
            created_at="2026-11-22T00:00:00Z",
            valid_until="2026-12-22T00:00:00Z",
            timestamp_version=1,
            root_digest=digests.of_bytes(self.publisher.root),
            deployments=deployments,
            metadata=tuple(sorted(metadata.items())),
            artifacts=self.artifacts,
            tool=self.tool,
            sealed=tuple(one for one in secrets if one is not None),
        )

    def stick(self, name: str, *deployments: Deployment, part_bytes=SMALL_PARTS, **load) -> Path:
        place = self.folder / name
        place.mkdir(exist_ok=True)
        create.write(self.load(*deployments, **load), place, part_bytes=part_bytes)
        return place


class StickDevice(RealDevice):
    """A real device that is only ever reached by a stick."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.press = Press(self.folder, self.publisher)
        self.press.store(self.runtime, runtime_files())

    def signed(self, version: str, *, spoil=None, **policy) -> Deployment:
        files = model_files(spoil)
        model = devices.a_model(files, version=version)
        self.press.store(model, files)
        committed = self.state.committed()
        base = Base(0, None)
        if committed is not None:
            base = Base(committed.generation, committed.digest)
        settings = {"soak_s": 0.5, "deadline_s": 60.0, **policy}
        return self.press.sign(self.generation(model), model, self.runtime, base=base, **settings)

    def insert(self, place: Path, *options: str) -> devices.Answer:
        return self.ask("bundle", str(place), *options)


def files_of(place: Path) -> list[Path]:
    """Every file of a stick but what devices left there."""
    top = place / "edgeform"
    return sorted(p for p in top.rglob("*") if p.is_file() and "return" not in p.parts)


def copied(place: Path, name: str) -> Path:
    other = place.with_name(name)
    shutil.copytree(place, other)
    return other
