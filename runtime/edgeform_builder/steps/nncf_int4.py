"""`nncf_int4`: OpenVINO's IR with INT4 weights of products only; convolutions get INT8 weights."""

import logging

from edgeform_builder import openvinoir  # before nncf: it switches its reporting off
from edgeform_builder.job import Job, Refused, Result

import nncf  # isort: skip

MODES = {True: nncf.CompressWeightsMode.INT4_SYM, False: nncf.CompressWeightsMode.INT4_ASYM}


def run(job: Job) -> Result:
    nncf.set_log_level(logging.ERROR)
    model = openvinoir.converted(job.source)
    products = sum(op.get_type_name() == "MatMul" for op in model.get_ops())
    if not products:
        raise Refused(
            "the network has no MatMul, and INT4 weights are for those only",
            "Use nncf_int8, or ir_fp16.",
        )
    found = nncf.compress_weights(
        model,
        mode=MODES[bool(job.parameters["symmetric"])],
        group_size=int(job.parameters["group_size"]),
        ratio=1.0,
        all_layers=True,
    )
    kinds = [
        op.get_output_element_type(0).get_type_name()
        for op in found.get_ops()
        if op.get_type_name() == "Constant"
    ]
    narrow = sum(kind in ("i4", "u4") for kind in kinds)
    if not narrow:
        raise Refused(
            f"no weight of {products} MatMul fits groups of {job.parameters['group_size']}",
            "Set `group_size: -1`: one scale for each channel.",
        )
    openvinoir.write(found, job.out, is_half=False)
    return Result(
        entry=openvinoir.ENTRY,
        notes=(
            f"{narrow} weights in INT4 of {products} MatMul",
            f"{kinds.count('u8') + kinds.count('i8')} in INT8",
        ),
        figures={"int4": narrow},
    )
