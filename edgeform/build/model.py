"""A model directory as a signed thing to install: checked files, tensor specs, goldens, measures."""

from collections.abc import Mapping
from pathlib import Path

from edgeform.build.failure import ModelUnusable
from edgeform.build.formats import Described, described
from edgeform.build.tree import BlobSink, files_of
from edgeform_wire import golden, reference
from edgeform_wire.artifact import Artifact, Requires
from edgeform_wire.errors import WireError

ENTRY = "model.onnx"
REFUSED_ENDINGS = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".h5", ".keras", ".joblib", ".so")
LFS_POINTER = b"version https://git-lfs"


def model_artifact(
    directory: Path,
    name: str,
    version: str,
    variant: str,
    *,
    engine: str = "onnxruntime",
    precision: str | None = None,
    accelerators: tuple[str, ...] = (),
    entry: str = ENTRY,
    measures: Mapping[str, float] | None = None,
    epoch: int = 0,
    requires: Requires | None = None,
    sink: BlobSink | None = None,
    wants_goldens: bool = True,
) -> Artifact:
    """The artifact of a model directory; its bytes go into the sink, if there is one.

    Args:
        precision: what the site says; it must be what the file is. None takes the file's.
        accelerators: what the variant is for; a file that names its chip must be for all of them.
        measures: figures of the gate (accuracy, agreement, p50_ms...).

    Raises:
        ModelUnusable: hostile, damaged or incomplete, or goldens that do not belong to it.
    """
    for path in directory.rglob("*"):
        _check_file(path, directory)
    if not (directory / entry).is_file():
        raise ModelUnusable(
            f"There is no {entry} in it.",
            address=str(directory),
            hint="Name the model file `model.onnx`, or set `file` of the variant.",
        )
    found = described(engine, directory / entry, accelerators)
    actual = found.precision or precision or "f32"
    if precision not in (None, actual):
        raise ModelUnusable(
            f"The site says {precision}, but the file computes in {actual}.",
            address=str(directory / entry),
            hint=f"Set `precision: {actual}`, or name the file that was meant.",
        )
    if wants_goldens:
        _check_goldens(directory, actual, found)
    _check_reference(directory)
    return Artifact(
        kind="model",
        name=name,
        version=version,
        variant=variant,
        epoch=epoch,
        requires=requires or Requires(),
        files=files_of(directory, sink),
        metadata={
            "entry": entry,
            "engine": engine,
            "precision": actual,
            "inputs": [_spec(*tensor) for tensor in found.inputs],
            "outputs": [_spec(*tensor) for tensor in found.outputs],
            "measures": dict(measures or {}),
        },
    )


def _spec(name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, object]:
    return {"name": name, "dtype": dtype, "shape": list(shape)}


def _check_file(path: Path, directory: Path) -> None:
    where = str(path.relative_to(directory))
    if path.suffix.lower() in REFUSED_ENDINGS:
        raise ModelUnusable(
            f"{where}: files of this kind can run code when they are loaded and are not installed.",
            address=str(directory),
            hint="Export the model to ONNX and keep only that.",
        )
    if path.is_file() and not path.is_symlink():
        with path.open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise ModelUnusable(
                    f"{where} is a git-lfs pointer, not the file.",
                    address=str(directory),
                    hint="Fetch the files with:\n    git lfs pull",
                )


def _check_reference(directory: Path) -> None:
    path = directory / reference.PATH
    try:
        reference.decode(path.read_bytes())
    except FileNotFoundError:
        return  # a model without one is watched for everything but drift
    except WireError as exc:
        raise ModelUnusable(
            f"Its drift reference is damaged: {exc}.",
            address=str(path),
            hint="Make it again with edgeform.build.reference.complete_reference.",
        ) from exc


def _check_goldens(directory: Path, precision: str, found: Described) -> None:
    index = directory / golden.INDEX_PATH
    hint = (
        "Write golden/index.json with cases and the reference's answers, and complete it as\n"
        "    site/lab/model/complete.py does."
    )
    try:
        goldens = golden.decode(index.read_bytes())
    except FileNotFoundError as exc:
        raise ModelUnusable(
            "It has no goldens, so no device could prove that it works.",
            address=str(directory),
            hint=hint,
        ) from exc
    except WireError as exc:
        raise ModelUnusable(f"Its goldens are damaged: {exc}.", address=str(index)) from exc
    if goldens.precision != precision:
        raise ModelUnusable(
            f"Its goldens are for {goldens.precision}, the model computes in {precision}.",
            address=str(index),
            hint=hint,
        )
    outputs = {name for name, _, _ in found.outputs}
    for case in goldens.cases:
        for tensor in (*case.inputs, *case.variant, *case.fp32):
            path = directory / tensor.path
            if not path.is_file() or path.stat().st_size != tensor.size_bytes:
                raise ModelUnusable(
                    f"Golden {case.name}: {tensor.path} is missing or not {tensor.size_bytes} bytes.",
                    address=str(index),
                    hint=hint,
                )
        if case.frame is not None and not (directory / case.frame).is_file():
            raise ModelUnusable(f"Golden {case.name}: {case.frame} is missing.", address=str(index))
        foreign = {t.name for t in (*case.variant, *case.fp32)} - outputs
        if outputs and foreign:
            raise ModelUnusable(
                f"Golden {case.name} expects an output {min(foreign)!r} that the model does not have.",
                address=str(index),
                hint=hint,
            )
