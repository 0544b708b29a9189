"""`trt_int8`: what TensorRT takes: signed, symmetric, weights in FP32 with Q and DQ of their own, biases
and outputs left alone, so that TensorRT itself decides what is fused. The engine is built on each device.

The form is what NVIDIA's guide calls explicit quantisation; the options are ONNX Runtime's own for it.
"""

from dataclasses import replace

from edgeform_builder.job import Job, Result
from edgeform_builder.steps import onnx_int8


def run(job: Job) -> Result:
    asked = {**job.parameters, "symmetric": True, "is_explicit": True}
    found = onnx_int8.run(replace(job, parameters=asked))
    return replace(
        found, notes=(*found.notes, "weights stay FP32 in the file; TensorRT folds them")
    )
