"""The six stages of a pipeline file, read and proven."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, TypeVar

from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.pipeline import (
    action,
    beside,
    capture,
    postprocess,
    preprocess,
    report,
    settings,
)
from edgeform_runtime.pipeline.bounds import among
from edgeform_runtime.pipeline.recording import Recording, recording
from edgeform_wire import edges
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields
from edgeform_wire.rules import VOCABULARIES, RuleError, Vocabulary, parse

T = TypeVar("T")
OPEN, RESULTS_ONLY = "open", "results_only"


@dataclass(frozen=True)
class Stages:
    capture: capture.Capture
    preprocess: Tuple[preprocess.Preprocess, ...]
    infer: settings.Infer
    postprocess: postprocess.Postprocess
    actions: Tuple[action.Action, ...]
    reports: Tuple[report.Report, ...]
    serving: settings.Serving
    engine: settings.EngineSettings
    recording: Optional[Recording]
    """What is kept of recent frames; None keeps nothing."""
    egress: str
    """What may leave the device: open, or results_only."""
    vocabulary: Vocabulary
    """What rules may say of this pipeline's results."""
    thermal: Optional[beside.Thermal] = None
    shadow: Optional[beside.Shadow] = None


def stages_of(value: Dict[str, Any]) -> Stages:
    """The six stages of a pipeline file.

    Raises:
        PipelineInvalid: an operator, field or value this runtime does not have.
    """
    try:
        return _stages(value)
    except WireError as exc:
        raise PipelineInvalid(str(exc)) from exc


def _stages(value: Dict[str, Any]) -> Stages:
    fields = Fields(value, "stages")
    chosen = fields.object("postprocess")
    found = Stages(
        capture=_operator(fields.object("capture"), "stages.capture", capture.OPERATORS),
        preprocess=_operators(fields, "preprocess", preprocess.OPERATORS),
        infer=settings.infer(fields.object("infer")),
        postprocess=_operator(chosen, "stages.postprocess", postprocess.OPERATORS),
        actions=_operators(fields, "action", action.OPERATORS),
        reports=_operators(fields, "report", report.OPERATORS),
        serving=settings.serving(fields.object("serving", default={})),
        engine=settings.engine(fields.object("runtime", default={})),
        recording=recording(
            fields.object("recording", default={}) or None, edges.media_of(value["capture"])
        ),
        egress=among(fields.text("egress", OPEN), (OPEN, RESULTS_ONLY), "stages.egress"),
        vocabulary=VOCABULARIES[str(chosen["kind"])],
        thermal=beside.thermal(fields.object("thermal", default={}) or None),
        shadow=beside.shadow(fields.object("shadow", default={}) or None),
    )
    fields.done()
    for number, stage in enumerate(found.actions):
        _check_rule(f"stages.action[{number}].when", stage.trigger.when, found.vocabulary)
    if found.recording is not None:
        _check_rule("stages.recording.when", found.recording.when, found.vocabulary)
    _check_edges(value)
    return found


def _check_rule(where: str, rule: Optional[str], vocabulary: Vocabulary) -> None:
    try:
        if rule is not None:
            parse(rule, vocabulary)
    except RuleError as exc:
        raise WireError(f"{where}: {exc}") from exc


def _check_edges(value: Dict[str, Any]) -> None:
    steps = value.get("preprocess", [])
    number, sentence = edges.problem(value["capture"], steps, value["postprocess"]["kind"])
    if sentence:
        raise WireError(f"stages.preprocess[{number}]: {sentence}")


def _operators(
    fields: Fields, name: str, known: Mapping[str, Callable[[Fields], T]]
) -> Tuple[T, ...]:
    def read(value: Any, what: str) -> T:
        return _operator(value, what, known)

    return fields.each(name, read, default=True)


def _operator(value: Any, what: str, known: Mapping[str, Callable[[Fields], T]]) -> T:
    fields = Fields(value, what)
    kind = fields.choice("kind", known)
    found = known[kind](fields)
    fields.done()
    return found
