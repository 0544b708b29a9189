"""One pipeline's process, put together: model, threads, control socket, HTTP, signals, watchdog.

The control socket answers before the model is loaded, so that `loading` and `failed` can be seen.
"""

import errno
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

from edgeform_runtime import VERSION, model, sockets, stuck
from edgeform_runtime.control import ControlServer
from edgeform_runtime.device_metrics import DeviceMetrics
from edgeform_runtime.errors import PipelineInvalid, RuntimeFault
from edgeform_runtime.logs import log
from edgeform_runtime.metrics import Metrics, resident_bytes
from edgeform_runtime.notify import Notifier
from edgeform_runtime.operations import Operations, Status, read_pipeline
from edgeform_runtime.secrets import Secrets, secrets_of
from edgeform_runtime.slots import LIVE, PREVIOUS, Slots
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.thermal import Governor
from edgeform_runtime.watcher import Watcher
from edgeform_runtime.witness import Witness, witness_of
from edgeform_runtime.workers import Workers
from edgeform_wire.companions import SHADOW, SMALLER
from edgeform_wire.pipeline import PipelineFile
from edgeform_wire.vitals.heat import temperatures
from edgeform_wire.vitals.tree import Tree

if TYPE_CHECKING:
    from edgeform_runtime.httpd import HttpServer
    from edgeform_runtime.server import Routes

EXIT_OK, EXIT_FAILED, EXIT_STUCK = 0, 3, 70
FAILED_LINGER_S = 5.0
DRAIN_EXTRA_S = 3.0
TICK_S = 1.0
WARM_RUNS = 2
HTTP_MODE = 0o660
MIN_TOKEN_BYTES = 16


@dataclass(frozen=True)
class Arguments:
    prefix: str
    pipeline: str
    socket: str
    is_shadow: bool
    root: str = "/"
    """Where /proc and /sys are."""


class Daemon:
    """Runs until SIGTERM or SIGINT, or until something fails that cannot be served around."""

    def __init__(self, arguments: Arguments, environ: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._environ = environ
        self._notifier = Notifier(environ)
        self._name = ""
        self._slots = Slots()
        self._status = Status()
        self._stop = threading.Event()
        self._workers: Optional[Workers] = None
        self._witness: Optional[Witness] = None
        self._http: Optional[HttpServer] = None
        self._routes: Optional[Routes] = None

    def run(self) -> int:
        """The exit code."""
        started = time.monotonic()
        try:
            file = read_pipeline(self._arguments.prefix, self._pipeline_path())
            metrics = Metrics(file.name)
            self._name = file.name
            for what, count in stuck.counts(self._arguments.prefix, file.name).items():
                metrics.stuck.add(float(count), what=what)
            operations = Operations(self._arguments.prefix, self._slots, self._status, metrics)
            control = ControlServer(self._arguments.socket, operations.table())
        except RuntimeFault as exc:
            log("error", "cannot_start", code=exc.code, detail=exc.summary)
            return EXIT_FAILED
        self._handle_signals()
        control.start()
        try:
            self._load(file_name=file.name, metrics=metrics, operations=operations)
            log(
                "info",
                "ready",
                version=VERSION,
                model_ref=file.model_ref,
                generation=file.generation,
                shadow=self._arguments.is_shadow,
                seconds=round(time.monotonic() - started, 3),
            )
            return self._serve(metrics)
        except RuntimeFault as exc:
            return self._failed(exc)
        finally:
            self._close(control)

    def _pipeline_path(self) -> str:
        """Relative to the prefix, whether it was given so or as a path that lies in it."""
        return os.path.join(self._arguments.prefix, self._arguments.pipeline)

    def _load(self, *, file_name: str, metrics: Metrics, operations: Operations) -> None:
        prefix = self._arguments.prefix
        file = read_pipeline(prefix, self._pipeline_path())
        secrets = secrets_of(file.secrets, prefix, self._environ)
        secrets.check()
        self._notifier.tell("STATUS=loading " + file.model_ref)
        live = model.load(prefix, file)
        live.warm(WARM_RUNS)
        self._slots.put(LIVE, live, 0.0)
        self._load_companions(file, live)
        root = self._arguments.root
        governor = Governor(
            live.stages.thermal, metrics, lambda: temperatures(Tree(root)), self._error
        )
        watcher = Watcher(live.stages.shadow, self._slots, metrics)
        place = Place(
            prefix=prefix,
            pipeline=file_name,
            site=file.site,
            device=file.device,
            secrets=secrets,
            generation=file.generation,
            model_ref=file.model_ref,
            generation_digest=file.generation_digest,
            metrics=metrics,
            live=self._serving,
            condition=lambda: _condition(governor, watcher),
        )
        self._witness = operations.witness = witness_of(live.stages, place, metrics)
        self._workers = Workers(
            governor=governor,
            watcher=watcher,
            stages=live.stages,
            place=place,
            acts=not self._arguments.is_shadow,
            slots=self._slots,
            metrics=metrics,
            witness=self._witness,
            on_error=self._error,
            on_failed=self._worker_failed,
        )
        if not self._arguments.is_shadow:
            self._serve_http(live, metrics, self._workers, secrets)
            operations.workers = self._workers
            self._witness.start()
            self._workers.start()
        metrics.before_render(lambda: self._gauges(metrics))
        DeviceMetrics(prefix, root).attach(metrics)
        self._status.phase = "ready"
        self._notifier.tell("READY=1", "STATUS=serving " + file.model_ref)

    def _load_companions(self, file: PipelineFile, live: model.LoadedModel) -> None:
        """Models beside the live one: loaded now, so that they are judged before a commit."""
        thermal, shadow = live.stages.thermal, live.stages.shadow
        wanted = (
            (SMALLER, None if thermal is None else thermal.smaller),
            (SHADOW, None if shadow is None else shadow.companion),
        )
        for slot, beside in wanted:
            if beside is not None:
                loaded = model.companion(self._arguments.prefix, file, beside)
                loaded.warm(WARM_RUNS)
                self._slots.put(slot, loaded, 0.0)

    def _serving(self) -> Tuple[int, str, str]:
        with self._slots.using(LIVE) as live:
            return live.file.generation, live.file.generation_digest, live.file.model_ref

    def _serve_http(
        self, live: model.LoadedModel, metrics: Metrics, workers: Workers, secrets: Secrets
    ) -> None:
        # asyncio costs 50 ms of start-up, which a shadow in the middle of a transaction need not pay.
        from edgeform_runtime.httpd import HttpServer, Listening  # noqa: PLC0415 - see above
        from edgeform_runtime.server import Routes  # noqa: PLC0415 - see above

        listening = [Listening(sockets.listen(self._http_path(), HTTP_MODE, backlog=64))]
        serving = live.stages.serving
        if serving.port:
            token = None if serving.token is None else _token(secrets.value(serving.token))
            listening.append(Listening(_listen_tcp(serving.address, serving.port), token))
        self._routes = Routes(
            slots=self._slots, status=self._status, metrics=metrics, workers=workers
        )
        self._http = HttpServer(listening, self._routes.handle, self._routes.max_body)
        self._http.start()

    def _http_path(self) -> str:
        path = self._arguments.socket
        return (path[: -len(".sock")] if path.endswith(".sock") else path) + ".http.sock"

    def _serve(self, metrics: Metrics) -> int:
        """Wait for the end, telling the watchdog while all is well."""
        tick_s = TICK_S
        if self._notifier.watchdog_s is not None:
            tick_s = min(tick_s, self._notifier.watchdog_s / 3)
        while not self._stop.wait(tick_s):
            if self._status.phase == "failed":
                raise PipelineInvalid(self._status.last_error or "a thread failed")
            if self._workers is not None:
                self._end_if_stuck(stuck.INFERENCE, self._workers.stuck_for())
                self._end_if_stuck(stuck.CAPTURE, self._workers.capture_stuck_for())
            self._notifier.tell("WATCHDOG=1")
        self._notifier.tell("STOPPING=1", "STATUS=draining")
        self._status.phase = "draining"
        if self._workers is not None and not self._arguments.is_shadow:
            with self._slots.using(LIVE) as live:
                timeout_s = min(live.stages.infer.timeout_s, 30.0) + DRAIN_EXTRA_S
            drained = self._workers.drain(timeout_s)
            log("info", "stopped", drained=drained, frames=dict(metrics.frames()))
        else:
            log("info", "stopped", drained=True)
        return EXIT_OK

    def _end_if_stuck(self, what: str, over_time_s: float) -> None:
        """A native call cannot be cancelled; only a new process helps."""
        if not over_time_s:
            return
        log("error", f"{what}_stuck", over_time_s=round(over_time_s, 1))
        stuck.note(self._arguments.prefix, self._name, what)
        self._notifier.tell(f"STATUS={what} is stuck")
        os._exit(EXIT_STUCK)

    def _failed(self, fault: RuntimeFault) -> int:
        """Say why on every channel, and stay a moment so that whoever looks can read it."""
        self._status.last_error = fault.summary
        self._status.phase = "failed"
        log("error", "failed", code=fault.code, detail=fault.summary)
        self._notifier.tell("STATUS=failed: " + fault.summary.replace("\n", " "))
        deadline = time.monotonic() + FAILED_LINGER_S
        while time.monotonic() < deadline and not self._stop.is_set():
            if self._status.failure_was_read.wait(0.1):
                time.sleep(0.1)  # let the answer leave the socket
                break
        return EXIT_FAILED

    def _close(self, control: ControlServer) -> None:
        if self._http is not None:
            self._http.close()
            sockets.remove(self._http_path())
        if self._routes is not None:
            self._routes.close()
        if self._workers is not None and not self._arguments.is_shadow:
            self._workers.stop(2.0)
        if self._witness is not None:
            self._witness.close()
        control.close()

    def _error(self, sentence: str) -> None:
        self._status.last_error = sentence[:500]

    def _worker_failed(self, sentence: str) -> None:
        self._status.last_error = sentence[:500]
        self._status.phase = "failed"

    def _gauges(self, metrics: Metrics) -> None:
        metrics.memory.set(float(resident_bytes()))
        metrics.ready.set(1.0 if self._status.phase == "ready" else 0.0)
        if self._workers is not None:
            metrics.depth.set(float(len(self._workers.to_infer)), queue="infer")
            metrics.depth.set(float(len(self._workers.to_act)), queue="act")
        metrics.variant.clear()
        for slot in (LIVE, PREVIOUS, SMALLER, SHADOW):
            if self._slots.has(slot):
                with self._slots.using(slot) as found:
                    metrics.variant.set(1.0, **_variant_labels(found, slot))

    def _handle_signals(self) -> None:
        def on_signal(number: int, frame: object) -> None:
            del number, frame
            if self._stop.is_set():
                os._exit(EXIT_FAILED)  # asked twice: leave without draining
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)


def _condition(governor: Governor, watcher: Watcher) -> Dict[str, Any]:
    found = {"thermal": governor.to_json(), "shadow": watcher.to_json()}
    return {name: value for name, value in found.items() if value is not None}


def _variant_labels(found: model.LoadedModel, slot: str) -> Dict[str, str]:
    effective = found.session.effective()
    return {
        "variant": found.variant,
        "slot": slot,
        "engine": f"{found.engine.name} {found.engine.version}",
        "provider": effective.provider,
        "precision": effective.precision,
    }


def _token(value: bytes) -> bytes:
    """The token as clients send it; a file that ends with a line break is meant without it.

    Raises:
        PipelineInvalid: empty, or too short to keep anybody out.
    """
    found = value.strip()
    if len(found) < MIN_TOKEN_BYTES:
        raise PipelineInvalid(f"the serving token has less than {MIN_TOKEN_BYTES} bytes")
    return found


def _listen_tcp(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(64)
    except (OSError, OverflowError) as exc:
        sock.close()
        why = str(exc)
        if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE:
            why = "another program on this device listens there already"
        raise PipelineInvalid(f"cannot serve at {address}:{port}: {why}") from exc
    return sock
