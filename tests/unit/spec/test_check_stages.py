"""The example of the documentation is a pipeline that both sides take."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from edgeform.domain.hardware import Engine, RuntimeChoice
from edgeform.plan.contents import PipelineWriter
from edgeform.spec.check_stages import problems
from edgeform.spec.decode_pipeline import PipelineDecoder
from edgeform.spec.schema import validator
from edgeform_runtime.pipeline import stages_of

PAGES = Path(__file__).resolve().parents[3] / "docs" / "how-to"


def blocks_of(page):
    texts = re.findall(r"```yaml\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)
    return [yaml.safe_load(text) for text in texts]


def the_example():
    return blocks_of("alert.md")[0]


PARTS = [
    pytest.param(part, id=f"{page}-{number}")
    for page in ("alert.md", "report-to-a-broker.md")
    for number, part in enumerate(blocks_of(page))
    if "kind" not in part
]


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_pipelines_in_the_documentation_are_right_on_both_sides(part):
    example = the_example()
    example["spec"] |= part
    assert list(validator().findings(example)) == []
    pipeline = PipelineDecoder().pipeline("helmets", example["spec"])
    if "secrets" in part:  # an example whole in itself
        pipeline = replace(pipeline, report=())
        assert list(problems(pipeline)) == []
    runtime = RuntimeChoice(engine=Engine.ONNXRUNTIME)
    stages_of(json.loads(json.dumps(PipelineWriter().stages(pipeline, runtime))))


def test_the_example_of_the_documentation_is_right_on_both_sides():
    example = the_example()
    assert list(validator().findings(example)) == []
    pipeline = PipelineDecoder().pipeline("helmets", example["spec"])
    assert list(problems(pipeline)) == []
    runtime = RuntimeChoice(engine=Engine.ONNXRUNTIME)
    found = stages_of(json.loads(json.dumps(PipelineWriter().stages(pipeline, runtime))))
    assert found.actions[0].trigger.for_s == 2.0
    assert found.reports[0].broker.certificate == "device-cert"


def test_a_secret_that_is_not_listed_is_found():
    example = the_example()
    example["spec"]["secrets"].remove("device-key")
    (found,) = problems(PipelineDecoder().pipeline("helmets", example["spec"]))
    assert found[1] == ("report", 0, "mqtt", "broker", "key")
