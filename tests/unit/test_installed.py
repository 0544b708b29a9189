"""What is tested is what users get."""

import os
from pathlib import Path

import pytest

import edgeform
import edgeform_device
import edgeform_runtime
import edgeform_wire
from edgeform.shipped import shipped

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(
    os.environ.get("EDGEFORM_TESTED") != "wheel", reason="an editable installation is being tested"
)
@pytest.mark.parametrize("package", [edgeform, edgeform_device, edgeform_runtime, edgeform_wire])
def test_the_installed_wheel_is_tested_and_not_the_checkout(package):
    found = Path(package.__file__).resolve()
    assert "site-packages" in found.parts
    assert CHECKOUT not in (found.parents[1], found.parents[2])


@pytest.mark.parametrize("name", ["schemas/site.schema.json", "playbooks/day_zero.yaml"])
def test_schemas_and_playbooks_are_found_where_they_were_installed(name):
    assert shipped(*name.split("/")).is_file()
