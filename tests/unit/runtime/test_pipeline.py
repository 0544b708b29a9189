import json
from pathlib import Path

import pytest
from support.runtime import PREPROCESS, some_stages

from edgeform.domain import pipeline as domain
from edgeform_runtime import pipeline
from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.pipeline import stages_of


def test_the_runtime_knows_every_operator_that_a_site_can_ask_for():
    pairs = [
        (domain.Capture, pipeline._CAPTURE),
        (domain.Preprocess, pipeline._PREPROCESS),
        (domain.Postprocess, pipeline._POSTPROCESS),
        (domain.Action, pipeline._ACTION),
        (domain.Report, pipeline._REPORT),
    ]
    for union, known in pairs:
        kinds = {member.kind for member in getattr(union, "__args__", (union,))}
        assert kinds == set(known)


@pytest.mark.parametrize(
    "operator",
    [
        domain.ImageDirectory(path="in"),
        domain.HttpPush(),
        domain.Resize(width=4, height=5),
        domain.Colour(to="grey"),
        domain.Normalise(),
        domain.Layout(),
        domain.Classify(),
        domain.StoreLocally(),
        domain.ReportLines(),
    ],
)
def test_defaults_are_the_same_on_both_sides(operator):
    document = json.loads(json.dumps(dict(domain.operator_json(operator))))
    known = {
        **pipeline._CAPTURE,
        **pipeline._PREPROCESS,
        **pipeline._POSTPROCESS,
        **pipeline._ACTION,
        **pipeline._REPORT,
    }
    full = pipeline._operator(document, "operator", known)
    needed = {k: v for k, v in document.items() if k in ("kind", "path", "width", "height", "to")}
    assert pipeline._operator(needed, "operator", known) == full


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


def test_a_provider_that_is_not_named_means_the_cpu():
    stages = stages_of(some_stages(runtime={"threads": 2, "provider": None, "precision": "f32"}))
    assert stages.engine.provider == "CPUExecutionProvider"
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

    root = Path(pipeline.__file__).parent
    files = sorted(root.rglob("*.py"))
    assert len(files) > 20
    for path in files:
        ast.parse(path.read_text(), feature_version=(3, 8))
