"""`ir_fp16`: OpenVINO's IR with weights stored in FP16; a CPU computes in FP32, a GPU in FP16."""

from edgeform_builder import openvinoir
from edgeform_builder.job import Job, Result


def run(job: Job) -> Result:
    model = openvinoir.converted(job.source)
    openvinoir.write(model, job.out, is_half=True)
    size = (job.out / openvinoir.ENTRY).with_suffix(".bin").stat().st_size
    return Result(entry=openvinoir.ENTRY, notes=(f"{size} bytes of weights in FP16",))
