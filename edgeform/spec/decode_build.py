"""How variants are built, out of proven values."""

from edgeform.domain.builds import Build, Gate, Scalar, Step
from edgeform.spec.fields import Mapping, block, items, number_or, text, text_or, texts
from edgeform.spec.nodes import Value


def build(spec: Mapping) -> Build:
    """The `build` of a variant."""
    return Build(
        source=text_or(spec, "source", ""),
        recipe=tuple(step(item) for item in items(spec, "recipe")),
        calibration=text(spec, "calibration"),
        evaluation=text_or(spec, "evaluation", ""),
        pipeline=text(spec, "pipeline"),
        include=texts(spec, "include"),
        gate=_gate(block(spec, "gate")),
    )


def step(item: Value) -> Step:
    """A step, written as its name or as `{name: {parameters}}`."""
    if isinstance(item, str):
        return Step(name=item)
    if not isinstance(item, dict) or len(item) != 1:
        raise TypeError("a step is a text or a mapping with one key: the schema says so")
    ((name, _),) = item.items()
    given = block(item, name)
    return Step(name=name, parameters=tuple(sorted((k, _scalar(v)) for k, v in given.items())))


def _scalar(value: Value) -> Scalar:
    if isinstance(value, (dict, list)) or value is None:
        raise TypeError("a step's parameter is a plain value: the schema says so")
    return value


def _gate(spec: Mapping) -> Gate:
    usual = Gate()
    return Gate(
        accuracy_drop=number_or(spec, "accuracy_drop", usual.accuracy_drop),
        agreement=number_or(spec, "agreement", usual.agreement),
        sqnr_db=number_or(spec, "sqnr_db", usual.sqnr_db),
        ladder=texts(spec, "ladder") if "ladder" in spec else usual.ladder,
    )
