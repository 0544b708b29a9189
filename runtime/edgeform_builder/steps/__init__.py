"""The steps, one module each; a module is imported only in the closure that has what it needs.

`MODULES` names the module of each kind of `edgeform.domain.recipes.KINDS`, and those that only the builder
itself asks for.
"""

from typing import Dict

MODULES: Dict[str, str] = {
    "prepare": "prepare",
    "invent": "invent",
    "evaluate": "evaluate",
    "record": "record",
    "clean": "onnx_clean",
    "fp16": "onnx_fp16",
    "int8": "onnx_int8",
    "int8_dynamic": "onnx_dynamic",
    "int4": "onnx_int4",
    "trt_int8": "onnx_trt",
    "ir_fp16": "openvino_fp16",
    "nncf_int8": "nncf_int8",
    "nncf_int4": "nncf_int4",
    "litert_fp16": "litert_fp16",
    "litert_int8_dynamic": "litert_dynamic",
    "litert_int8": "litert_int8",
}
