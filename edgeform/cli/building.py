"""What `lock` builds with: model artifacts and closures, put into the workspace's store."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeform.build.closure import (
    OWN_PACKAGES,
    ClosureRequest,
    build_closure,
    lock_of,
    own_sources,
)
from edgeform.build.failure import ClosureUnavailable
from edgeform.build.model import model_artifact
from edgeform.lock.closures import RuntimeRequest
from edgeform.lock.resolve import ModelRequest
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact


@dataclass(frozen=True, slots=True)
class StoreSink:
    """Bytes of artifacts go into a store's objects."""

    objects: Objects

    def put(self, path: Path, /) -> str:
        return self.objects.put_file(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfBuilder:
    """Builds into a store, and remembers which closure was built for which request."""

    artifacts: Artifacts
    work_dir: Path
    tell: Callable[[str], None]

    def model(self, request: ModelRequest) -> Artifact:
        made = model_artifact(
            request.folder,
            request.model.name,
            request.version,
            request.variant.name,
            engine=request.variant.engine,
            precision=request.variant.precision,
            accelerators=tuple(request.variant.accelerators),
            entry=request.entry,
            epoch=request.model.epoch,
            sink=StoreSink(self.artifacts.objects),
            wants_goldens=request.variant.goldens is not None,
        )
        return self._kept(made)

    def runtime(self, request: RuntimeRequest) -> Artifact | None:
        if request.glibc is None or request.python is None:
            return None
        wanted = ClosureRequest(
            engine=request.engine,
            arch=request.arch,
            glibc=request.glibc,
            python=request.python,
            extras=request.extras,
        )
        try:
            known = self.work_dir / f"closure-{_identity(wanted)}"
        except ClosureUnavailable as exc:
            self.tell(f"{request.engine} for {request.arch}: {exc.detail}")
            return None
        if known.exists():
            digest = digests.parse(known.read_text().strip())
            if not self.artifacts.missing(digest):
                return self.artifacts.get(digest)
        try:
            made = build_closure(
                wanted, StoreSink(self.artifacts.objects), self.work_dir, self.tell
            )
        except ClosureUnavailable as exc:
            self.tell(f"{request.engine} for {request.arch}: {exc.detail}")
            return None
        known.write_text(made.digest)
        return self._kept(made)

    def _kept(self, made: Artifact) -> Artifact:
        self.artifacts.objects.put(made.encoded())
        self.artifacts.index(made.encoded())
        return made


def _identity(request: ClosureRequest) -> str:
    """Changes when the packages, the kind of device or our own runtime change."""
    hasher = hashlib.sha256(repr(request).encode() + lock_of(request).encode())
    for name, content in own_sources(OWN_PACKAGES):
        hasher.update(name.encode() + b"\0" + content)
    return hasher.hexdigest()[:32]
