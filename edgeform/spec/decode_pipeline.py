"""Pipelines, models and their checks out of merged, expanded and proven values."""

from collections.abc import Callable
from typing import TypeVar, cast

from edgeform.domain.artifacts import Model, Variant, VersionRule
from edgeform.domain.names import ModelName, PipelineName
from edgeform.domain.pipeline import (
    Checks,
    Infer,
    Limits,
    Pause,
    Pipeline,
    Serving,
    Shadow,
    Slow,
    Smaller,
    Thermal,
)
from edgeform.domain.stages.action import Action
from edgeform.domain.stages.capture import Capture
from edgeform.domain.stages.postprocess import Postprocess
from edgeform.domain.stages.preprocess import Preprocess
from edgeform.domain.stages.report import Report
from edgeform.spec import decode_build
from edgeform.spec.fields import (
    Mapping,
    block,
    blocks,
    boolean_or,
    integer,
    integer_or,
    number,
    number_or,
    size,
    text,
    text_or,
    texts,
)
from edgeform.spec.nodes import Block
from edgeform.spec.operators import action, capture, postprocess, preprocess, recording, report

T = TypeVar("T")


def model(name: str, spec: Mapping) -> Model:
    """The model of its spec."""
    source = block(spec, "source")
    (rule, wanted) = next(iter(block(spec, "version").items()))
    return Model(
        name=ModelName(name),
        registry=text_or(source, "registry", ""),
        source=text_or(source, "name", name),
        rule=VersionRule(rule),
        wanted=str(wanted),
        variants=tuple(_variant(item) for item in blocks(spec, "variants")),
        epoch=integer_or(spec, "epoch", 0),
    )


def _variant(spec: Mapping) -> Variant:
    return Variant(
        name=text_or(spec, "name", ""),
        engine=text_or(spec, "engine", ""),
        file=text_or(spec, "file", ""),
        build=decode_build.build(block(spec, "build")) if "build" in spec else None,
        accelerators=texts(block(spec, "when"), "accelerators") or ("*",),
        precision=text_or(spec, "precision", "f32"),
        goldens=text(spec, "goldens"),
    )


class PipelineDecoder:
    """Decodes pipelines of one object: what stands in its file unchanged is decoded once."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Mapping, object]] = {}

    def pipeline(self, name: str, spec: Mapping) -> Pipeline:
        """The pipeline of its merged spec; `name` is what it is called on the device."""
        return Pipeline(
            name=PipelineName(name),
            capture=self._once(block(spec, "capture"), _capture),
            preprocess=tuple(self._once(i, _preprocess) for i in blocks(spec, "preprocess")),
            infer=self._once(block(spec, "infer"), _infer),
            postprocess=self._once(block(spec, "postprocess"), _postprocess),
            actions=tuple(self._once(item, _action) for item in blocks(spec, "action")),
            report=tuple(self._once(item, _report) for item in blocks(spec, "report")),
            serving=self._once(block(spec, "serving"), _serving),
            recording=recording.recording(spec),
            checks=self._once(block(spec, "checks"), _checks),
            limits=self._once(block(spec, "limits"), _limits),
            shadow=self._once(block(spec, "shadow"), _shadow),
            secrets=texts(spec, "secrets"),
        )

    def _once(self, spec: Mapping, make: Callable[[Mapping], T]) -> T:
        """What `make` gives; remembered for blocks of a file, which live as long as this decoder."""
        if not isinstance(spec, Block) or spec.source is None:
            return make(spec)
        known = self._made.get(id(spec))
        if known is None:
            known = (spec, make(spec))
            self._made[id(spec)] = known
        return cast("T", known[1])


def _checks(spec: Mapping) -> Checks:
    return Checks(
        golden=boolean_or(spec, "golden", default=True),
        p50_ms=number(spec, "p50_ms"),
        rss_bytes=size(spec, "rss_bytes"),
        rss_slope_bytes=size(spec, "rss_slope_bytes"),
        provider=text(spec, "provider"),
        min_free_disk_bytes=size(spec, "min_free_disk_bytes"),
    )


def _limits(spec: Mapping) -> Limits:
    return Limits(
        memory_bytes=size(spec, "memory_bytes"),
        cpu_percent=integer(spec, "cpu_percent"),
        thermal=_thermal(block(spec, "thermal")),
    )


def _thermal(spec: Mapping) -> Thermal | None:
    if not spec:
        return None
    slow, smaller, pause = (block(spec, name) for name in ("slow", "smaller", "pause"))
    default = Thermal()
    return Thermal(
        sensor=text(spec, "sensor"),
        hysteresis_celsius=number_or(spec, "hysteresis_celsius", default.hysteresis_celsius),
        hold_s=number_or(spec, "hold_s", default.hold_s),
        slow=Slow(celsius=_celsius(slow), fps=number_or(slow, "fps", 1.0)) if slow else None,
        smaller=Smaller(celsius=_celsius(smaller), model=_model_name(smaller)) if smaller else None,
        pause=Pause(celsius=_celsius(pause)) if pause else None,
    )


def _celsius(spec: Mapping) -> float:
    return number_or(spec, "celsius", 0.0)


def _model_name(spec: Mapping) -> ModelName:
    return ModelName(text_or(spec, "model", ""))


def _shadow(spec: Mapping) -> Shadow | None:
    if not spec:
        return None
    return Shadow(model=_model_name(spec), every=integer_or(spec, "every", 20))


def _serving(spec: Mapping) -> Serving:
    return Serving(
        address=text_or(spec, "address", Serving().address),
        port=integer_or(spec, "port", 0),
        token=text(spec, "token"),
    )


def _infer(spec: Mapping) -> Infer:
    return Infer(
        model=ModelName(text_or(spec, "model", "")),
        timeout_s=number_or(spec, "timeout_s", 5.0),
        queue=integer_or(spec, "queue", 2),
        when_full=text_or(spec, "when_full", "drop_oldest"),
    )


def _operator(choice: Mapping, operators: dict[str, Callable[[Mapping], T]]) -> T:
    kind = next(iter(choice))
    return operators[kind](block(choice, kind))


def _capture(choice: Mapping) -> Capture:
    return _operator(choice, capture.OPERATORS)


def _preprocess(choice: Mapping) -> Preprocess:
    return _operator(choice, preprocess.OPERATORS)


def _postprocess(choice: Mapping) -> Postprocess:
    return _operator(choice, postprocess.OPERATORS)


def _action(choice: Mapping) -> Action:
    return _operator(choice, action.OPERATORS)


def _report(choice: Mapping) -> Report:
    return _operator(choice, report.OPERATORS)
