"""The runtime beside what else serves models: `python bench/inference.py` (`make bench-inference`).

One run, one machine, one ONNX Runtime, one model for all: a bare loop, edgeform, MLServer and KServe's Python
server. Contenders take turns, so that a machine that gets slower gets slower for all. Goals that are missed
are named as missed; nothing fails for being slow.
"""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import inference_parts as parts
import inference_report
from inference_parts import Client, clocked, times_of

from edgeform_wire.digest import of_file

ENVIRONMENTS = HERE.parent / ".venv-bench"
RESULTS = HERE / "results"
SHAPE = [1, 1024]
TURN = 20
COLD = """
import sys, time
began = time.perf_counter()
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
session.run(None, {"x": numpy.zeros([1, 3, 224, 224], numpy.float32)})
status = open("/proc/self/smaps_rollup").read()
print(sum(int(l.split()[1]) for l in status.splitlines() if l.startswith("Rss:")) * 1024)
"""


def say(text: str) -> None:
    print(f"{dt.datetime.now(dt.UTC).strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def serving(work: Path, rounds: int, requests: int) -> dict[str, Any]:
    """Latency of a 4 KB request and memory, side by side."""
    model = work / "small" / "model.onnx"
    parts.small_model(model)
    values = np.random.default_rng(4).normal(0, 1, SHAPE).astype(np.float32)
    binary = parts.binary_request(values.tobytes(), SHAPE)
    as_json = parts.json_request(values.ravel().tolist(), SHAPE)
    session = parts.bare_session(model)
    found: dict[str, Any] = {"input_bytes": values.nbytes, "contenders": {}}
    with ExitStack() as stack:
        port = parts.free_port()
        edgeform, _ = stack.enter_context(
            parts.daemon(
                model.parent,
                preprocess=[],
                capture={"kind": "http_push", "payload": "series"},
                postprocess={"kind": "threshold", "above": 0.5},
                serving={"address": "127.0.0.1", "port": port},
            )
        )
        ports = {"edgeform": (port, edgeform.process.pid)}
        for name, start in (("MLServer", _mlserver), ("KServe", _kserve)):
            try:
                ports[name] = start(work, model, stack)
            except (OSError, RuntimeError) as exc:
                found["contenders"][name] = {"error": str(exc)[:300]}
                say(f"{name}: {exc}")
        calls: dict[str, Callable[[], object]] = {
            "bare engine": lambda: session.run(None, {"x": values})
        }
        for name, (where, _) in ports.items():
            for form, (body, headers) in (("binary", binary), ("json", as_json)):
                client = Client(where, "/v2/models/bench/infer", body, headers)
                try:
                    client()
                except (RuntimeError, OSError) as exc:
                    found["contenders"][f"{name} {form}"] = {"error": str(exc)[:300]}
                    say(f"{name} {form}: {exc}")
                    continue
                calls[f"{name} {form}"] = client
        for name, seconds in _in_turns(calls, rounds, requests).items():
            found["contenders"][name] = asdict(times_of(seconds))
        for name, (_, pid) in ports.items():
            memory = parts.tree_memory(pid)
            for form in ("binary", "json"):
                found["contenders"][f"{name} {form}"]["memory"] = memory
    return found


def _in_turns(
    calls: dict[str, Callable[[], object]], rounds: int, requests: int
) -> dict[str, list[float]]:
    """Seconds of each call; a few of one, a few of the next, so that what else runs slows all alike."""
    for call in calls.values():
        clocked(call, 200)
    runs: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for n in range(rounds * requests // TURN):
        turn = n % len(order)
        for name in order[turn:] + order[:turn]:
            runs[name] += clocked(calls[name], TURN)
    return runs


def _mlserver(work: Path, model: Path, stack: ExitStack) -> tuple[int, int]:
    folder, port = work / "mlserver", parts.free_port()
    folder.mkdir()
    settings = {
        "http_port": port,
        "grpc_port": parts.free_port(),
        "metrics_port": parts.free_port(),
        "parallel_workers": 0,
        "debug": False,
        "host": "127.0.0.1",
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    implementation = {
        "name": "bench",
        "implementation": "onnx_mlserver.OnnxModel",
        "parameters": {"uri": str(model)},
    }
    (folder / "model-settings.json").write_text(json.dumps(implementation))
    python = ENVIRONMENTS / "mlserver" / "bin" / "python"
    environ = os.environ | {"PYTHONPATH": str(HERE / "peers")}
    started = stack.enter_context(
        parts.process(
            (str(python), str(python.with_name("mlserver")), "start", str(folder)),
            env=environ,
            stderr=subprocess.DEVNULL,
        )
    )
    return _ready("MLServer", started, port)


def _kserve(work: Path, model: Path, stack: ExitStack) -> tuple[int, int]:
    del work
    port = parts.free_port()
    python = ENVIRONMENTS / "kserve" / "bin" / "python"
    started = stack.enter_context(
        parts.process(
            (str(python), str(HERE / "peers" / "onnx_kserve.py"), str(model), str(port)),
            stderr=subprocess.DEVNULL,
        )
    )
    return _ready("KServe", started, port)


def _ready(name: str, started: subprocess.Popen[bytes], port: int) -> tuple[int, int]:
    import http.client  # noqa: PLC0415 - a word only this needs

    until = time.monotonic() + 120
    while time.monotonic() < until and started.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v2/models/bench/ready")
            if connection.getresponse().status == 200:
                return port, started.pid
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{name} did not become ready (exit {started.poll()})")


def throughput(work: Path, rounds: int, frames: int) -> dict[str, Any]:
    """Frames a second of the pipeline and of a loop that does the same to the same files."""
    model, folder = work / "picture" / "model.onnx", work / "frames"
    if not model.exists():
        parts.picture_model(model)
    parts.pictures(folder, frames)
    script = (str(sys.executable), str(HERE / "inference_loop.py"), str(model.parent), str(folder))
    found: dict[str, Any] = {"frames": frames, "pipeline_fps": [], "bare_fps": []}
    for _ in range(rounds):
        bare = subprocess.run(script, capture_output=True, text=True, check=True)
        found["bare_fps"].append(round(float(bare.stdout), 2))
        capture = {
            "kind": "image_directory",
            "path": str(folder),
            "pattern": "*.jpg",
            "interval_s": 0.0,
            "after": "keep",
        }
        with parts.daemon(model.parent, capture=capture) as (running, _):
            first = running.wait_for(lambda s: s["frames"]["inferred"] >= frames // 10)
            began, before = time.perf_counter(), first["frames"]["inferred"]
            last = running.wait_for(lambda s: s["frames"]["inferred"] >= frames, 300)
            spent = time.perf_counter() - began
        found["pipeline_fps"].append(round((last["frames"]["inferred"] - before) / spent, 2))
    ratios = [p / b for p, b in zip(found["pipeline_fps"], found["bare_fps"], strict=True)]
    found["ratio"] = round(sorted(ratios)[len(ratios) // 2], 4)
    return found


def cold_start(work: Path, rounds: int) -> dict[str, Any]:
    """From the start of the process to the first answer, and memory then."""
    model = work / "picture" / "model.onnx"
    if not model.exists():
        parts.picture_model(model)
    bare_s, own_s, bare_rss, own_rss = [], [], [], []
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run(
            (sys.executable, "-c", COLD, str(model)), capture_output=True, text=True, check=True
        )
        bare_s.append(time.perf_counter() - began)
        bare_rss.append(int(done.stdout))
        began = time.perf_counter()
        with parts.daemon(model.parent) as (running, _), running.control() as control:
            zeros = np.zeros([1, 3, 224, 224], np.float32)
            described = [{"name": "x", "dtype": "float32", "shape": [1, 3, 224, 224]}]
            control.ok("infer", zeros.tobytes(), slot="live", level="tensor", inputs=described)
            own_s.append(time.perf_counter() - began)
            own_rss.append(parts.tree_memory(running.process.pid)["rss_bytes"])
    return {
        "bare_s": round(sorted(bare_s)[len(bare_s) // 2], 3),
        "edgeform_s": round(sorted(own_s)[len(own_s) // 2], 3),
        "bare_rss_bytes": sorted(bare_rss)[len(bare_rss) // 2],
        "edgeform_rss_bytes": sorted(own_rss)[len(own_rss) // 2],
    }


def hot_swap(work: Path, swaps: int) -> dict[str, Any]:
    """Requests that failed while the model was swapped under load."""
    model = work / "small" / "model.onnx"
    port = parts.free_port()
    values = np.ones(SHAPE, np.float32)
    body, headers = parts.binary_request(values.tobytes(), SHAPE)
    counts = {"requests": 0, "failed": 0}
    ending, lock = threading.Event(), threading.Lock()

    def load() -> None:
        client = Client(port, "/v2/models/bench/infer", body, headers)
        while not ending.is_set():
            try:
                client()
                is_wrong = 0
            except (RuntimeError, OSError):
                is_wrong = 1
                client = Client(port, "/v2/models/bench/infer", body, headers)
            with lock:
                counts["requests"] += 1
                counts["failed"] += is_wrong

    with parts.daemon(
        model.parent,
        preprocess=[],
        capture={"kind": "http_push", "payload": "series"},
        postprocess={"kind": "threshold", "above": 0.5},
        serving={"address": "127.0.0.1", "port": port},
    ) as (running, _):
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        seconds = []
        with running.control() as control:
            for _ in range(swaps):
                time.sleep(0.2)
                control.ok("load", pipeline_file="gen/1/pipelines/gate.json")
                control.ok("warm", slot="candidate", runs=2)
                began = time.perf_counter()
                control.ok("swap")
                seconds.append(time.perf_counter() - began)
                control.ok("drain", timeout_s=10.0)
                control.ok("free", slot="previous")
        ending.set()
        for thread in threads:
            thread.join()
    return {"swaps": swaps, **counts, "swap_p50_ms": times_of(seconds).p50}


def preprocessing(runs: int) -> list[dict[str, Any]]:
    """Each algorithm on a frame of 640x480, or a second of sound."""
    from inference_steps import steps  # noqa: PLC0415 - needs numpy and the runtime's stages

    return [
        {"step": name, **asdict(times_of(clocked(run, runs)))}
        for name, run in steps()
        if run() is not None
    ]


def closures(work: Path, *, build: bool) -> list[dict[str, Any]]:
    """Bytes of each closure as it is installed: engine, numpy, stages, our own code."""
    if not build:
        return []
    from edgeform.build.closure import ClosureRequest, build_closure  # noqa: PLC0415 - heavy
    from edgeform.build.failure import BuildFailed, ClosureUnavailable  # noqa: PLC0415 - likewise

    found = []
    for engine in ("onnxruntime", "openvino", "litert", "tflite"):
        for arch in ("x86_64", "aarch64"):
            wanted = ClosureRequest(engine=engine, arch=arch, glibc="2.36", python="3.11")
            try:
                made = build_closure(wanted, _Sizes(), work, lambda _: None)
            except (ClosureUnavailable, BuildFailed) as exc:
                found.append({"engine": engine, "arch": arch, "why": exc.detail[:200]})
                continue
            size = sum(file.size_bytes for file in made.files)
            found.append({"engine": engine, "arch": arch, "size_bytes": size})
            say(f"closure {engine} {arch}: {size / 1e6:.0f} MB")
    return found


class _Sizes:
    """A store that keeps nothing: only the manifest is wanted."""

    def put(self, path: Path, /) -> str:
        return of_file(str(path))


def machine() -> dict[str, Any]:
    cpu = next(
        (
            x.split(":", 1)[1].strip()
            for x in Path("/proc/cpuinfo").read_text().splitlines()
            if x.startswith("model name")
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": platform.platform(),
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
        "numpy": version("numpy"),
        "peers": {name: _version(name) for name in ("mlserver", "kserve")},
        "load_before": os.getloadavg()[0],
    }


def _version(peer: str) -> str:
    lock = (HERE / "peers" / f"{peer}.txt").read_text()
    return next(x.split()[0] for x in lock.splitlines() if x.startswith(f"{peer}=="))


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--requests", type=int, default=400)
    arguments.add_argument("--frames", type=int, default=1500)
    arguments.add_argument("--no-closures", action="store_true")
    arguments.add_argument("--out", type=Path, default=RESULTS / "inference.json")
    given = arguments.parse_args()
    found: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine(),
    }
    found["command"] = " ".join(("python", "bench/inference.py", *sys.argv[1:]))
    with tempfile.TemporaryDirectory(prefix="efb-") as folder:
        work = Path(folder)
        for name, measure in (
            ("serving", lambda: serving(work, given.rounds, given.requests)),
            ("throughput", lambda: throughput(work, given.rounds, given.frames)),
            ("cold_start", lambda: cold_start(work, given.rounds)),
            ("hot_swap", lambda: hot_swap(work, 10)),
            ("preprocessing", lambda: preprocessing(30)),
            ("closures", lambda: closures(work, build=not given.no_closures)),
        ):
            say(name)
            found[name] = measure()
    found["machine"]["load_after"] = os.getloadavg()[0]
    found["goals"] = inference_report.goals(found)
    given.out.write_text(json.dumps(found, indent=2) + "\n")
    given.out.with_suffix(".md").write_text(inference_report.markdown(found))
    print(inference_report.markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
