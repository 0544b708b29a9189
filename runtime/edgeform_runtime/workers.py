"""The threads of a pipeline: capture, infer, act; each is supervised, none can kill the process quietly.

Frames go capture -> [queue] -> infer -> [queue] -> act. A frame that fails is counted with a reason; a
thread that ends by an unforeseen error is started again, a few times, and then the process says `failed`.
"""

import threading
import time
from dataclasses import dataclass, replace
from typing import Callable, List, Optional

from edgeform_runtime import thermal
from edgeform_runtime.errors import FrameError, InferenceFailed, RuntimeFault
from edgeform_runtime.frames import BoundedQueue, Frame, Inferred
from edgeform_runtime.logs import log
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.pipeline import Stages
from edgeform_runtime.pipeline.action import Action
from edgeform_runtime.pipeline.capture import Capture
from edgeform_runtime.slots import LIVE, Slots
from edgeform_runtime.stages.action.gate import Gate
from edgeform_runtime.stages.action.lane import Lane
from edgeform_runtime.stages.contract import Notices, Place, Reporter, Sink
from edgeform_runtime.stages.reporters import reporter_of
from edgeform_runtime.stages.sinks import delivery_of, sink_of
from edgeform_runtime.stages.sources import is_lazy, is_pushed, source_of
from edgeform_runtime.thermal import Governor
from edgeform_runtime.watcher import Watcher
from edgeform_runtime.witness import Witness
from edgeform_wire.companions import SMALLER

POLL_S = 0.5
ACT_QUEUE = 2
MAX_RESTARTS = 5
RESTART_WINDOW_S = 60.0
STUCK_FACTOR = 3.0
STUCK_MIN_S = 10.0
CAPTURE_STUCK_S = 90.0
"""Longer than the longest pause between two attempts of a source that is gone."""
LANE_CLOSE_S = 0.5


@dataclass(frozen=True)
class _Action:
    gate: Gate
    sink: Sink
    lane: Optional[Lane]


class Workers:
    """Owns the threads, their queues and the frames' counters.

    Args:
        on_error: gets a sentence for `last_error`. on_failed: called when a thread cannot be kept alive.
    """

    def __init__(
        self,
        *,
        stages: Stages,
        place: Place,
        acts: bool,
        slots: Slots,
        metrics: Metrics,
        witness: Witness,
        on_error: Callable[[str], None],
        on_failed: Callable[[str], None],
        governor: Governor,
        watcher: Watcher,
    ) -> None:
        place = replace(place, egress=stages.egress)
        self.governor, self.watcher = governor, watcher
        self._admitted_s = 0.0
        self._alive_s: Optional[float] = None
        self._is_asking = False
        self._stages, self._place = stages, place
        self._slots, self._metrics = slots, metrics
        self._witness = witness
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
        # A shadow opens them too, so that what is missing is known before the switch, but not their lanes.
        sinks = [sink_of(stage, place, number) for number, stage in enumerate(stages.actions)]
        self._actions = [
            _Action(
                Gate(stage.trigger, stages.vocabulary), sink, self._lane(stage, sink, acts=acts)
            )
            for stage, sink in zip(stages.actions, sinks)
        ]
        self._reporters = [
            reporter_of(stage, place, number) for number, stage in enumerate(stages.reports)
        ]
        self._source = None
        if not is_pushed(stages.capture):
            self._source = source_of(stages.capture, place, self._stop_capture)
        self._threads: List[threading.Thread] = []

    @property
    def capture_stage(self) -> Capture:
        return self._stages.capture

    @property
    def waits_when_full(self) -> bool:
        return self._stages.infer.when_full == "wait"

    def start(self) -> None:
        bodies = [("infer", self._infer), ("act", self._act)]
        if self._source is not None:
            bodies.insert(0, ("capture", self._capture))
        for reporter in self._reporters:
            reporter.start()
        bodies += [("report", self._reporting(reporter)) for reporter in self._reporters]
        if self._stages.thermal is not None:
            bodies.append(("thermal", self._govern))
        if self.watcher.is_wanted:
            bodies.append(("shadow", self.watcher.run))
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
        self.watcher.stop()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for action in self._actions:
            if action.lane is not None:
                action.lane.close(max(LANE_CLOSE_S, deadline - time.monotonic()))
        for reporter in self._reporters:
            reporter.write()
            reporter.close(max(LANE_CLOSE_S, deadline - time.monotonic()))
        self._place.links.close()

    def stuck_for(self) -> float:
        """Seconds by which the inference under way is over its time; 0 while all is well."""
        since = self._busy_since
        if since is None:
            return 0.0
        allowed = max(STUCK_MIN_S, STUCK_FACTOR * self._stages.infer.timeout_s)
        return max(0.0, time.monotonic() - since - allowed)

    def capture_stuck_for(self) -> float:
        """Seconds by which a source that was alive is over its time; 0 while all is well."""
        alive_s = self._alive_s
        if alive_s is None or not self._is_asking:
            return 0.0
        timeout_s = float(getattr(self._stages.capture, "timeout_s", 0.0))
        allowed = max(CAPTURE_STUCK_S, STUCK_FACTOR * timeout_s)
        return max(0.0, time.monotonic() - alive_s - allowed)

    def _alive(self) -> None:
        self._alive_s = time.monotonic()

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
        if self._source is None:
            return
        notices = Notices(
            failed=self._capture_failed, lost=self._lost, found=self._found, alive=self._alive
        )
        frames = self._source.frames(notices)
        try:
            while self._has_room():
                self._is_asking = True
                frame = next(frames, None)
                self._is_asking, self._alive_s = False, None
                if frame is None:
                    return
                self._metrics.captured.add()
                self.to_infer.put(self._counted(frame))
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()

    def _has_room(self) -> bool:
        """Whether to ask the source for a frame; a lazy one is asked only when it will be wanted."""
        if is_lazy(self._stages.capture):
            while not self._stop_capture.is_set() and not self.to_infer.wait_for_room(POLL_S):
                pass
        return not self._stop_capture.is_set()

    def _capture_failed(self, reason: str) -> None:
        self._metrics.captured.add()
        self._metrics.failed.add(reason=reason)

    def _lost(self, reason: str, sentence: str) -> None:
        self._metrics.source.set(0.0)
        self._metrics.lost.add(reason=reason)
        self._on_error(f"capture: {sentence}")
        log("warning", "capture_lost", reason=reason, detail=sentence)

    def _found(self) -> None:
        self._metrics.source.set(1.0)
        log("info", "capture_found")

    def _infer(self) -> None:
        while not self._stopped.is_set():
            frame = self.to_infer.get(POLL_S)
            if frame is None:
                if self.to_infer.is_closed:
                    return
                continue
            reason = self._held_back()
            if reason:
                self._metrics.dropped.add(reason=reason)
                frame.finish("dropped")
                continue
            self._busy_since = time.monotonic()
            try:
                self._one(frame)
            except BaseException:
                frame.finish("failed")
                raise
            finally:
                self._busy_since = None

    def _held_back(self) -> str:
        """Why the next frame is left out because of heat; empty when it is not.

        Where no frame may be lost (`wait`), this waits instead, and the queue holds up the source.
        """
        while not self._stop_capture.is_set():
            fps, now = self.governor.fps, time.monotonic()
            left_s = 0.0 if fps is None else self._admitted_s + 1.0 / fps - now
            if not self.governor.is_paused and left_s <= 0:
                self._admitted_s = now
                return ""
            if not self.waits_when_full:
                return "thermal_pause" if self.governor.is_paused else "thermal_slow"
            self._stopped.wait(min(POLL_S, left_s) if left_s > 0 else POLL_S)
        return ""  # it is drained: what is in flight is finished, however hot it is

    def _govern(self) -> None:
        while not self._stopped.is_set():
            self.governor.look(time.monotonic())
            self._stopped.wait(thermal.EVERY_S)

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
        self.watcher.offer(frame, inferred.result)
        self._busy_since = None  # waiting for a slow action is not being stuck
        self.to_act.put(inferred)

    def _result_of(self, frame: Frame) -> Inferred:
        observe = self._metrics.stages.observe
        started = time.monotonic()
        observe(started - frame.captured, stage="queue")
        with self._slots.using(SMALLER if self.governor.uses_smaller else LIVE) as model:
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
            self._witness.saw(model, frame, seen, answer, result)
        self._metrics.recent.add(answer.wall_s, ended - frame.captured)
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
                for action in self._actions:
                    if action.gate.opens(inferred.result, inferred.frame.captured):
                        self._carry_out(action, inferred)
                for reporter in self._reporters:
                    reporter.add(inferred)
            finally:
                inferred.frame.finish("done")
                self._metrics.stages.observe(time.monotonic() - started, stage="action")

    def _lane(self, stage: Action, sink: Sink, *, acts: bool) -> Optional[Lane]:
        delivery = delivery_of(stage)
        if delivery is None or not acts:
            return None

        def count(kind: str, outcome: str) -> None:
            self._metrics.actions.add(kind=kind, outcome=outcome)

        return Lane(sink, delivery, count=count, on_error=self._on_error)

    def _carry_out(self, action: "_Action", inferred: Inferred) -> None:
        if action.lane is not None:
            action.lane.put(inferred)
            return
        sink = action.sink
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
