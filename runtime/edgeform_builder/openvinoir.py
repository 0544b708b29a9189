"""OpenVINO's IR from ONNX, and written so that the same network gives the same bytes.

The tools' reporting to their vendor is switched off before they are imported: a build says nothing to
anybody.
"""

import sys
from pathlib import Path
from typing import Any, Dict, List

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # its importers then use a stub
import numpy as np  # noqa: E402 - whatever comes first, nothing may be imported before that line
import openvino as ov  # noqa: E402 - likewise

from edgeform_builder.job import Refused  # noqa: E402 - likewise
from edgeform_builder.tensors import Array  # noqa: E402 - likewise

ENTRY = "model.xml"
CPU_FP32 = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
"""Where nothing is said, a CPU with bf16 takes that, silently."""


def converted(source: Path) -> Any:
    """The network of an ONNX file.

    Raises:
        Refused: OpenVINO cannot read it, or an operator is not known to it.
    """
    try:
        return ov.convert_model(str(source))
    except RuntimeError as exc:  # all that its frontends raise
        lines = [line for line in str(exc).splitlines() if line.strip()]
        raise Refused(
            f"OpenVINO cannot read the model: {lines[-1].strip()[:300] if lines else 'no reason given'}"
        ) from exc


def write(model: Any, folder: Path, *, is_half: bool) -> None:
    """Write `model.xml` and `model.bin`, with names that follow from the graph alone.

    NNCF counts the constants of a whole process in their names, and the converter notes where its source lay.
    """
    for number, op in enumerate(model.get_ordered_ops()):
        kind = op.get_type_name()
        if kind in ("Parameter", "Result"):
            continue
        op.set_friendly_name(f"{kind}_{number}")
        for output in op.outputs():
            used_by = {target.get_node().get_type_name() for target in output.get_target_inputs()}
            if "Result" not in used_by:
                output.get_tensor().set_names(set())
    for path in (["conversion_parameters"], ["nncf"]):
        if model.has_rt_info(path):
            model.set_rt_info("", path)
    ov.save_model(model, str(folder / ENTRY), compress_to_fp16=is_half)


def answers(model: Any, feeds: List[Dict[str, Array]]) -> List[Array]:
    """Every output of every sample in FP32, flat, one array a sample."""
    compiled = ov.Core().compile_model(model, "CPU", CPU_FP32)
    return [flat(compiled(feed)) for feed in feeds]


def flat(outputs: Any) -> Array:
    """The outputs of one inference, one after the other, in FP32."""
    return np.concatenate([np.asarray(out, np.float32).ravel() for out in outputs.values()])


def quantised_layers(model: Any) -> int:
    """Convolutions and products whose weights went through a quantisation."""
    return sum(
        op.get_type_name() in ("Convolution", "GroupConvolution", "MatMul")
        and "FakeQuantize" in _before(op.input_value(1).get_node())
        for op in model.get_ops()
    )


def weighted_layers(model: Any) -> int:
    return sum(
        op.get_type_name() in ("Convolution", "GroupConvolution", "MatMul")
        for op in model.get_ops()
    )


def _before(op: Any, depth: int = 4) -> List[str]:
    """Kinds of an operation and of a few before it."""
    found = [op.get_type_name()]
    if depth and op.get_input_size():
        found += _before(op.input_value(0).get_node(), depth - 1)
    return found
