"""`litert_fp16`: weights of a TFLite file in FP16; a CPU computes in FP32, a delegate may compute in FP16."""

from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

from edgeform_builder import tflite
from edgeform_builder.job import Job, Result


def run(job: Job) -> Result:
    tool = quantizer.Quantizer(str(job.source))
    tool.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )
    size = tflite.write(tool, job.out)
    return Result(entry=tflite.ENTRY, notes=(f"{size} bytes with weights in FP16",))
