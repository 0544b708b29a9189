"""The reference that drift is measured against: features of a folder of inputs, seen as a device sees them.

Written into the model's folder as `drift/reference.json`, so it is signed and installed with the model.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgeform.build.failure import ModelUnusable
from edgeform.build.shadow import TREE, RuntimeProcess, shadow
from edgeform_device.control import Control, RuntimeRefused, RuntimeSilent
from edgeform_wire import reference
from edgeform_wire.errors import WireError
from edgeform_wire.reference import Reference

MAX_INPUTS = 20_000


def complete_reference(
    model: Path,
    inputs: Path,
    *,
    engine: str,
    stages: Mapping[str, object],
    runtime: RuntimeProcess | None = None,
) -> Reference:
    """Run every file of a folder through the real preprocessing and write what drift is measured against.

    Args:
        inputs: files as the capture gives them (pictures, WAV, NPY, text), at least 50; a few hundred that
            were taken where the model shall work are a good reference.
        stages: as in a pipeline file; another preprocessing needs another reference.

    Raises:
        ModelUnusable: too few inputs, or one that preprocessing refuses.
        BuildFailed: the runtime does not start.
    """
    files = sorted(path for path in inputs.iterdir() if path.is_file())[:MAX_INPUTS]
    with tempfile.TemporaryDirectory(prefix="edgeform-reference-") as work:
        shutil.copytree(model, Path(work, TREE))
        with (
            shadow(
                Path(work), engine=engine, stages=stages, runtime=runtime or RuntimeProcess()
            ) as subject,
            Control(subject.socket_path) as control,
        ):
            seen, digest = [], ""
            for path in files:
                features, digest = _features(control, path)
                seen.append(features)
    try:
        found = reference.reference_of(seen, digest)
    except WireError as exc:
        raise ModelUnusable(
            f"No drift reference can be made of these inputs: {exc}.",
            address=str(inputs),
            hint=f"Give a folder of at least {reference.LEAST_INPUTS} typical inputs.",
        ) from exc
    target = model / reference.PATH
    target.parent.mkdir(exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_bytes(found.encoded())
    part.replace(target)
    return found


def _features(control: Control, path: Path) -> tuple[dict[str, float], str]:
    try:
        answer, _ = control.ask({"op": "features", "slot": "live"}, path.read_bytes())
    except (RuntimeRefused, RuntimeSilent) as exc:
        raise ModelUnusable(
            f"Preprocessing refuses an input of the reference: {exc.detail or exc.summary}.",
            address=str(path),
        ) from exc
    features = {str(name): float(value) for name, value in answer["features"].items()}
    return features, str(answer["preprocess_digest"])
