"""Every document that is API: its golden bytes, its schema, and its reading on the oldest Python."""

import dataclasses
import json
import os
import shutil
import subprocess
import typing
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support.documents import EXAMPLES, a_signed_finding, some_findings
from support.plan import a_wide_plan

from edgeform import events
from edgeform.bundle.findings import decode_findings
from edgeform.plan import DevicePlan, changes, codec, decode, encode
from edgeform_device import probe

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "wire"
SCHEMA_OF = {
    "artifact.json": "manifest",
    "generation.json": "manifest",
    "golden.json": "manifest",
    "deployment.json": "deployment",
    "receipts.jsonl": "receipt",
    "finding.jsonl": "finding",
    "findings.json": "findings",
    "sealed.json": "sealed",
    "pipeline.json": "pipeline",
    "plan.json": "plan",
    "events.jsonl": "events",
}
OLDEST = "3.8"
EVENTS = (
    events.SiteLoaded(site="lab", devices=3, files=5, seconds=0.084),
    events.ObservationDone(device="cam-01", reached=True, detail="", seconds=0.21),
    events.Published(devices=3, timestamp_version=1772359200),
    events.TransferProgress(device="cam-01", sent_bytes=1_000_000, total_bytes=59_460_000),
    events.StepStarted(device="cam-01", step="upload"),
    events.StepFinished(device="cam-01", step="upload", detail="59.5 MB", seconds=4.2),
    events.DriverStep(
        device="cam-01", operation="apt", changed=True, succeeded=True, detail="dkms"
    ),
    events.CheckFinished(
        device="cam-01", pipeline="digits", check="golden", verdict="pass", detail="20 of 20"
    ),
    events.DeviceCommitted(device="cam-01", from_generation=41, to_generation=42, seconds=6.1),
    events.DeviceRolledBack(device="cam-02", from_generation=42, to_generation=41, reason="golden"),
    events.DeviceUnchanged(device="cam-03", generation=41),
    events.DeviceFailed(device="cam-04", outcome="dark", detail="no answer", hint="Look at it."),
    events.BuildNote(variant="digits/onnx-int8", text="int8: starting"),
    events.VariantFinished(
        variant="digits/onnx-int8", outcome="built", detail="accuracy 0.972", seconds=9.5
    ),
    events.Note(device="", text="the rollout ends"),
)


def schema(name):
    return Draft202012Validator(json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text()))


def values(name):
    document = (GOLDEN / name).read_text()
    return [json.loads(line) for line in document.splitlines()]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_wire_document_is_written_as_its_golden_file(name, golden):
    golden(f"wire/{name}", EXAMPLES[name][0]())


def test_findings_brought_home_are_written_as_their_golden_file_and_read_back(golden):
    golden("wire/findings.json", some_findings())
    assert decode_findings(some_findings()) == (a_signed_finding(),)


def test_plan_is_written_as_its_golden_file_and_reads_back(golden):
    document = encode(a_wide_plan())
    golden("wire/plan.json", document)
    assert decode(document) == a_wide_plan()


def test_events_are_written_as_their_golden_file(golden):
    lines = [json.dumps(events.to_json(event), separators=(",", ":")) for event in EVENTS]
    golden("wire/events.jsonl", "\n".join(lines) + "\n")


def test_every_kind_of_change_situation_and_event_has_its_example():
    plan = a_wide_plan()
    assert {type(x) for x in plan.devices[0].changes} == set(typing.get_args(changes.Change))
    assert {type(x) for x in plan.devices} == set(typing.get_args(DevicePlan))
    assert {type(x) for x in EVENTS} == set(typing.get_args(events.Event))


@pytest.mark.parametrize("name", sorted({*SCHEMA_OF.values(), "facts"}))
def test_schema_is_a_valid_schema(name):
    Draft202012Validator.check_schema(schema(name).schema)


@pytest.mark.parametrize("name", sorted(SCHEMA_OF))
def test_golden_file_follows_its_schema(name):
    for value in values(name):
        schema(SCHEMA_OF[name]).validate(value)


@pytest.mark.parametrize("name", sorted(set(SCHEMA_OF) - {"plan.json", "events.jsonl"}))
def test_a_wire_schema_refuses_an_unknown_and_a_missing_field(name):
    (value,) = values(name)
    validator = schema(SCHEMA_OF[name])
    assert not validator.is_valid(value | {"surprise": 1})
    optional = {"frame"}
    for field in set(value) - optional:
        assert not validator.is_valid({k: v for k, v in value.items() if k != field}), field


def test_a_plan_schema_knows_no_other_change_but_lets_a_newer_minor_add_fields():
    (value,) = values("plan.json")
    assert schema("plan").is_valid(value | {"weather": "fine"})
    value["devices"][0]["changes"][0]["change"] = "format_disk"
    assert not schema("plan").is_valid(value)


def test_plan_schema_has_exactly_the_fields_of_the_values():
    found = schema("plan").schema["$defs"]
    for kind in (*typing.get_args(changes.Change), *typing.get_args(DevicePlan)):
        fields = {f.name for f in dataclasses.fields(kind)}
        told = set(found[codec.name_of(kind)]["properties"]) - {"change", "address", "situation"}
        assert told == fields, kind


def test_what_the_real_probe_answers_follows_the_facts_schema():
    asked = {
        "packages": ["libc6"],
        "modules": ["ext4"],
        "files": ["/etc/hostname"],
        "sysctl": ["kernel.ostype"],
    }
    schema("facts").validate(probe.probe(asked))


def test_wire_tests_pass_bare_on_the_oldest_python():
    """With nothing installed, as on a device."""
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{OLDEST}.*/bin/python3"))
    # pyenv's shim on PATH answers for versions that it does not run, so its own folder goes first.
    python = str(pyenv[0]) if pyenv else shutil.which(f"python{OLDEST}")
    if python is None:
        pytest.skip(f"Python {OLDEST} is not on this machine")
    ran = subprocess.run(
        (python, "-m", "unittest", "discover", "-s", "unit/wire"),
        cwd=ROOT / "tests",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Ran 0 tests" not in ran.stderr
