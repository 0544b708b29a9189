"""The routes of a pipeline's HTTP server: Open Inference Protocol v2, metrics, health, pushed frames."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Awaitable, Callable, Dict, Mapping, Tuple

from edgeform_runtime import VERSION, metrics, oip
from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import InferenceFailed, RequestError
from edgeform_runtime.httpd import Request, Response, problem
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.model import LoadedModel
from edgeform_runtime.operations import Status
from edgeform_runtime.pipeline.capture import HttpPush
from edgeform_runtime.slots import LIVE, Slots
from edgeform_runtime.statistics import Statistics
from edgeform_runtime.workers import Workers

MAX_INFER_BYTES = 64 * 1024 * 1024
MAX_WAITING = 16
INLINE_S = 0.003
"""A model that answers this quickly does so in the event loop: two changes of thread cost more than it
holds up (0.1 to 0.2 ms on 2 cores of an AMD EPYC, 2026-11)."""
PLATFORMS = {
    "onnxruntime": "onnx_onnxv1",
    "openvino": "openvino_ir",
    "litert": "litert_tflite",
    "tflite": "tensorflow_tflite",
    "tensorrt": "tensorrt_plan",
    "hailort": "hailort_hef",
    "neuron": "pytorch_torchscript",
}
"""`<project>_<format>`, those of the specification where it has one."""
PUSH_WAIT_S = 2.0
PUSH_WAITING = 4


class Routes:
    """Answers requests; inference runs on threads so that health and metrics stay quick."""

    def __init__(self, *, slots: Slots, status: Status, metrics: Metrics, workers: Workers) -> None:
        self._slots, self._status, self._metrics = slots, status, metrics
        self._workers = workers
        self._inferring = ThreadPoolExecutor(2, "http-infer")
        self._pushing = ThreadPoolExecutor(PUSH_WAITING, "http-push")
        self._statistics = Statistics()
        self._get: Dict[Tuple[str, ...], Callable[[], Response]] = {
            ("healthz",): self._healthz,
            ("metrics",): self._metrics_text,
            ("v2",): _server_metadata,
            ("v2", "health", "live"): lambda: _json(200, {"live": True}),
            ("v2", "health", "ready"): self._ready,
            ("v2", "models", "stats"): self._every_stat,
        }
        self._waiting = 0

    def close(self) -> None:
        self._inferring.shutdown(wait=False)
        self._pushing.shutdown(wait=False)

    def max_body(self, request: Request) -> int:
        push = self._workers.capture_stage
        if request.path == "/v1/frames":
            return push.max_bytes if isinstance(push, HttpPush) else 0
        return MAX_INFER_BYTES if request.path.startswith("/v2/models/") else 0

    async def handle(self, request: Request) -> Response:
        route, response = await self._answer(request)
        self._metrics.http.add(route=route, status=str(response.status))
        return response

    async def _answer(self, request: Request) -> Tuple[str, Response]:
        parts = tuple(part for part in request.path.split("/") if part)
        if parts in self._get:
            route = "/" + "/".join(parts)
            if request.method != "GET":
                return route, _not_allowed("GET")
            return route, self._get[parts]()
        if parts == ("v1", "frames"):
            return "/v1/frames", await self._guarded(self._push(request))
        if parts[:2] == ("v2", "models"):
            return "/v2/models", await self._guarded(self._model(request, parts[2:]))
        return "other", problem(404, f"nothing is served at {request.path:.200}")

    async def _guarded(self, answer: Awaitable[Response]) -> Response:
        try:
            return await answer
        except RequestError as exc:
            return problem(exc.status, exc.summary)
        except InferenceFailed as exc:
            return problem(422, exc.summary)

    def _healthz(self) -> Response:
        is_ready = self._status.phase == "ready"
        document = {
            "phase": self._status.phase,
            "frames": dict(self._metrics.frames()),
            "last_error": self._status.last_error,
        }
        return _json(200 if is_ready else 503, document)

    def _ready(self) -> Response:
        # The specification's text has `live` here, its clients read `ready` or the status.
        is_ready = self._status.phase == "ready"
        return _json(200 if is_ready else 503, {"live": True, "ready": is_ready})

    def _model_ready(self, name: str) -> Response:
        is_ready = self._status.phase == "ready"
        return _json(200 if is_ready else 503, {"name": name, "ready": is_ready})

    def _every_stat(self) -> Response:
        with self._slots.using(LIVE) as model:
            found = _name_and_version(model)
        return _json(200, {"model_stats": [self._statistics.to_json(found[0], found)]})

    def _metrics_text(self) -> Response:
        return Response(200, self._metrics.render(), metrics.CONTENT_TYPE)

    async def _push(self, request: Request) -> Response:
        if not isinstance(self._workers.capture_stage, HttpPush):
            raise RequestError("this pipeline does not capture over HTTP", 404)
        if request.method != "POST":
            return _not_allowed("POST")
        if not request.body:
            raise RequestError("a frame is the request's body, and it is empty")
        if self._status.phase != "ready":
            raise RequestError(f"the pipeline is {self._status.phase}", 503)
        name = request.headers.get("x-frame-name", "pushed")[:128]
        if self._workers.waits_when_full:
            loop = asyncio.get_running_loop()
            sequence = await loop.run_in_executor(
                self._pushing, self._workers.push, name, request.body, PUSH_WAIT_S
            )
        else:
            sequence = self._workers.push(name, request.body, 0.0)
        if sequence is None:
            return Response(503, b'{"error": "the queue is full"}', headers=(("Retry-After", "1"),))
        return _json(202, {"sequence": sequence})

    async def _model(self, request: Request, rest: Tuple[str, ...]) -> Response:
        with self._slots.using(LIVE) as model:
            name, version = _name_and_version(model)
            if not rest or rest[0] not in (name, model.file.name):
                raise RequestError(f"no model {rest[0] if rest else ''!r:.80}; {name} is here", 404)
            tail = rest[1:]
            if tail[:1] == ("versions",):
                if tail[1:2] != (version,):
                    raise RequestError(f"model {name} has version {version} here", 404)
                tail = tail[2:]
            if tail == ("infer",):
                if request.method != "POST":
                    return _not_allowed("POST")
                return await self._infer(request, model, rest[0], version)
            if request.method != "GET":
                return _not_allowed("GET")
            if not tail:
                return _json(200, _model_metadata(model, rest[0], version))
            if tail == ("ready",):
                return self._model_ready(rest[0])
            if tail == ("stats",):
                stat = self._statistics.to_json(rest[0], (name, version))
                return _json(200, {"model_stats": [stat]})
        raise RequestError(f"nothing is served at {request.path:.200}", 404)

    async def _infer(
        self, request: Request, model: LoadedModel, name: str, version: str
    ) -> Response:
        if self._waiting >= MAX_WAITING:
            self._metrics.requests.add(variant=model.variant, source="http", outcome="rejected")
            raise RequestError(f"{MAX_WAITING} requests are waiting; try again later", 503)
        if self._workers.governor.is_paused:
            self._metrics.requests.add(variant=model.variant, source="http", outcome="rejected")
            raise RequestError("paused, because the device is too hot; try again later", 503)
        if model.typical_s < INLINE_S and not self._waiting:
            return self._infer_now(request, model, name, version)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            arrived = time.perf_counter_ns()
            return await loop.run_in_executor(
                self._inferring, self._infer_now, request, model, name, version, arrived
            )
        finally:
            self._waiting -= 1

    def _infer_now(
        self, request: Request, model: LoadedModel, name: str, version: str, arrived: int = 0
    ) -> Response:
        clock = time.perf_counter_ns
        began = clock()
        outcome = "failed"
        try:
            parsed = oip.parse(request.body, request.headers.get(oip.HEADER_LENGTH))
            ready = clock()
            answer = model.infer(parsed.feeds)
            inferred = clock()
            self._metrics.stages.observe(answer.wall_s, stage="infer")
            body, header_length = oip.render(parsed, name, version, answer.outputs)
            outcome = "ok"
            spent = (
                began - (arrived or began),
                ready - began,
                inferred - ready,
                clock() - inferred,
            )
            which = _name_and_version(model)
            self._statistics.succeeded(which, _batch_of(parsed.feeds), spent)
        finally:
            self._metrics.requests.add(variant=model.variant, source="http", outcome=outcome)
            if outcome != "ok":
                self._statistics.failed(_name_and_version(model), clock() - began)
        if header_length is None:
            return Response(200, body)
        headers = (("Inference-Header-Content-Length", str(header_length)),)
        return Response(200, body, "application/octet-stream", headers)


def _batch_of(feeds: Mapping[str, Array]) -> int:
    """How many inferences one request holds: the first extent of its first input."""
    shape = next(iter(feeds.values())).shape
    return max(1, int(shape[0])) if len(shape) > 1 else 1


def _name_and_version(model: LoadedModel) -> Tuple[str, str]:
    """`digits` and `1.0.0` of `digits@1.0.0/fp32`."""
    name, _, version = model.file.model_ref.partition("@")
    return name, version.partition("/")[0] or "1"


def _server_metadata() -> Response:
    document = {
        "name": "edgeform",
        "version": VERSION,
        "extensions": ["binary_tensor_data", "statistics"],
    }
    return _json(200, document)


def _model_metadata(model: LoadedModel, name: str, version: str) -> Dict[str, Any]:
    return {
        "name": name,
        "versions": [version],
        "platform": PLATFORMS.get(model.engine.name, f"{model.engine.name}_model"),
        "inputs": oip.spec_json(model.session.inputs),
        "outputs": oip.spec_json(model.session.outputs),
    }


def _not_allowed(method: str) -> Response:
    text = json.dumps({"error": f"use {method} here"}).encode()
    return Response(405, text, headers=(("Allow", method),))


def _json(status: int, document: Dict[str, Any]) -> Response:
    return Response(status, json.dumps(document).encode())
