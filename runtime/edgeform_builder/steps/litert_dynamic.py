"""`litert_int8_dynamic`: INT8 weights of a TFLite file, a scale for each channel; activations stay FP32 in it
and are quantised while it runs, so no calibration is needed.
"""

from ai_edge_quantizer import quantizer, recipe

from edgeform_builder import tflite
from edgeform_builder.job import Job, Result


def run(job: Job) -> Result:
    tool = quantizer.Quantizer(str(job.source))
    tool.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    size = tflite.write(tool, job.out)
    return Result(entry=tflite.ENTRY, notes=(f"{size} bytes with weights in INT8",))
