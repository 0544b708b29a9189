"""The example of the documentation is a pipeline that both sides take."""

import json
import re
from pathlib import Path

import yaml

from edgeform.domain.hardware import Engine, RuntimeChoice
from edgeform.plan.contents import PipelineWriter
from edgeform.spec.check_stages import problems
from edgeform.spec.decode_pipeline import PipelineDecoder
from edgeform.spec.schema import validator
from edgeform_runtime.pipeline import stages_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "alert.md"


def the_example():
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return yaml.safe_load(text)


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
