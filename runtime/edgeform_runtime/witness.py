"""Who sees every answered frame and changes nothing: it watches for drift and keeps what the spec allows."""

from functools import partial
from typing import Any, Dict, Mapping, Optional

from edgeform_runtime.drift import DriftWatch
from edgeform_runtime.errors import RequestError
from edgeform_runtime.frames import Frame
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.model import Answer, LoadedModel
from edgeform_runtime.pipeline import Stages
from edgeform_runtime.recording.recorder import Recorder, Taken
from edgeform_runtime.stages.contract import Place, Seen
from edgeform_runtime.stages.report.asks import CAPTURE


class Witness:
    """Both watchers of one pipeline; without a recording nothing of a frame is kept."""

    def __init__(self, drift: DriftWatch, recorder: Optional[Recorder]) -> None:
        self.drift, self.recorder = drift, recorder

    def start(self) -> None:
        if self.recorder is not None:
            self.recorder.start()

    def close(self) -> None:
        if self.recorder is not None:
            self.recorder.close()

    def saw(
        self, model: LoadedModel, frame: Frame, seen: Seen, answer: Answer, result: Dict[str, Any]
    ) -> None:
        """A captured frame and what was made of it; called on the thread that infers."""
        recorder = self.recorder
        if recorder is not None:
            taken = Taken(
                sequence=frame.sequence,
                name=frame.name,
                source="capture",
                captured_at=frame.captured_at,
                captured=frame.captured,
                content=frame.content,
            )
            recorder.add(model, taken, seen, answer, result)
        if self.drift.add(model, model.reference, seen.feeds) and recorder is not None:
            found = self.drift.latest()
            if found is not None:
                recorder.drifted(found)

    def answered(
        self, model: LoadedModel, body: bytes, seen: Seen, answer: Answer, result: Dict[str, Any]
    ) -> None:
        """An input that the device tool sent, as a golden: kept like a frame, no sign of drift."""
        if self.recorder is not None:
            taken = Taken(
                sequence=0,
                name="control",
                source="control",
                captured_at=0.0,
                captured=0.0,
                content=body,
            )
            self.recorder.add(model, taken, seen, answer, result)


def witness_of(stages: Stages, place: Place, metrics: Metrics) -> Witness:
    recorder = None
    if stages.recording is not None:
        recorder = Recorder(stages.recording, place, metrics, stages.vocabulary)
        place.desk.register(CAPTURE, partial(_asked_for, recorder))
    return Witness(DriftWatch(metrics), recorder)


def _asked_for(recorder: Recorder) -> Mapping[str, Any]:
    """A capture file that somebody at the broker asked for; it stays on the device."""
    try:
        return dict(vars(recorder.dump("request", "asked for through a broker")))
    except RequestError as exc:
        raise OSError(exc.summary) from exc
