"""What of an installed environment a device needs: everything else is removed, by named rules.

Sizes for x86_64, Python 3.11 (2026-11): libonnxruntime.so, which only C programs link, 35 MB; tools, tests
and headers, 14 MB; picture formats that no stage decodes, with their libraries, 10 MB.
"""

import shutil
from pathlib import Path

from edgeform.build.elf import needed

DIRECTORIES = ("tests", "test", "include", "__pycache__", "bin", "share")
ENDINGS = (".pyi", ".pxd", ".pyx", ".h", ".hpp", ".a", ".c", ".cpp", ".md", ".lock")
NAMES = (".lock", "py.typed", "conftest.py")
KEPT_METADATA = ("METADATA", "WHEEL", "licenses")
"""Of a dist-info: what the package is, and under which licence; RECORD is wrong after stripping."""
PARTS = (
    "onnxruntime/capi/libonnxruntime.so.*",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "openvino/cmake",
    "openvino/frontend/jax",
    "openvino/frontend/paddle",
    "openvino/frontend/pytorch",
    "openvino/frontend/tensorflow",
    "openvino/libs/cache.json",
    "openvino/libs/libopenvino_c.so*",
    "openvino/libs/libopenvino_gguf_frontend.so*",
    "openvino/libs/libopenvino_jax_frontend.so*",
    "openvino/libs/libopenvino_paddle_frontend.so*",
    "openvino/libs/libopenvino_pytorch_frontend.so*",
    "openvino/libs/libopenvino_tensorflow*_frontend.so*",
    "openvino/tools",
    "openvino/torch",
    "ai_edge_litert/_pywrap_litert_co*",
    "ai_edge_litert/_pywrap_litert_environment*",
    "ai_edge_litert/_pywrap_litert_tensor_buffer*",
    "ai_edge_litert/_pywrap_modify*",
    "ai_edge_litert/_pywrap_tf*calibration*",
    "ai_edge_litert/_pywrap_tensorflow_lite_calibration*",
    "ai_edge_litert/aot",
    "ai_edge_litert/format_converter*",
    "ai_edge_litert/libLiteRtWebGpu*",
    "ai_edge_litert/pywrap_genai_ops*",
    "ai_edge_litert/tools",
    "ai_edge_litert/vendors",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/typing",
    "PIL/_avif.*",
    "PIL/_imagingcms.*",
    "PIL/_imagingft.*",
    "PIL/_imagingtk.*",
)


def strip(root: Path) -> None:
    """Remove from an installed environment what inference does not need."""
    for pattern in PARTS:
        for path in root.glob(pattern):
            _remove(path)
    if list(root.glob("numpy/_core/_multiarray_umath.*.so")):
        # numpy 2: `core` holds only old names. In numpy 1 it is the library, and `_core` holds new names.
        _remove(root / "numpy" / "core")
    for path in [p for p in root.rglob("*") if p.is_dir() and p.name in DIRECTORIES]:
        if path.exists():
            _remove(path)
    for path in [p for p in root.rglob("*") if p.is_file()]:
        if path.suffix in ENDINGS or path.name in NAMES:
            path.unlink()
    for info in root.glob("*.dist-info"):
        for path in [p for p in info.iterdir() if p.name not in KEPT_METADATA]:
            _remove(path)
    _drop_orphans(root)
    _drop_empty(root)


def _drop_orphans(root: Path) -> None:
    """Remove bundled libraries (`<package>.libs`) that no remaining file asks for."""
    while True:
        wanted = {
            name for path in root.rglob("*") if path.is_file() for name in _needed_names(path)
        }
        orphans = [p for p in root.glob("*.libs/*") if p.name not in wanted]
        if not orphans:
            return
        for path in orphans:
            path.unlink()


def _needed_names(path: Path) -> tuple[str, ...]:
    return needed(path) if ".so" in path.name else ()


def _drop_empty(root: Path) -> None:
    for path in sorted(root.rglob("*"), key=lambda p: -len(p.parts)):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
