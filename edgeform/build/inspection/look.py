"""One file or folder of a model: what it is, by its content and not by its name.

Nothing is executed, unpacked or followed. A file that lies about itself is an answer, never an exception.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgeform.build.failure import ModelUnusable
from edgeform.build.formats import described
from edgeform.build.inspection.code import runs_code
from edgeform.build.inspection.found import Hazard, Inspected, damaged
from edgeform.build.inspection.weights import (
    GGUF_MAGIC,
    gguf,
    looks_like_safetensors,
    safetensors,
)
from edgeform_runtime import hef, onnxfile, tflitefile
from edgeform_runtime.errors import ModelRefused

HEAD_BYTES = 4096
LARGEST_READ_BYTES = 2 * 2**30
LFS_POINTER = b"version https://git-lfs"
EXTERNAL_KEYS = ("location", "offset", "length", "checksum")
CUSTOM_WHY = "only foreign code can compute it; edgeform's engines refuse the file"


def inspected(path: Path) -> Inspected:
    """What a file is.

    Raises:
        ModelUnusable: there is no such file, or it cannot be read.
    """
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no plain file"
            why = "links and devices are never followed"
            return Inspected(format="none", hazards=(Hazard(what=what, why=why),))
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return _inspected(path, stream, size)
    except OSError as exc:
        raise ModelUnusable(f"It cannot be read: {exc.strerror}.", address=str(path)) from exc


def everything_in(folder: Path) -> Iterator[tuple[str, Inspected]]:
    """(path below the folder, what it is) for all that is not a folder, in order."""
    for directory, folders, names in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if Path(directory, name).is_symlink()]
        for name in sorted((*names, *linked)):
            path = Path(directory, name)
            yield path.relative_to(folder).as_posix(), inspected(path)


def _inspected(path: Path, stream: BinaryIO, size: int) -> Inspected:
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if not head:
        return Inspected(format="empty")
    if head.startswith(LFS_POINTER):
        why = "the bytes are elsewhere; fetch them with `git lfs pull`"
        return Inspected(format="git-lfs", hazards=(Hazard(what="a git-lfs pointer", why=why),))
    if head.startswith(GGUF_MAGIC):
        return gguf(stream, size)
    if head[4:8] == tflitefile.IDENTIFIER:
        return _tflite(stream, path.name)
    if head[:4] == hef.MAGIC.to_bytes(4, "big"):
        return _hef(stream, path.name)
    if head.lstrip().startswith((b"<?xml", b"<net", b"<!DOCTYPE")):
        return _ir(path, head)
    if looks_like_safetensors(head, size):
        return safetensors(stream, size)
    code = runs_code(head, stream)
    if code is not None:
        return code
    return _onnx(path) if path.suffix == ".onnx" or _may_be_onnx(head) else _other(path, head)


def _may_be_onnx(head: bytes) -> bool:
    """ir_version first, as every exporter writes it: field 1, a small number."""
    return head[:1] == b"\x08" and len(head) > 2 and 0 < head[1] < 32


def _onnx(path: Path) -> Inspected:
    try:
        found = onnxfile.read(str(path))
    except ModelRefused as exc:
        return damaged("onnx", exc.summary)
    hazards = []
    foreign = sorted(domain for domain in found.opsets if domain not in onnxfile.KNOWN_DOMAINS)
    hazards += [
        Hazard(what=f"operators of the domain {domain!r:.80}", why=CUSTOM_WHY) for domain in foreign
    ]
    hazards += _outside(path, found)
    opsets = [f"{domain or 'ai.onnx'} {number}" for domain, number in sorted(found.opsets.items())]
    return Inspected(
        format="onnx",
        precision=found.precision,
        opset=", ".join(opsets),
        inputs=tuple(found.inputs),
        outputs=tuple(found.outputs),
        parameters=found.parameters,
        external=tuple(sorted(found.external)),
        notes=(("ir_version", str(found.ir_version)), ("operators", str(len(found.operators)))),
        hazards=tuple(hazards),
    )


def _outside(path: Path, found: onnxfile.OnnxFile) -> Iterator[Hazard]:
    why = "weights must be plain files below the model's own folder, reached without links"
    for key in sorted(found.external_keys - set(EXTERNAL_KEYS)):
        yield Hazard(what=f"the key {key!r:.60} in external data", why="no writer of ONNX sets it")
    for location in sorted(found.external):
        at = path.parent
        parts = location.split("/")
        if not location or "\\" in location or {"", ".", ".."} & set(parts):
            yield Hazard(what=f"weights at {location!r:.80}", why=why)
            continue
        for part in parts:
            at = at / part
            if at.is_symlink():
                break
        if at.is_symlink() or not at.is_file():
            what = "a link" if at.is_symlink() else "missing"
            yield Hazard(what=f"weights at {location!r:.80}: {what}", why=why)
        elif found.external_ends[location] > at.stat().st_size:
            yield Hazard(
                what=f"weights at {location!r:.80} end behind the file",
                why=f"byte {found.external_ends[location]} of {at.stat().st_size}",
            )


def _tflite(stream: BinaryIO, name: str) -> Inspected:
    try:
        found = tflitefile.read(stream.read(LARGEST_READ_BYTES), name)
    except ModelRefused as exc:
        return damaged("tflite", exc.summary)
    return Inspected(
        format="tflite",
        precision=found.precision,
        inputs=found.inputs,
        outputs=found.outputs,
        hazards=tuple(
            Hazard(what=f"the custom operator {name!r:.80}", why=CUSTOM_WHY, is_refused=False)
            for name in found.custom
        ),
    )


def _hef(stream: BinaryIO, name: str) -> Inspected:
    try:
        found = hef.read(stream.read(LARGEST_READ_BYTES), name)
    except ModelRefused as exc:
        return damaged("hef", exc.summary)
    notes = (("architecture", found.architecture), ("format", str(found.version)))
    return Inspected(format="hef", precision="int8", notes=notes)


def _ir(path: Path, head: bytes) -> Inspected:
    if path.suffix != ".xml" or b"<net" not in head:
        if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
            return damaged("xml", "it declares entities, which no model does")
        return Inspected(format="xml")
    try:
        found = described("openvino", path)
    except (ModelUnusable, ValueError) as exc:
        return damaged("openvino-ir", str(exc))
    weights = path.with_suffix(".bin")
    return Inspected(
        format="openvino-ir",
        precision=found.precision,
        inputs=found.inputs,
        outputs=found.outputs,
        external=(weights.name,),
        notes=(("weights", f"{weights.stat().st_size} bytes"),),
    )


def _other(path: Path, head: bytes) -> Inspected:
    if path.suffix in (".tflite", ".hef", ".gguf", ".safetensors"):
        return damaged(path.suffix[1:], "its content is not what its name says")
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        if exc.end < len(head) - 4:
            return Inspected(format="data")
    return Inspected(format="text")
