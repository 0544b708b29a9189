"""Pipelines, models and their checks out of merged, expanded and proven values."""

from collections.abc import Callable
from typing import TypeVar, cast

from edgeform.domain.artifacts import Model, Variant, VersionRule
from edgeform.domain.names import ModelName, PipelineName
from edgeform.domain.pipeline import (
    Action,
    Capture,
    Checks,
    Classify,
    Colour,
    HttpPush,
    ImageDirectory,
    Infer,
    Layout,
    Limits,
    Normalise,
    Pipeline,
    Postprocess,
    Preprocess,
    Report,
    ReportLines,
    Resize,
    Serving,
    StoreLocally,
)
from edgeform.spec.fields import (
    Mapping,
    block,
    blocks,
    boolean_or,
    integer,
    integer_or,
    number,
    number_or,
    numbers,
    size,
    size_or,
    text,
    text_or,
    texts,
)
from edgeform.spec.nodes import Block

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
            checks=self._once(block(spec, "checks"), _checks),
            limits=self._once(block(spec, "limits"), _limits),
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
    return Limits(memory_bytes=size(spec, "memory_bytes"), cpu_percent=integer(spec, "cpu_percent"))


def _serving(spec: Mapping) -> Serving:
    return Serving(
        address=text_or(spec, "address", Serving().address), port=integer_or(spec, "port", 0)
    )


def _infer(spec: Mapping) -> Infer:
    return Infer(
        model=ModelName(text_or(spec, "model", "")),
        timeout_s=number_or(spec, "timeout_s", 5.0),
        queue=integer_or(spec, "queue", 2),
        when_full=text_or(spec, "when_full", "drop_oldest"),
    )


def _image_directory(spec: Mapping) -> ImageDirectory:
    return ImageDirectory(
        path=text_or(spec, "path", ""),
        pattern=text_or(spec, "pattern", "*.png"),
        interval_s=number_or(spec, "interval_s", 1.0),
        after=text_or(spec, "after", "keep"),
    )


def _http_push(spec: Mapping) -> HttpPush:
    return HttpPush(max_bytes=size_or(spec, "max_bytes", 16 * 1024 * 1024))


def _resize(spec: Mapping) -> Resize:
    return Resize(
        width=integer_or(spec, "width", 0),
        height=integer_or(spec, "height", 0),
        filter=text_or(spec, "filter", "bilinear"),
        mode=text_or(spec, "mode", "stretch"),
    )


def _colour(spec: Mapping) -> Colour:
    return Colour(to=text_or(spec, "to", ""))


def _normalise(spec: Mapping) -> Normalise:
    return Normalise(
        scale=number_or(spec, "scale", 1.0),
        mean=numbers(spec, "mean", (0.0,)),
        std=numbers(spec, "std", (1.0,)),
    )


def _layout(spec: Mapping) -> Layout:
    return Layout(order=text_or(spec, "order", "nchw"))


def _classify(spec: Mapping) -> Classify:
    return Classify(
        top_k=integer_or(spec, "top_k", 1),
        softmax=boolean_or(spec, "softmax", default=True),
        labels=text(spec, "labels"),
        threshold=number_or(spec, "threshold", 0.0),
    )


def _store(spec: Mapping) -> StoreLocally:
    return StoreLocally(
        directory=text_or(spec, "directory", "results"),
        max_bytes=size_or(spec, "max_bytes", 64 * 1024 * 1024),
        max_age_s=number_or(spec, "max_age_s", 7 * 86400.0),
        frames=text_or(spec, "frames", "none"),
    )


def _json_lines(spec: Mapping) -> ReportLines:
    return ReportLines(every_s=number_or(spec, "every_s", 60.0))


_CAPTURE: dict[str, Callable[[Mapping], Capture]] = {
    "image_directory": _image_directory,
    "http_push": _http_push,
}
_PREPROCESS: dict[str, Callable[[Mapping], Preprocess]] = {
    "resize": _resize,
    "colour": _colour,
    "normalise": _normalise,
    "layout": _layout,
}


def _capture(choice: Mapping) -> Capture:
    kind = next(iter(choice))
    return _CAPTURE[kind](block(choice, kind))


def _preprocess(choice: Mapping) -> Preprocess:
    kind = next(iter(choice))
    return _PREPROCESS[kind](block(choice, kind))


def _postprocess(choice: Mapping) -> Postprocess:
    return _classify(block(choice, "classify"))


def _action(choice: Mapping) -> Action:
    return _store(block(choice, "store"))


def _report(choice: Mapping) -> Report:
    return _json_lines(block(choice, "json_lines"))
