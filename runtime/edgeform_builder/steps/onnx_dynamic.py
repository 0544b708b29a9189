"""`int8_dynamic`: weights in INT8; the scale of activations is found while it runs, so nothing is calibrated.

Made for networks of MatMul; convolutions become ConvInteger, which few engines do fast.
"""

import os
import tempfile
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from edgeform_builder import onnxgraph
from edgeform_builder.job import Job, Refused, Result


def run(job: Job) -> Result:
    model = onnxgraph.load(job.source)
    model = onnx.shape_inference.infer_shapes(model)
    onnxgraph.canonical(model)
    nodes = onnxgraph.weighted_nodes(model)
    if not nodes:
        raise Refused("the network has no layer with weights, so nothing can be quantised")
    # ONNX Runtime's ConvInteger takes unsigned weights only (NOT_IMPLEMENTED else, 1.32).
    has_conv = any(node.op_type == "Conv" for node in nodes)
    with tempfile.TemporaryDirectory() as work:
        source, target = Path(work, "source.onnx"), Path(work, "target.onnx")
        onnxgraph.save(model, source)
        quantize_dynamic(
            str(source),
            str(target),
            per_channel=bool(job.parameters["per_channel"]),
            weight_type=QuantType.QUInt8 if has_conv else QuantType.QInt8,
        )
        found = onnxgraph.load(target)
    onnxgraph.sign(found)
    onnxgraph.save(found, job.out / "model.onnx")
    done = sum(n.op_type in ("ConvInteger", "MatMulInteger") for n in found.graph.node)
    if done == 0:
        raise Refused("no layer of the network can be quantised this way")
    return Result(
        entry="model.onnx",
        notes=(f"{done} of {len(nodes)} layers with weights in INT8",),
        figures={"layers": len(nodes), "quantised": done},
    )
