"""Writes the factory's edgeform.lock: real models where there are any, and digests that only stand for the
rest.

    python site/factory/planning_lock.py

`edgeform lock` cannot write it: what only a vendor's compiler makes (the variants of `ppe`) is a line of
text here, and closures for every class would take gigabytes. The lock lets the whole site be planned;
nothing of it can be applied, for the bytes are in no store.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgeform.build.model import model_artifact
from edgeform.build.tree import files_of
from edgeform.domain.artifacts import Lock
from edgeform.lock.closures import RuntimeRequest
from edgeform.lock.lockfile import FILE_NAME, write
from edgeform.lock.resolve import ModelRequest, renewed
from edgeform.registry.open import registries_of
from edgeform.spec.load import load
from edgeform_wire.artifact import Artifact, Requires

MARK = "planning-only"
"""Stands in every version of a closure, so that nobody takes one for a real one."""
LEFT_OUT = ("tensorrt", "3.8")
"""JetPack 5: nobody has said yet how its closure would be made, so a plan must refuse it by name."""


NO_MODELS = ("ppe",)
"""Models whose files only stand for some; of all others the lock names the artifact that is installed."""


@dataclass(frozen=True, slots=True)
class Placeholders:
    """A builder that builds no closure, and names what a real one would have to make of `NO_MODELS`."""

    def model(self, request: ModelRequest) -> Artifact:
        if request.model.name not in NO_MODELS:
            return model_artifact(
                request.folder,
                request.model.name,
                request.version,
                request.variant.name,
                engine=request.variant.engine,
                precision=request.variant.precision,
                accelerators=tuple(request.variant.accelerators),
                entry=request.entry,
                epoch=request.model.epoch,
            )
        return Artifact(
            kind="model",
            name=request.model.name,
            version=request.version,
            variant=request.variant.name,
            epoch=request.model.epoch,
            requires=Requires(),
            files=files_of(request.folder),
            metadata={"engine": request.variant.engine, "planning_only": True, "measures": {}},
        )

    def runtime(self, request: RuntimeRequest) -> Artifact | None:
        if (request.engine, request.python) == LEFT_OUT:
            return None
        version = request.engine_version or "0"
        return Artifact(
            kind="runtime",
            name=request.engine,
            version=f"{version}+{MARK}",
            variant="+".join(
                (f"{request.arch}-glibc{request.glibc}-py{request.python}", *request.extras)
            ),
            epoch=0,
            requires=Requires(arch=request.arch, glibc=request.glibc, python=request.python),
            files=(),
            metadata={
                "engine": request.engine,
                "engine_version": version,
                "planning_only": True,
                **({"extras": list(request.extras)} if request.extras else {}),
            },
        )


def planning_lock(site_dir: Path) -> Lock:
    """The lock that belongs to the site as it stands."""
    site = load(site_dir).checked()
    with tempfile.TemporaryDirectory(prefix="edgeform-factory-") as work:
        return renewed(site, registries_of(site), Placeholders(), None, work=Path(work)).lock


if __name__ == "__main__":
    here = Path(__file__).parent
    write(here / FILE_NAME, planning_lock(here))
    sys.stdout.write(f"{here / FILE_NAME}\n")
