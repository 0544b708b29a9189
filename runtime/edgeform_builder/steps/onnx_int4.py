"""`int4`: weights of MatMul in INT4 by blocks; Gemm is split into MatMul and Add first, or nothing would be
seen. Convolutions are not touched, and the notes say what share of the weights was.
"""

import os
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from edgeform_builder import onnxgraph
from edgeform_builder.job import Job, Refused, Result

BITS = 4


def run(job: Job) -> Result:
    model = onnxgraph.load(job.source)
    split_gemm(model)
    onnxgraph.canonical(model)
    nodes = onnxgraph.weighted_nodes(model)
    all_bytes = onnxgraph.float_bytes(model, nodes)
    touched = [n for n in nodes if n.op_type == "MatMul"]
    if not touched:
        kinds = ", ".join(sorted({n.op_type for n in nodes})) or "no layer with weights"
        raise Refused(
            f"INT4 touches MatMul and Gemm only, and the network has {kinds}",
            "Take int8 or fp16 for convolutions.",
        )
    share = onnxgraph.float_bytes(model, touched)
    quantiser = MatMulNBitsQuantizer(
        model,
        bits=BITS,
        block_size=int(job.parameters["block_size"]),
        is_symmetric=bool(job.parameters["symmetric"]),
        accuracy_level=int(job.parameters["accuracy_level"]),
    )
    quantiser.process()
    found = quantiser.model.model
    done = sum(n.op_type == "MatMulNBits" for n in found.graph.node)
    if done == 0:
        raise Refused("no MatMul of the network has weights that INT4 can hold")
    onnxgraph.canonical(found)
    onnxgraph.save(found, job.out / "model.onnx")
    said = (
        f"{done} of {len(nodes)} layers with weights in INT4: {100 * share / max(1, all_bytes):.0f} % of"
        f" {all_bytes} bytes of weights; convolutions stay as they are"
    )
    return Result(
        entry="model.onnx",
        notes=(said,),
        figures={
            "layers": len(nodes),
            "quantised": done,
            "weights_share": share / max(1, all_bytes),
        },
    )


def split_gemm(model: Any) -> None:
    """Every plain Gemm becomes MatMul and Add."""
    graph = model.graph
    weights = onnxgraph.weights_of(model)
    nodes = []
    for node in graph.node:
        settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        is_plain = (
            node.op_type == "Gemm"
            and node.input[1] in weights
            and not settings.get("transA", 0)
            and settings.get("alpha", 1.0) == 1.0
            and settings.get("beta", 1.0) == 1.0
        )
        if not is_plain:
            nodes.append(node)
            continue
        weight = numpy_helper.to_array(weights[node.input[1]])
        turned = np.ascontiguousarray(weight.T) if settings.get("transB", 0) else weight
        name = f"{node.input[1]}_{len(nodes)}_matmul"
        graph.initializer.append(numpy_helper.from_array(turned, name))
        has_bias = len(node.input) > 2 and node.input[2]
        middle = f"{node.output[0]}_product" if has_bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], name], [middle]))
        if has_bias:
            nodes.append(helper.make_node("Add", [middle, node.input[2]], [node.output[0]]))
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
