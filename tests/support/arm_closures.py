"""An image with the aarch64 closures of the engines, a model of each with goldens, and the script that asks.

A machine reads it as a disk of its own: nothing is copied into it, and nothing is installed.
"""

import struct
import subprocess
from pathlib import Path

from support import golden_inference, tflitefile
from support.engine_contract import EXPECTED, GIVEN

from edgeform.build import closure
from edgeform.build.closure import ClosureRequest, copy_own, lock_of, make_tree
from edgeform_runtime.engines import probe
from edgeform_wire import golden

PROVIDERS = {
    "onnxruntime": "CPUExecutionProvider",
    "openvino": "CPU",
    "litert": "CPU",
    "tflite": "CPU",
}
"""The engines that run on a CPU, and what must compute."""
AT = "/mnt"
OTHER = (0.5, 3.0, -2.0, 8.0)
GLIBC, PYTHON = "2.36", "3.11"
"""Debian 12, as the machine has it."""


def model_folder(engine: str, folder: Path) -> None:
    """A model that gives x * (1, 2, 3, 4) + 0.5 exactly, and two goldens of it."""
    (folder / "golden").mkdir(parents=True)
    if engine in ("litert", "tflite"):
        (folder / "model.tflite").write_bytes(tflitefile.probe_model())
    else:
        (folder / "model.onnx").write_bytes(probe.ONNX_MODEL)
    right = tuple(x * n + 0.5 for n, x in enumerate(OTHER, start=1))
    cases = []
    for number, (given, answer) in enumerate(((GIVEN, EXPECTED), (OTHER, right))):
        for name, values in ((f"{number}.in.bin", given), (f"{number}.bin", answer)):
            (folder / "golden" / name).write_bytes(struct.pack("<4f", *values))
        answers = (golden.Tensor("y", "float32", (1, 4), f"golden/{number}.bin"),)
        cases.append(
            golden.Case(
                name=f"tensor-{number}",
                level="tensor",
                inputs=(golden.Tensor("x", "float32", (1, 4), f"golden/{number}.in.bin"),),
                frame=None,
                variant=answers,
                fp32=answers,
                label=None,
            )
        )
    found = golden.GoldenSet(
        precision="f32", engine=engine, engine_version="exact", cases=tuple(cases)
    )
    (folder / golden.INDEX_PATH).write_bytes(found.encoded())


def image(work: Path) -> Path:
    """The image, with each engine's closure as uv resolves it for that machine.

    Raises:
        BuildFailed, ClosureUnavailable: a closure cannot be built here.
    """
    tree = work / "tree"
    for engine in PROVIDERS:
        request = ClosureRequest(engine=engine, arch="aarch64", glibc=GLIBC, python=PYTHON)
        make_tree(request, lock_of(request), tree / engine)
        model_folder(engine, tree / "models" / engine)
    for package in (*closure.OWN_PACKAGES, "edgeform_device"):
        copy_own(package, tree / "own")
    script = Path(golden_inference.__file__)
    (tree / script.name).write_bytes(script.read_bytes())
    path = work / "closures.ext4"
    command = ("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", str(tree), str(path), "900M")
    subprocess.run(command, check=True, timeout=300)
    return path
