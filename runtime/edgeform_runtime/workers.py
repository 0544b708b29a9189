"""The threads of a pipeline: capture, infer, act; each is supervised, none can kill the process quietly.

Frames go capture -> [queue] -> infer -> [queue] -> act. A frame that fails is counted with a reason; a
thread that ends by an unforeseen error is started again, a few times, and then the process says `failed`.
"""

import threading
import time
from dataclasses import replace
from typing import Callable, List, Optional

from edgeform_runtime.errors import FrameError, InferenceFailed, RuntimeFault
from edgeform_runtime.frames import BoundedQueue, Frame, Inferred
from edgeform_runtime.logs import log
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.pipeline import Stages
from edgeform_runtime.pipeline.capture import Capture
from edgeform_runtime.slots import LIVE, Slots
from edgeform_runtime.stages.contract import Place, Reporter, Sink
from edgeform_runtime.stages.reporters import reporter_of
from edgeform_runtime.stages.sinks import sink_of
from edgeform_runtime.stages.sources import is_pushed, source_of

POLL_S = 0.5
ACT_QUEUE = 2
MAX_RESTARTS = 5
RESTART_WINDOW_S = 60.0
STUCK_FACTOR = 3.0
STUCK_MIN_S = 10.0


class Workers:
    """Owns the threads, their queues and the frames' counters.

    Args:
        on_error: gets a sentence for `last_error`. on_failed: called when a thread cannot be kept alive.
    """

    def __init__(
        self,
        *,
        stages: Stages,
        prefix: str,
        pipeline: str,
        slots: Slots,
        metrics: Metrics,
        on_error: Callable[[str], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._stages, self._place = stages, Place(prefix=prefix, pipeline=pipeline)
        self._slots, self._metrics = slots, metrics
        self._on_error, self._on_failed = on_error, on_failed
        self._stop_capture = threading.Event()
        self._stopped = threading.Event()
        self._pushed = 0
        self._push_lock = threading.Lock()
        self._busy_since: Optional[float] = None
        self._in_flight = 0
        self._flight_lock = threading.Lock()
        infer = stages.infer
        self.to_infer: BoundedQueue[Frame] = BoundedQueue(
            infer.queue, infer.when_full, self._dropped(infer.when_full)
        )
        self.to_act: BoundedQueue[Inferred] = BoundedQueue(ACT_QUEUE, "wait", _forget)
        self._sinks = [sink_of(stage, self._place) for stage in stages.actions]
        self._reporters = [reporter_of(stage, self._place) for stage in stages.reports]
        self._threads: List[threading.Thread] = []

    @property
    def capture_stage(self) -> Capture:
        return self._stages.capture

    @property
    def waits_when_full(self) -> bool:
        return self._stages.infer.when_full == "wait"

    def start(self) -> None:
        bodies = [("infer", self._infer), ("act", self._act)]
        if not is_pushed(self._stages.capture):
            bodies.insert(0, ("capture", self._capture))
        bodies += [("report", self._reporting(reporter)) for reporter in self._reporters]
        for name, body in bodies:
            thread = threading.Thread(
                target=self._supervise, args=(name, body), name=name, daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def push(self, name: str, content: bytes, timeout_s: float) -> Optional[int]:
        """The sequence number of a pushed frame that was taken; None when the queue is full."""
        with self._push_lock:
            self._pushed += 1
            sequence = self._pushed
        self._metrics.captured.add()
        frame = self._counted(
            Frame(
                sequence=sequence,
                name=name,
                content=content,
                captured_at=time.time(),
                captured=time.monotonic(),
            )
        )
        return sequence if self.to_infer.put(frame, timeout_s) else None

    def drain(self, timeout_s: float) -> bool:
        """Capture nothing more and finish what is in flight; whether that succeeded in time."""
        self._stop_capture.set()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._in_flight == 0:
                return True
            time.sleep(0.01)
        return False

    def stop(self, timeout_s: float) -> None:
        """End the threads; what a queue still holds is dropped."""
        self._stop_capture.set()
        self._stopped.set()
        self.to_infer.close()
        self.to_act.close()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for reporter in self._reporters:
            reporter.write()

    def stuck_for(self) -> float:
        """Seconds by which the inference under way is over its time; 0 while all is well."""
        since = self._busy_since
        if since is None:
            return 0.0
        allowed = max(STUCK_MIN_S, STUCK_FACTOR * self._stages.infer.timeout_s)
        return max(0.0, time.monotonic() - since - allowed)

    def _supervise(self, name: str, body: Callable[[], None]) -> None:
        crashes: List[float] = []
        while not self._stopped.is_set():
            try:
                body()
                return
            except Exception as exc:  # noqa: BLE001 - the supervisor is where the unforeseen ends
                now = time.monotonic()
                crashes = [c for c in crashes if now - c < RESTART_WINDOW_S] + [now]
                self._metrics.restarts.add(thread=name)
                self._on_error(f"thread {name}: {type(exc).__name__}: {exc}")
                log("error", "thread_crashed", thread=name, error=f"{type(exc).__name__}: {exc}")
                if len(crashes) >= MAX_RESTARTS:
                    self._on_failed(f"thread {name} crashed {len(crashes)} times in a minute")
                    return
                self._stopped.wait(0.1 * 2 ** len(crashes))

    def _capture(self) -> None:
        source = source_of(self._stages.capture, self._place, self._stop_capture)
        for frame in source.frames(self._capture_failed):
            self._metrics.captured.add()
            self.to_infer.put(self._counted(frame))

    def _capture_failed(self, reason: str) -> None:
        self._metrics.captured.add()
        self._metrics.failed.add(reason=reason)

    def _infer(self) -> None:
        while not self._stopped.is_set():
            frame = self.to_infer.get(POLL_S)
            if frame is None:
                if self.to_infer.is_closed:
                    return
                continue
            self._busy_since = time.monotonic()
            try:
                self._one(frame)
            except BaseException:
                frame.finish("failed")
                raise
            finally:
                self._busy_since = None

    def _one(self, frame: Frame) -> None:
        try:
            inferred = self._result_of(frame)
        except RuntimeFault as exc:
            reason = exc.reason if isinstance(exc, FrameError) else exc.code
            self._metrics.failed.add(reason=reason)
            self._on_error(f"frame {frame.name}: {exc.summary}")
            log("warning", "frame_failed", frame=frame.name, reason=reason, detail=exc.summary)
            frame.finish("failed")
            return
        self._metrics.inferred.add()
        self._busy_since = None  # waiting for a slow action is not being stuck
        self.to_act.put(inferred)

    def _result_of(self, frame: Frame) -> Inferred:
        observe = self._metrics.stages.observe
        started = time.monotonic()
        observe(started - frame.captured, stage="queue")
        with self._slots.using(LIVE) as model:
            seen = model.look(frame.content)
            preprocessed = time.monotonic()
            observe(preprocessed - started, stage="preprocess")
            variant = model.variant
            try:
                answer = model.infer(seen.feeds)
                observe(answer.wall_s, stage="infer")
                if answer.wall_s > model.stages.infer.timeout_s:
                    raise InferenceFailed(f"inference took {answer.wall_s:.3f} s, over its time")
                result = model.result(answer, seen)
            except RuntimeFault:
                self._metrics.requests.add(variant=variant, source="capture", outcome="failed")
                raise
            self._metrics.requests.add(variant=variant, source="capture", outcome="ok")
            generation = model.file.generation
        ended = time.monotonic()
        observe(max(0.0, ended - preprocessed - answer.wall_s), stage="postprocess")
        seconds = {
            "queue": started - frame.captured,
            "preprocess": preprocessed - started,
            "infer": answer.wall_s,
        }
        return Inferred(
            frame=frame, result=result, model_ref=variant, generation=generation, seconds=seconds
        )

    def _act(self) -> None:
        while not self._stopped.is_set() or len(self.to_act):
            inferred = self.to_act.get(POLL_S)
            if inferred is None:
                if self.to_act.is_closed:
                    return
                continue
            started = time.monotonic()
            try:
                for sink in self._sinks:
                    self._write(sink, inferred)
                for reporter in self._reporters:
                    reporter.add(inferred)
            finally:
                inferred.frame.finish("done")
                self._metrics.stages.observe(time.monotonic() - started, stage="action")

    def _write(self, sink: Sink, inferred: Inferred) -> None:
        try:
            sink.write(inferred)
        except OSError as exc:
            self._metrics.actions.add(kind=sink.kind, outcome="failed")
            self._on_error(f"{sink.kind}: {exc.strerror}")
            log("error", f"{sink.kind}_failed", frame=inferred.frame.name, reason=exc.strerror)
        else:
            self._metrics.actions.add(kind=sink.kind, outcome="ok")

    def _reporting(self, reporter: Reporter) -> Callable[[], None]:
        def run() -> None:
            while not self._stopped.wait(reporter.every_s):
                reporter.write()

        return run

    def _counted(self, frame: Frame) -> Frame:
        """The frame, counted as in flight until its `finish` is called."""
        with self._flight_lock:
            self._in_flight += 1
        done = threading.Event()

        def finish(outcome: str) -> None:
            if done.is_set():
                return
            done.set()
            with self._flight_lock:
                self._in_flight -= 1
            frame.finish(outcome)

        return replace(frame, finish=finish)

    def _dropped(self, policy: str) -> Callable[[Frame], None]:
        reason = "queue_full" if policy == "wait" else policy

        def drop(frame: Frame) -> None:
            self._metrics.dropped.add(reason=reason)
            frame.finish("dropped")

        return drop


def _forget(item: Inferred) -> None:
    item.frame.finish("done")
