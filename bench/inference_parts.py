"""Models, daemons and clocks that the inference bench measures with."""

import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.runtime import Prefix, RunningDaemon, a_pipeline_file, running

LENGTH = re.compile(rb"\ncontent-length: *(\d+)", re.IGNORECASE)
LABELS = [f"class-{n}" for n in range(10)]


def small_model(path: Path, width: int = 1024) -> None:
    """A 4 KB input (1, 1024) float32 through two small layers: what a server costs, not what a model does."""
    chance = np.random.default_rng(1)
    weights = {
        "w1": chance.normal(0, 0.05, (width, 64)).astype(np.float32),
        "w2": chance.normal(0, 0.2, (64, 10)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["y"]),
    ]
    _save(path, nodes, weights, [1, width])


def picture_model(path: Path) -> None:
    """A small convolutional classifier of 3x224x224 pictures: some milliseconds on one core."""
    chance = np.random.default_rng(2)
    nodes, weights, before, channels = [], {}, "x", 3
    for n, wide in enumerate((16, 32, 64, 96)):
        name = f"c{n}"
        weights[name] = chance.normal(0, 0.1, (wide, channels, 3, 3)).astype(np.float32)
        nodes.append(
            helper.make_node("Conv", [before, name], [f"a{n}"], strides=[2, 2], pads=[1, 1, 1, 1])
        )
        nodes.append(helper.make_node("Relu", [f"a{n}"], [f"r{n}"]))
        before, channels = f"r{n}", wide
    weights["w"] = chance.normal(0, 0.1, (channels, 10)).astype(np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", [before], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    _save(path, nodes, weights, [1, 3, 224, 224])


def _save(path: Path, nodes: list[Any], weights: dict[str, Any], shape: list[int]) -> None:
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    (path.parent / "labels.txt").write_text("\n".join(LABELS) + "\n")


def pictures(folder: Path, count: int) -> None:
    """Different JPEG pictures of 640x480, and so many links to them."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(3)
    kept = []
    for n in range(8):
        rough = chance.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        image = Image.fromarray(rough).resize((640, 480), Image.Resampling.BICUBIC)
        path = folder / f"base-{n}.jpg"
        image.save(path, quality=90)
        kept.append(path)
    for n in range(count):
        os.link(kept[n % 8], folder / f"frame-{n:06d}.jpg")
    for path in kept:
        path.unlink()


PICTURE_STEPS = [
    {"kind": "resize", "width": 224, "height": 224, "filter": "bilinear-aa", "mode": "stretch"},
    {"kind": "normalise", "scale": 1 / 255, "mean": [0.5], "std": [0.25]},
    {"kind": "layout", "order": "nchw"},
]


def stages(**changes: Any) -> dict[str, Any]:
    return {
        "capture": {"kind": "http_push"},
        "preprocess": PICTURE_STEPS,
        "infer": {"model": "bench", "timeout_s": 5.0, "queue": 2, "when_full": "wait"},
        "postprocess": {"kind": "classify", "top_k": 3, "labels": "labels.txt"},
        "action": [],
        "report": [],
    } | changes


@contextlib.contextmanager
def daemon(model: Path, **changes: Any) -> Iterator[tuple[RunningDaemon, Prefix]]:
    """The real daemon on a model folder."""
    folder = Path(tempfile.mkdtemp(prefix="efb-"))
    try:
        prefix = Prefix(folder)
        prefix.put_model(source=model)
        file = a_pipeline_file(model_ref="bench@1.0.0/f32", stages=stages(**changes))
        with running(prefix, prefix.put_pipeline(file)) as found:
            yield found, prefix
    finally:
        shutil.rmtree(folder)


def bare_session(path: Path) -> Any:
    """ONNX Runtime as the runtime opens it: one thread, no spinning."""
    import onnxruntime as ort  # noqa: PLC0415 - the bench's parent process may do without

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds; p10 is about what it takes when nobody else wants the core."""

    p10: float
    p50: float
    p95: float
    runs: int


def times_of(seconds: Sequence[float]) -> Times:
    ordered = sorted(seconds)
    return Times(
        round(ordered[len(ordered) // 10] * 1000, 4),
        round(statistics.median(ordered) * 1000, 4),
        round(ordered[int(0.95 * (len(ordered) - 1))] * 1000, 4),
        len(ordered),
    )


def clocked(run: Callable[[], object], count: int) -> list[float]:
    found = []
    for _ in range(count):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return found


class Client:
    """The leanest keep-alive HTTP client, so that the servers are measured and not `http.client` (0.2 ms)."""

    def __init__(self, port: int, path: str, body: bytes, headers: dict[str, str]) -> None:
        lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
        self._port = port
        self._sock: socket.socket | None = None

    def __call__(self) -> bytes:
        try:
            return self._asked()
        except ConnectionError:
            # A server may close what was idle for some seconds; on a loaded machine that happens.
            self._sock = None
            return self._asked()

    def _asked(self) -> bytes:
        if self._sock is None:
            self._sock = socket.create_connection(("127.0.0.1", self._port), 30)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.sendall(self._request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._received()
        head, _, body = answer.partition(b"\r\n\r\n")
        found = LENGTH.search(head)
        length = int(found[1]) if found else 0
        while len(body) < length:
            body += self._received()
        if b" 200 " not in head[:16]:
            raise RuntimeError(f"{head[9:12].decode()}: {body[:300]!r}")
        return body

    def _received(self) -> bytes:
        if self._sock is None or not (part := self._sock.recv(65536)):
            raise ConnectionResetError("the server closed the connection")
        return part


def binary_request(tensor: bytes, shape: list[int]) -> tuple[bytes, dict[str, str]]:
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": shape,
                    "parameters": {"binary_data_size": len(tensor)},
                }
            ],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }
    return head + tensor, headers


def json_request(values: list[float], shape: list[int]) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "x", "datatype": "FP32", "shape": shape, "data": values}
    return json.dumps({"inputs": [tensor]}).encode(), {"Content-Type": "application/json"}


def tree_memory(pid: int) -> dict[str, int]:
    """RSS and PSS in bytes of a process and all its children."""
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
    found = {"rss_bytes": 0, "pss_bytes": 0}
    for one in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                for name in ("Rss", "Pss"):
                    if line.startswith(f"{name}:"):
                        found[f"{name.lower()}_bytes"] += int(line.split()[1]) * 1024
    return found


@contextlib.contextmanager
def process(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    found = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    try:
        yield found
    finally:
        found.terminate()
        try:
            found.wait(20)
        except subprocess.TimeoutExpired:
            found.kill()
            found.wait()
