"""The table of steps, the modules that do them and the schema say the same."""

import ast
import json
from pathlib import Path

import pytest
from support.building import a_build

from edgeform.build.builders import builder_of
from edgeform.domain.builds import LADDER, Gate, Step
from edgeform.domain.recipes import (
    KINDS,
    READ_BY,
    format_of,
    precision_of,
    reference_engine,
    rungs,
    source_format,
    whole,
)

ROOT = Path(__file__).parents[3]
STEPS = ROOT / "runtime" / "edgeform_builder" / "steps"
SCHEMA = json.loads((ROOT / "schemas" / "site.schema.json").read_text())["$defs"]
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def modules():
    tree = ast.parse((STEPS / "__init__.py").read_text())
    found = next(n for n in ast.walk(tree) if isinstance(n, ast.AnnAssign))
    return ast.literal_eval(found.value)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_each_kind_has_a_module_a_builder_and_a_definition(kind):
    module = STEPS / f"{modules()[kind.name]}.py"
    assert module.is_file()
    assert "def run(job: Job) -> Result:" in module.read_text()
    assert builder_of(kind.builder).packages
    assert any(kind.gives in formats for formats in READ_BY.values())
    definition = SCHEMA[f"step_{kind.name}"]
    assert definition["description"] == kind.about
    for parameter in kind.parameters:
        told = definition["properties"][parameter.name]
        assert told["type"] == TYPES[type(parameter.default)]
        assert told["default"] == parameter.default
        assert told["description"] == parameter.about
        assert tuple(told.get("enum", ())) == parameter.choices
        assert told.get("minimum") == parameter.minimum
        assert told.get("maximum") == parameter.maximum
    assert set(definition["properties"]) == {p.name for p in kind.parameters}


def test_the_schema_knows_exactly_these_steps():
    step = SCHEMA["step"]
    assert set(step["properties"]) == set(KINDS)
    assert step["pattern"] == f"^({'|'.join(KINDS)})$"
    assert tuple(SCHEMA["build"]["properties"]["gate"]["properties"]["ladder"]["default"]) == LADDER


def test_the_page_lists_every_step_with_its_parameters():
    page = (ROOT / "docs" / "reference" / "recipes.md").read_text()
    for kind in KINDS.values():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{kind.name}` |"))
        for parameter in kind.parameters:
            assert f"`{parameter.name}`" in line


@pytest.mark.parametrize("name", sorted({kind.builder for kind in KINDS.values()}))
def test_no_builder_brings_torch_or_tensorflow(name):
    named = {package for package, _ in builder_of(name).packages}
    assert not named & {"torch", "tensorflow", "jax", "onnxruntime-gpu"}


@pytest.mark.parametrize("name", sorted({kind.builder for kind in KINDS.values()}))
def test_every_package_of_a_builder_is_fixed_by_hash(name):
    lines = builder_of(name).lock.splitlines()
    pins = [at for at, line in enumerate(lines) if "==" in line and not line.startswith(" ")]
    assert pins
    for at in pins:
        assert "--hash=sha256:" in lines[at + 1], lines[at]


def test_the_ladder_goes_from_per_channel_to_fp16_and_tries_nothing_twice():
    step = Step(name="int8", parameters=(("per_channel", False),))
    names = [name for name, _ in rungs(a_build("clean", step))]
    assert names == ["as asked", *LADDER]
    usual = [name for name, _ in rungs(a_build("clean", "int8"))]
    assert usual == ["as asked", "more-calibration", "mixed-precision", "fp16"]
    every = [tuple(whole(s) for s in recipe) for _, recipe in rungs(a_build("clean", step))]
    assert len(set(every)) == len(every)


def test_a_gate_without_a_ladder_tries_only_what_was_asked():
    assert [n for n, _ in rungs(a_build("int8", gate=Gate(ladder=())))] == ["as asked"]


def test_a_recipe_says_what_comes_out():
    recipe = a_build("clean", "int8").recipe
    assert (precision_of(recipe), format_of(recipe)) == ("int8", "onnx")
    assert precision_of(a_build("clean").recipe) == "f32"


def test_a_source_is_what_its_ending_says_and_is_run_by_what_opens_it():
    assert (source_format("model.tflite"), reference_engine("model.tflite")) == ("tflite", "litert")
    assert (source_format("a/model.onnx"), reference_engine("a/model.onnx")) == (
        "onnx",
        "onnxruntime",
    )
