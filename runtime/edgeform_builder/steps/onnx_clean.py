"""`clean`: shapes inferred, constants folded, batch norms folded into convolutions, canonical names.

Only ONNX Runtime's basic optimisations are used: what they give is plain ONNX that any engine reads. The
result is run beside the source on random input before it is given.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnx
import onnxruntime as ort

from edgeform_builder import onnxgraph
from edgeform_builder.job import Job, Refused, Result
from edgeform_builder.tensors import Array, sqnr_db

LEAST_SQNR_DB = 80.0
"""What folding may cost; FP32 engines differ by 1.3e-6 of the range at most (docs/reference/checks.md)."""
_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32"}
_DTYPES |= {"tensor(uint8)": "uint8", "tensor(bool)": "bool", "tensor(float16)": "float16"}


def run(job: Job) -> Result:
    model = onnxgraph.load(job.source)
    before = len(model.graph.node)
    cleaned = cleaned_of(model)
    compare(model, cleaned)
    onnxgraph.save(cleaned, job.out / "model.onnx")
    return Result(
        entry="model.onnx", notes=(f"{before} nodes, {len(cleaned.graph.node)} after cleaning",)
    )


def cleaned_of(model: Any) -> Any:
    """The model after basic optimisation and shape inference, with canonical names.

    Raises:
        Refused: the engine cannot open it, or it came back with operators that only one engine has.
    """
    with tempfile.TemporaryDirectory() as work:
        target = Path(work, "optimised.onnx")
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        try:
            ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:  # its own exceptions share no base
            raise Refused(f"ONNX Runtime cannot open the model: {exc!s:.300}") from exc
        found = onnx.load(str(target))
    own = {op.domain for op in model.opset_import}
    foreign = {n.domain for n in found.graph.node} - own - {"", "ai.onnx"}
    if foreign:
        raise Refused(
            f"cleaning brought in operators of {min(foreign)!r}, which other engines lack"
        )
    kept = [op for op in found.opset_import if op.domain in {n.domain for n in found.graph.node}]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    found = onnx.shape_inference.infer_shapes(found)
    onnxgraph.canonical(found)
    onnx.checker.check_model(found)
    return found


def compare(before: Any, after: Any) -> None:
    """Refuse a cleaning that changed what the network computes."""
    one, two = onnxgraph.session(before), onnxgraph.session(after)
    feeds = [_random_feed(one, seed) for seed in range(3)]
    left, right = onnxgraph.answers(one, feeds), onnxgraph.answers(two, feeds)
    found = sqnr_db(left, right)
    if found < LEAST_SQNR_DB:
        raise Refused(f"cleaning changed the answers: {found:.0f} dB against the source")


def _random_feed(running: Any, seed: int) -> "dict[str, Array]":
    rng = np.random.default_rng(seed)
    feed: dict[str, Array] = {}
    for node in running.get_inputs():
        shape = [extent if isinstance(extent, int) and extent > 0 else 1 for extent in node.shape]
        dtype = np.dtype(_DTYPES.get(node.type, "float32"))
        is_real = np.issubdtype(dtype, np.floating)
        feed[node.name] = (
            rng.standard_normal(shape).astype(dtype)
            if is_real
            else rng.integers(0, 2, shape).astype(dtype)
        )
    return feed
