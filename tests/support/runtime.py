"""A prefix with a pipeline, and the real daemon running in it, for tests of the runtime."""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeform_wire import frames, golden
from edgeform_wire.pipeline import PipelineFile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "site" / "lab" / "model" / "digits" / "1.0.0"
SCENES = REPOSITORY / "site" / "lab" / "scenes"
PREPROCESS = json.loads((REPOSITORY / "site/lab/model/preprocess.json").read_text())
DIGEST = "sha256:" + "ab" * 32
START_S = 60.0


def some_stages(**changes: Any) -> dict[str, Any]:
    """The stages of the lab's pipeline; frames are pushed unless `capture` says otherwise."""
    stages: dict[str, Any] = {
        "capture": {"kind": "http_push"},
        "preprocess": PREPROCESS,
        "infer": {"model": "digits", "timeout_s": 5.0, "queue": 2, "when_full": "wait"},
        "postprocess": {"kind": "classify", "top_k": 3, "labels": "labels.txt"},
        "action": [{"kind": "store", "directory": "results"}],
        "report": [],
    }
    return stages | changes


def a_pipeline_file(**changes: Any) -> PipelineFile:
    fields: dict[str, Any] = {
        "name": "gate",
        "site": "lab",
        "device": "cam-01",
        "generation": 1,
        "generation_digest": DIGEST,
        "model_ref": "digits@1.0.0/f32",
        "runtime_tree": "trees/runtime",
        "model_tree": "trees/model",
        "engine": "onnxruntime",
        "stages": some_stages(),
        "secrets": (),
    }
    return PipelineFile(**(fields | changes))


@dataclass
class Prefix:
    """A prefix as the device tool would leave it, as far as the runtime looks."""

    path: pathlib.Path

    def put_model(self, tree: str = "trees/model", source: pathlib.Path = MODEL) -> None:
        shutil.copytree(source, self.path / tree, dirs_exist_ok=True)

    def put_pipeline(self, file: PipelineFile) -> str:
        """The path of the written file, relative to the prefix."""
        relative = f"gen/{file.generation}/pipelines/{file.name}.json"
        target = self.path / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.encoded())
        return relative


@dataclass
class Control:
    """A client of the control socket, written against the interface and not against the server."""

    path: str
    _sock: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(30.0)
        self._sock.connect(self.path)
        self._stream = self._sock.makefile("rwb")

    def close(self) -> None:
        self._stream.close()
        self._sock.close()

    def raw(self, header: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        frames.write(self._stream, header, [body], len(body))
        answer = frames.read(self._stream, 2**30)
        assert answer is not None, "the daemon closed the connection"
        return answer

    def ask(self, op: str, body: bytes = b"", **fields: Any) -> tuple[dict[str, Any], bytes]:
        return self.raw({"op": op, **fields}, body)

    def ok(self, op: str, body: bytes = b"", **fields: Any) -> dict[str, Any]:
        answer, _ = self.ask(op, body, **fields)
        assert answer["ok"], answer
        return answer


@dataclass
class RunningDaemon:
    """The process and what it wrote."""

    process: subprocess.Popen[str]
    socket_path: str
    log_path: pathlib.Path
    report_path: pathlib.Path

    @contextlib.contextmanager
    def control(self) -> Iterator[Control]:
        client = Control(self.socket_path)
        try:
            yield client
        finally:
            client.close()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.report_path.read_text().splitlines()]

    def http(self) -> "UnixHttp":
        return UnixHttp(self.socket_path.removesuffix(".sock") + ".http.sock")

    def state(self) -> dict[str, Any]:
        with self.control() as control:
            return control.ok("state")

    def wait_for(self, claim: Any, timeout_s: float = 30.0) -> dict[str, Any]:
        """The first state for which the claim holds."""
        deadline = time.monotonic() + timeout_s
        while True:
            state = self.state()
            if claim(state):
                return state
            assert time.monotonic() < deadline, f"not in {timeout_s} s: {state}"
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


class UnixHttp(http.client.HTTPConnection):
    """`http.client` over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def get(self, path: str) -> tuple[int, bytes]:
        self.request("GET", path)
        response = self.getresponse()
        return response.status, response.read()

    def post(
        self, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        self.request("POST", path, body, headers or {})
        response = self.getresponse()
        return response.status, dict(response.getheaders()), response.read()


@contextlib.contextmanager
def running(
    prefix: Prefix,
    pipeline: str,
    *,
    name: str = "gate",
    is_shadow: bool = False,
    environ: dict[str, str] | None = None,
    python: Sequence[str] = (sys.executable, "-s"),
    wait: bool = True,
    extra: Sequence[str] = (),
) -> Iterator[RunningDaemon]:
    """The daemon as a process of its own; waits until it says `ready` unless told not to."""
    run = prefix.path / "run"
    run.mkdir(exist_ok=True)
    path = str(run / f"{name}.sock")
    command = [*python, "-m", "edgeform_runtime", "--prefix", str(prefix.path)]
    command += ["--pipeline", pipeline, "--socket", path]
    command += ["--shadow"] if is_shadow else []
    command += extra
    log_path, report_path = run / f"{name}.log", run / f"{name}.out"
    with log_path.open("w") as log, report_path.open("w") as out:
        process = subprocess.Popen(
            command, stderr=log, stdout=out, text=True, env=(dict(os.environ) | (environ or {}))
        )
    daemon = RunningDaemon(process, path, log_path, report_path)
    try:
        if wait:
            wait_ready(daemon)
        yield daemon
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_ready(daemon: RunningDaemon) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert daemon.process.poll() is None, daemon.log_path.read_text()
        with contextlib.suppress(OSError):
            state = daemon.state()
            assert state["phase"] != "failed", state
            if state["phase"] == "ready":
                return
        time.sleep(0.01)
    raise AssertionError(f"not ready in {START_S} s: {daemon.log_path.read_text()}")


def goldens(model: pathlib.Path = MODEL) -> golden.GoldenSet:
    return golden.decode((model / golden.INDEX_PATH).read_bytes())
