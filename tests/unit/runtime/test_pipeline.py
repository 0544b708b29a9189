import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support.runtime import PREPROCESS, some_stages
from support.stages import BY_STAGE

from edgeform.domain.pipeline import operator_json
from edgeform.domain.stages import action, capture, postprocess, preprocess, report
from edgeform.spec.operators import action as spec_action
from edgeform.spec.operators import capture as spec_capture
from edgeform.spec.operators import postprocess as spec_postprocess
from edgeform.spec.operators import preprocess as spec_preprocess
from edgeform.spec.operators import report as spec_report
from edgeform_runtime import pipeline
from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.pipeline import stages, stages_of
from edgeform_runtime.stages import postprocessors, reporters, sinks, sources

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
UNIONS = {
    "capture": capture.Capture,
    "preprocess": preprocess.Preprocess,
    "postprocess": postprocess.Postprocess,
    "action": action.Action,
    "report": report.Report,
}
SPEC = {
    "capture": spec_capture.OPERATORS,
    "preprocess": spec_preprocess.OPERATORS,
    "postprocess": spec_postprocess.OPERATORS,
    "action": spec_action.OPERATORS,
    "report": spec_report.OPERATORS,
}
RUNTIME = {
    "capture": pipeline.capture.OPERATORS,
    "preprocess": pipeline.preprocess.OPERATORS,
    "postprocess": pipeline.postprocess.OPERATORS,
    "action": pipeline.action.OPERATORS,
    "report": pipeline.report.OPERATORS,
}
EVERY = [
    pytest.param(stage, operator, needs, id=f"{stage}-{operator.kind}")
    for stage, examples in BY_STAGE.items()
    for operator, needs in examples
]


@pytest.mark.parametrize("stage", UNIONS)
def test_every_operator_is_known_on_both_sides_in_the_schemas_and_has_an_example(stage):
    union = UNIONS[stage]
    kinds = {member.kind for member in getattr(union, "__args__", (union,))}
    assert kinds == set(SPEC[stage]) == set(RUNTIME[stage])
    assert kinds == {operator.kind for operator, _ in BY_STAGE[stage]}
    assert kinds == {rule["properties"]["kind"]["const"] for rule in _rules(stage)}
    assert kinds == set(_site_choices(stage))


@pytest.mark.parametrize("name", ["manifest", "deployment"])
def test_the_stages_are_the_same_in_every_schema(name):
    def of(which):
        return json.loads((SCHEMAS / f"{which}.schema.json").read_text())["$defs"]["stages"]

    assert of(name) == of("pipeline")


@pytest.mark.parametrize(("stage", "operator", "needs"), EVERY)
def test_defaults_are_the_same_on_both_sides(stage, operator, needs):
    document = json.loads(json.dumps(dict(operator_json(operator))))
    full = stages._operator(document, "operator", RUNTIME[stage])
    needed = {k: v for k, v in document.items() if k in {"kind", *needs}}
    assert stages._operator(needed, "operator", RUNTIME[stage]) == full
    assert SPEC[stage][operator.kind]({k: v for k, v in document.items() if k in needs}) == operator


@pytest.mark.parametrize(("stage", "operator", "needs"), EVERY)
def test_what_a_pipeline_file_says_is_in_the_schema(stage, operator, needs):
    document = json.loads(json.dumps(dict(operator_json(operator))))
    validator = Draft202012Validator({"oneOf": _rules(stage)} | _definitions())
    assert list(validator.iter_errors(document)) == []


def test_every_operator_has_something_that_does_it():
    def members(union):
        return set(getattr(union, "__args__", (union,)))

    assert members(pipeline.capture.Capture) - set(sources._SOURCES) == {pipeline.capture.HttpPush}
    assert members(pipeline.postprocess.Postprocess) == set(postprocessors._POSTPROCESSORS)
    assert members(pipeline.action.Action) == set(sinks._SINKS)
    assert members(pipeline.report.Report) == set(reporters._REPORTERS)


def _definitions():
    return {"$defs": json.loads((SCHEMAS / "pipeline.schema.json").read_text())["$defs"]}


def _rules(stage):
    rule = _definitions()["$defs"]["stages"]["properties"][stage]
    return rule.get("items", rule)["oneOf"]


def _site_choices(stage):
    rule = json.loads((SCHEMAS / "site.schema.json").read_text())["$defs"]["Pipeline"]
    rule = rule["properties"][stage]
    return rule.get("items", rule)["properties"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"capture": {"kind": "telepathy"}}, "capture.kind"),
        ({"capture": {"kind": "image_directory"}}, "'path' is missing"),
        ({"capture": {"kind": "image_directory", "path": "x", "after": "burn"}}, "burn"),
        ({"capture": {"kind": "image_directory", "path": "x", "interval_s": -1}}, "interval_s"),
        ({"preprocess": [{"kind": "resize", "width": 0, "height": 3}]}, "width"),
        ({"preprocess": [{"kind": "resize", "width": 9000, "height": 3}]}, "8192"),
        (
            {"preprocess": [{"kind": "resize", "width": 9, "height": 3, "filter": "magic"}]},
            "bilinear-aa",
        ),
        ({"preprocess": [{"kind": "normalise", "std": [0.0]}]}, "std"),
        ({"preprocess": [{"kind": "layout"}, {"kind": "colour", "to": "grey"}]}, "come first"),
        ({"preprocess": [{"kind": "layout"}, {"kind": "layout"}]}, "twice"),
        ({"infer": {"when_full": "panic"}}, "when_full"),
        ({"infer": {"queue": 0}}, "queue"),
        ({"postprocess": {"kind": "classify", "labels": "../labels.txt"}}, "grammar"),
        ({"postprocess": {"kind": "classify", "top_k": 0}}, "top_k"),
        ({"action": [{"kind": "store", "directory": "/etc"}]}, "grammar"),
        ({"action": [{"kind": "store", "directory": "a/../../b"}]}, "grammar"),
        ({"action": [{"kind": "store", "max_bytes": 1}]}, "max_bytes"),
        ({"report": [{"kind": "json_lines", "every_s": 0}]}, "every_s"),
        ({"serving": {"port": 70000}}, "port"),
        ({"runtime": {"threads": 0}}, "threads"),
        ({"extra": 1}, "unknown field 'extra'"),
    ],
)
def test_what_the_runtime_cannot_do_is_refused_with_its_field(changes, words):
    with pytest.raises(PipelineInvalid, match="(?s).*" + words):
        stages_of(some_stages(**changes))


def test_a_provider_that_is_not_named_is_left_to_the_engine():
    stages = stages_of(some_stages(runtime={"threads": 2, "provider": None, "precision": "f32"}))
    assert stages.engine.provider == ""
    assert stages.engine.threads == 2


def test_the_lab_preprocessing_is_what_the_model_was_trained_with():
    stages = stages_of(some_stages())
    assert [type(s).__name__ for s in stages.preprocess] == [
        "Resize",
        "Colour",
        "Normalise",
        "Layout",
    ]
    assert PREPROCESS[0]["filter"] == "area"


def test_device_code_is_python_3_8():
    import ast

    root = Path(pipeline.__file__).parents[1]
    files = sorted(root.rglob("*.py"))
    assert len(files) > 20
    for path in files:
        ast.parse(path.read_text(), feature_version=(3, 8))
