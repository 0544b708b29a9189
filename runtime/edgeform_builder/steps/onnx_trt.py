"""`trt_int8`: what TensorRT takes: signed and symmetric, weights in FP32 with a pair of Q and DQ of their own, biases
and outputs left alone, so that TensorRT itself decides what is fused. The engine is built on each device.

Source: ONNX Runtime's example for TensorRT (onnxruntime-inference-examples, quantization/image_classification)
quantises with these options; NVIDIA's guide calls the form explicit quantisation.
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
