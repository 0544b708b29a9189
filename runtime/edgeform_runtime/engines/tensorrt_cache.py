"""Engines that this device built for itself: where they lie, what they were built from, how long it took.

The key is a digest over everything that a TensorRT engine depends on: the ONNX file, the precision,
TensorRT's version, the GPU and the release of the system. A change of any of them means another key, and a
new build.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Optional, Tuple

from edgeform_runtime.errors import EngineUnavailable

OS_RELEASE = "/etc/os-release"
JETSON_RELEASE = "/etc/nv_tegra_release"
PREFIX = "tensorrt-"


@dataclass(frozen=True)
class Origin:
    """What an engine is made from and for."""

    onnx: str
    precision: str
    tensorrt: str
    gpu: str
    system: str

    @property
    def key(self) -> str:
        told = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return PREFIX + hashlib.sha256(told.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Built:
    digest: str
    size_bytes: int
    onnx_bytes: int
    seconds: float


def system_release(os_release: str = OS_RELEASE, jetson: str = JETSON_RELEASE) -> str:
    """The system in one line: ID and version, and the L4T release on a Jetson."""
    found = {}
    lines = _lines(os_release)
    for line in lines:
        name, sign, value = line.partition("=")
        if sign:
            found[name] = value.strip().strip('"')
    l4t = _lines(jetson)[:1]
    parts = [
        found.get("ID", "unknown"),
        found.get("VERSION_ID", ""),
        *(line.strip() for line in l4t),
    ]
    return " ".join(part for part in parts if part)


def plan_path(cache_dir: str, key: str) -> str:
    return os.path.join(cache_dir, key + ".plan")


def lookup(cache_dir: str, key: str) -> Optional[Built]:
    """What is known about a finished engine; None when there is none."""
    try:
        with open(os.path.join(cache_dir, key + ".json"), encoding="utf-8") as stream:
            told = json.load(stream)
        return Built(
            digest=str(told["digest"]),
            size_bytes=int(told["size_bytes"]),
            onnx_bytes=int(told["onnx_bytes"]),
            seconds=float(told["seconds"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a record that was torn: the engine is built again


def content(cache_dir: str, key: str) -> bytes:
    """The engine's bytes, compared with their digest.

    Raises:
        EngineUnavailable: it was not built on this device, or is not what was built.
    """
    built = lookup(cache_dir, key)
    try:
        with open(plan_path(cache_dir, key), "rb") as stream:
            found = stream.read()
    except OSError:
        built = None
        found = b""
    if built is None:
        raise EngineUnavailable(
            f"the TensorRT engine {key} has not been built on this device; a transaction builds it"
            " in its step `derive`"
        )
    if digest_of(found) != built.digest:
        raise EngineUnavailable(f"the TensorRT engine {key} is not the one that was built here")
    return found


def keep(cache_dir: str, key: str, plan: bytes, *, onnx_bytes: int, seconds: float) -> Built:
    """Write an engine durably; the record comes last, so that half an engine is none."""
    os.makedirs(cache_dir, exist_ok=True)
    built = Built(digest_of(plan), len(plan), onnx_bytes, round(seconds, 1))
    told = json.dumps({"schema": "edgeform.derived/1", **asdict(built)}, sort_keys=True)
    _write(plan_path(cache_dir, key), plan)
    _write(os.path.join(cache_dir, key + ".json"), told.encode())
    return built


def estimate_s(cache_dir: str, onnx_bytes: int) -> Optional[float]:
    """How long a build will take, by the slowest per byte that this device has seen; None the first time."""
    rates = []
    try:
        names = os.listdir(cache_dir)
    except OSError:
        return None
    for name in names:
        if name.startswith(PREFIX) and name.endswith(".json"):
            built = lookup(cache_dir, name[: -len(".json")])
            if built is not None and built.onnx_bytes:
                rates.append(built.seconds / built.onnx_bytes)
    return round(max(rates) * onnx_bytes, 1) if rates else None


def digest_of(found: bytes) -> str:
    return "sha256:" + hashlib.sha256(found).hexdigest()


def _write(path: str, found: bytes) -> None:
    part = path + ".tmp"
    with open(part, "wb") as stream:
        stream.write(found)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lines(path: str) -> Tuple[str, ...]:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return tuple(stream)
    except OSError:
        return ()
