"""`nncf_int8`: OpenVINO's IR in INT8, by NNCF's post-training quantisation of real calibration data.

With `mixed` NNCF gives layers back to FP32 until the answers are near enough to the source's on the
calibration set (its accuracy control, with the gate's SQNR as the measure); the evaluation set has no
part in it.
"""

import logging
from typing import Any, List, Tuple

from edgeform_builder import openvinoir  # before nncf: it switches its reporting off
from edgeform_builder.job import Job, Refused, Result, note
from edgeform_builder.tensors import sqnr_db

import nncf  # isort: skip

PRESETS = {
    "mixed": nncf.QuantizationPreset.MIXED,
    "performance": nncf.QuantizationPreset.PERFORMANCE,
}
CONTROL_SAMPLES = 64
MARGIN_DB = 1.0
"""Above the gate's figure, because the evaluation set is another one."""


def run(job: Job) -> Result:
    nncf.set_log_level(logging.ERROR)
    feeds = list(job.calibration.samples(int(job.parameters["samples"])))
    model = openvinoir.converted(job.source)
    layers = openvinoir.weighted_layers(model)
    if not layers:
        raise Refused("the network has no layer with weights, so nothing can be quantised")
    note(f"nncf_int8: calibrating with {len(feeds)} samples")
    found = (
        _controlled(job, model, feeds) if job.parameters["mixed"] else _quantised(job, model, feeds)
    )
    done = openvinoir.quantised_layers(found)
    openvinoir.write(found, job.out, is_half=False)
    notes = (
        f"calibrated with {len(feeds)} samples",
        f"{done} of {layers} layers with weights in INT8",
    )
    return Result(
        entry=openvinoir.ENTRY, notes=notes, figures={"layers": layers, "quantised": done}
    )


def _quantised(job: Job, model: Any, feeds: List[Any]) -> Any:
    return nncf.quantize(
        model,
        nncf.Dataset(feeds),
        subset_size=len(feeds),
        preset=PRESETS[job.parameters["preset"]],
        fast_bias_correction=bool(job.parameters["fast_bias_correction"]),
    )


def _controlled(job: Job, model: Any, feeds: List[Any]) -> Any:
    few = feeds[:CONTROL_SAMPLES]
    reference = openvinoir.answers(model, few)
    wanted = job.target_sqnr_db + MARGIN_DB

    def score(compiled: Any, data: Any) -> Tuple[float, None]:
        said = [openvinoir.flat(compiled(feed)) for feed in data]
        # NNCF wants an accuracy that may drop by so much; 1 where the answers are near enough.
        return min(1.0, sqnr_db(reference, said) / wanted), None

    return nncf.quantize_with_accuracy_control(
        model,
        calibration_dataset=nncf.Dataset(feeds),
        validation_dataset=nncf.Dataset(few),
        validation_fn=score,
        max_drop=0.0,
        subset_size=len(feeds),
        preset=PRESETS[job.parameters["preset"]],
    )
