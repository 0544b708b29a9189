"""`fp16`: weights and arithmetic in FP16, inputs and outputs FP32. Half the file; on a CPU no faster."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from edgeform_builder import onnxgraph
from edgeform_builder.job import Job, Result


def run(job: Job) -> Result:
    model = onnxgraph.load(job.source)
    before = model.ByteSize()
    converted = convert_float_to_float16(
        onnx.shape_inference.infer_shapes(model), keep_io_types=True
    )
    onnxgraph.canonical(converted)
    onnxgraph.save(converted, job.out / "model.onnx")
    return Result(entry="model.onnx", notes=(f"{before} bytes, {converted.ByteSize()} in FP16",))
