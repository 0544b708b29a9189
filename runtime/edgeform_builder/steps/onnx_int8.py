"""`int8`: static INT8 with QuantizeLinear and DequantizeLinear around what is quantised (QDQ).

Activations unsigned, weights signed, as x86 and ARM CPUs compute fastest; `symmetric` gives what TensorRT
wants. With `mixed`, the layers that cost most on the calibration set stay in FP32, one, two, four... of them,
until the gate's SQNR is reached there; the evaluation set has no part in it.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgeform_builder import onnxgraph
from edgeform_builder.job import Job, Refused, Result, note
from edgeform_builder.tensors import Array, sqnr_db

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
EXPLICIT = {
    "AddQDQPairToWeight": True,
    "QuantizeBias": False,
    "DedicatedQDQPair": True,
    "OpTypesToExcludeOutputQuantization": ["Conv", "Gemm", "MatMul", "Add"],
}
"""For `trt_int8`: see onnx_trt."""
SENSITIVITY_SAMPLES = 32
MARGIN_DB = 1.0
"""Above the gate's figure, because the evaluation set is another one."""


def run(job: Job) -> Result:
    feeds = list(job.calibration.samples(int(job.parameters["samples"])))
    with tempfile.TemporaryDirectory() as work:
        prepared = Path(work, "prepared.onnx")
        _prepare(job.source, prepared)
        source = onnxgraph.load(prepared)
        names = [node.name for node in onnxgraph.weighted_nodes(source)]
        if not names:
            raise Refused("the network has no layer with weights, so nothing can be quantised")
        notes = [f"calibrated with {len(feeds)} samples"]
        excluded: Tuple[str, ...] = ()
        if job.parameters["mixed"]:
            excluded, said = _mixed(job, source, prepared, names, feeds)
            notes.append(said)
        else:
            _quantise(job.parameters, prepared, job.out / "model.onnx", feeds, excluded)
        final = onnxgraph.load(job.out / "model.onnx")
        onnxgraph.sign(final)
        onnxgraph.save(final, job.out / "model.onnx")
    done = len(names) - len(excluded)
    notes.append(f"{done} of {len(names)} layers with weights in INT8")
    return Result(
        entry="model.onnx", notes=tuple(notes), figures={"layers": len(names), "quantised": done}
    )


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # the tool's class is untyped
    def __init__(self, feeds: List[Dict[str, Array]]) -> None:
        self._feeds: Iterator[Dict[str, Array]] = iter(feeds)

    def get_next(self) -> Optional[Dict[str, Array]]:
        return next(self._feeds, None)


def _prepare(source: Path, target: Path) -> None:
    """Shapes and folded batch norms, which quantisation needs; every node with a name of its own."""
    model = onnxgraph.load(source)
    onnxgraph.canonical(model)
    plain = target.with_name("plain.onnx")
    onnxgraph.save(model, plain)
    quant_pre_process(str(plain), str(target), skip_symbolic_shape=True)
    prepared = onnx.load(str(target))
    onnxgraph.canonical(prepared)
    onnxgraph.save(prepared, target)


def _quantise(
    parameters: Mapping[str, Any],
    source: Path,
    target: Path,
    feeds: List[Dict[str, Array]],
    excluded: Tuple[str, ...],
    only: Optional[List[str]] = None,
) -> None:
    is_symmetric = bool(parameters["symmetric"])
    quantize_static(
        str(source),
        str(target),
        _Reader(feeds),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8 if is_symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=bool(parameters["per_channel"]),
        calibrate_method=METHODS[parameters["calibrator"]],
        nodes_to_exclude=list(excluded),
        nodes_to_quantize=only,
        extra_options={
            "ActivationSymmetric": is_symmetric,
            "WeightSymmetric": True,
            **(EXPLICIT if parameters.get("is_explicit") else {}),
        },
    )


def _mixed(
    job: Job,
    source: Any,
    prepared: Path,
    names: List[str],
    feeds: List[Dict[str, Array]],
) -> Tuple[Tuple[str, ...], str]:
    """The layers left in FP32, and what was found; the model is in `out/`.

    Raises:
        Refused: even with half of the layers in FP32 the gate's SQNR is not reached.
    """
    few = feeds[:SENSITIVITY_SAMPLES]
    reference = onnxgraph.answers(onnxgraph.session(source), few)
    trial = prepared.with_name("trial.onnx")
    costs: List[Tuple[float, str]] = []
    for number, name in enumerate(names):
        note(f"int8: sensitivity of layer {number + 1} of {len(names)}")
        _quantise(job.parameters, prepared, trial, few, (), [name])
        costs.append((_sqnr(trial, reference, few), name))
    costs.sort()
    wanted = job.target_sqnr_db + MARGIN_DB
    count, found = 1, 0.0
    while True:
        excluded = tuple(name for _, name in costs[:count])
        note(f"int8: {count} of {len(names)} layers stay in FP32")
        _quantise(job.parameters, prepared, job.out / "model.onnx", feeds, excluded)
        found = _sqnr(job.out / "model.onnx", reference, few)
        if found >= wanted:
            break
        if count >= max(1, len(names) // 2):
            raise Refused(
                f"with {count} of {len(names)} layers in FP32 the calibration set still shows"
                f" {found:.1f} dB, {wanted:.1f} dB are wanted"
            )
        count = min(count * 2, max(1, len(names) // 2))
    listed = ", ".join(excluded[:4]) + (f" and {count - 4} more" if count > 4 else "")
    return excluded, f"in FP32 stay {listed}: {found:.1f} dB on the calibration set"


def _sqnr(path: Path, reference: List[Array], feeds: List[Dict[str, Array]]) -> float:
    return sqnr_db(reference, onnxgraph.answers(onnxgraph.session(path.read_bytes()), feeds))
