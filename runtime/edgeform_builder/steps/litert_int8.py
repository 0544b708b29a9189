"""`litert_int8`: static INT8 of weights and activations of a TFLite file, from real calibration data.

Inputs and outputs stay FP32 unless `integer_edges` says otherwise, as accelerators without floats want them;
the runtime's adapter then applies scale and zero point.
"""

from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe

from edgeform_builder import tflite
from edgeform_builder.job import Job, Result, note

EDGES = (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT)


def run(job: Job) -> Result:
    feeds = list(job.calibration.samples(int(job.parameters["samples"])))
    tool = quantizer.Quantizer(str(job.source))
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    if not job.parameters["integer_edges"]:
        for edge in EDGES:
            tool.update_quantization_recipe(
                regex=".*",
                operation_name=edge,
                algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
            )
    note(f"litert_int8: calibrating with {len(feeds)} samples")
    ranges = tflite.calibrated(tool, job.source, feeds)
    size = tflite.write(tool, job.out, ranges)
    notes = (f"calibrated with {len(feeds)} samples", f"{size} bytes in INT8")
    return Result(entry=tflite.ENTRY, notes=notes)
