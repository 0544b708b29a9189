"""The schema, the domain and the decoder speak about the same things."""

import json
from dataclasses import fields

import pytest
from support.stages import BY_STAGE

from edgeform.domain import artifacts, hardware, pipeline, site
from edgeform.shipped import shipped
from edgeform.spec import codes_file, codes_site
from edgeform.spec.read import read_bytes
from edgeform.spec.schema import definition, site_schema, validator

OPERATORS = [
    pytest.param(stage, type(operator), id=f"{stage}-{operator.kind}")
    for stage, examples in BY_STAGE.items()
    for operator, _ in examples
]


def operator_rule(stage, operator):
    """The definition that the stage refers to: two stages may have operators of one name."""
    rule = definition("Pipeline")["properties"][stage]
    choice = rule.get("items", rule)["properties"][operator.kind]
    return definition(choice["$ref"].rsplit("/", 1)[1])


@pytest.mark.parametrize(("stage", "operator"), OPERATORS)
def test_an_operator_has_the_fields_of_its_dataclass(stage, operator):
    assert set(operator_rule(stage, operator)["properties"]) == {f.name for f in fields(operator)}


@pytest.mark.parametrize(("stage", "operator"), OPERATORS)
def test_an_operators_defaults_are_those_of_its_dataclass(stage, operator):
    for field in fields(operator):
        rule = operator_rule(stage, operator)["properties"][field.name]
        if "default" in rule and not isinstance(rule["default"], str):
            default = field.default
            assert rule["default"] == (list(default) if isinstance(default, tuple) else default)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connect", site.Connect),
        ("checks", pipeline.Checks),
        ("limits", pipeline.Limits),
        ("serving", pipeline.Serving),
        ("runtime", hardware.RuntimeChoice),
    ],
)
def test_a_definition_has_the_fields_of_its_dataclass(name, value):
    assert set(definition(name)["properties"]) == {f.name for f in fields(value)}


def test_choices_are_those_of_the_domain():
    runtime = definition("runtime")["properties"]["engine"]["enum"]
    assert {e for e in runtime if e} == {str(e) for e in hardware.Engine}
    accelerators = definition("HardwareClass")["properties"]["accelerator"]["enum"]
    assert {a for a in accelerators if a} == set(hardware.ACCELERATORS)
    rules = definition("Model")["properties"]["version"]["properties"]
    assert set(rules) == {str(r) for r in artifacts.VersionRule}


def every_rule(rule, path=""):
    if isinstance(rule, dict):
        yield path, rule
        for key, value in rule.items():
            yield from every_rule(value, f"{path}/{key}")
    elif isinstance(rule, list):
        for number, value in enumerate(rule):
            yield from every_rule(value, f"{path}/{number}")


def test_every_field_is_described_and_every_object_closed():
    for path, rule in every_rule(site_schema()):
        if "/if" in path:
            continue
        for name, field in rule.get("properties", {}).items():
            if isinstance(field, dict):
                assert "description" in field or "$ref" in field, f"{path}/{name}"
        if rule.get("type") == "object" and path != "/properties/spec":
            assert "additionalProperties" in rule, path


def test_a_pattern_always_says_what_it_wants():
    for path, rule in every_rule(site_schema()):
        if (
            "pattern" in rule
            and "properties" not in path.rsplit("/", 1)[-1]
            and isinstance(rule["pattern"], str)
        ):
            assert "patternErrorMessage" in rule, path


def test_the_schemas_are_valid_schemas():
    from jsonschema import Draft202012Validator

    for name in ("site.schema.json", "lock.schema.json"):
        Draft202012Validator.check_schema(json.loads(shipped("schemas", name).read_text()))


@pytest.mark.parametrize("name", ["abc\n", "a\n", "a..b", "-a", "a-", "", "A", "a" * 64, "ä"])
def test_both_validators_refuse_names_that_the_domain_refuses(name):
    assert list(validator("name", fast=False).findings(name))
    assert list(validator("name", fast=True).findings(name))


@pytest.mark.parametrize("name", ["a", "a-b", "a.b", "a_b", "0", "a--b", "a" * 63])
def test_both_validators_accept_names_that_the_domain_accepts(name):
    from edgeform.domain.names import is_name

    assert is_name(name)
    assert not list(validator("name", fast=False).findings(name))
    assert not list(validator("name", fast=True).findings(name))


def test_codes_are_unique_and_explained():
    every = (*codes_file.ALL, *codes_site.ALL)
    assert len({c.code for c in every}) == len(every)
    for code in every:
        assert code.summary
        assert len(code.text) > 40
        assert code.cause


def test_every_code_has_an_example_in_the_corpus():
    from support.spec import CASES

    golden = CASES.parents[1] / "golden" / "spec"
    said = "".join(path.read_text() for path in golden.glob("*.txt"))
    elsewhere = {"EF1017", "EF1019", "EF1023"}  # test_read, test_layers
    missing = {c.code for c in (*codes_file.ALL, *codes_site.ALL) if c.code not in said}
    assert missing <= elsewhere


def test_documents_in_the_schema_read_as_they_are_written():
    text = shipped("schemas", "site.schema.json").read_bytes()
    assert read_bytes(text, "site.schema.json").documents[0].value == json.loads(text)
