"""What `replay` runs with: the model and the closure that a capture names, out of the site's store."""

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from edgeform.build.replay import Subject, materialise
from edgeform.build.shadow import RuntimeProcess
from edgeform.errors import UsageError
from edgeform.store.artifacts import Artifacts
from edgeform_wire.artifact import Artifact
from edgeform_wire.capture import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A subject with its name for people, and what runs it."""

    name: str
    runtime: str
    digest: str
    subject: Subject


def stage(artifacts: Artifacts, model: Artifact, recorded: Model, folder: Path) -> Staged:
    """The model laid out below a folder, with the closure it was recorded in where that runs here."""
    tree = folder / "model"
    materialise(model, artifacts.objects.path, tree)
    engine = str(model.metadata["engine"])
    runtime, said = _runtime(artifacts, recorded, engine, folder / "runtime")
    return Staged(
        name=f"{model.name}@{model.version}/{model.variant}",
        runtime=said,
        digest=model.digest,
        subject=Subject(
            tree=tree,
            engine=engine,
            precision=str(model.metadata.get("precision", "f32")),
            runtime=runtime,
        ),
    )


def recorded_model(artifacts: Artifacts, recorded: Model) -> Artifact | None:
    """The very model that answered, if the store has it."""
    digest = recorded.model_digest
    if digest is None or artifacts.missing(digest):
        return None
    return artifacts.get(digest)


def named_model(artifacts: Artifacts, wanted: str, recorded: Model) -> Artifact:
    """The model of `VARIANT` (of the recorded version) or of `NAME@VERSION/VARIANT`.

    Raises:
        UsageError: the store has none, or several; says which there are.
    """
    name, _, version = recorded.model_ref.partition("/")[0].partition("@")
    variant = wanted
    if "@" in wanted:
        name, _, rest = wanted.partition("@")
        version, _, variant = rest.partition("/")
    models = [a for a in map(artifacts.get, artifacts) if a.kind == "model"]
    found = [
        a for a in models if a.name == name and a.version == version and variant in ("", a.variant)
    ]
    if len(found) == 1:
        return found[0]
    known = sorted(f"    {a.name}@{a.version}/{a.variant}" for a in models if a.name == name)
    raise UsageError(
        f"The store has {len(found) or 'no'} variants {wanted!r} of {name}@{version}.",
        hint="It has:\n" + "\n".join(known)
        if known
        else "Build or fetch it:\n    edgeform lock\n    edgeform store pull REMOTE",
    )


def _runtime(
    artifacts: Artifacts, recorded: Model, engine: str, folder: Path
) -> tuple[RuntimeProcess, str]:
    """The recorded closure where it is for this engine and runs here, else what is installed."""
    here = f"this environment, not the recorded closure ({platform.machine()})"
    digest = recorded.runtime_digest
    if digest is None or recorded.engine != engine or artifacts.missing(digest):
        return RuntimeProcess(), here
    closure = artifacts.get(digest)
    wanted = str(closure.metadata.get("python", ""))
    python = _python(wanted)
    if closure.requires.arch != platform.machine() or python is None:
        return RuntimeProcess(), here
    materialise(closure, artifacts.objects.path, folder)
    return RuntimeProcess(python=python, lib=folder / "lib"), f"the recorded closure {digest[:19]}"


def _python(version: str) -> str | None:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    return shutil.which(f"python{version}") if version else None
