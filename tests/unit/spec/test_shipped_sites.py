"""What ships: builtin classes, the lab, the factory, and what init writes."""

from pathlib import Path

import pytest

from edgeform.domain.hardware import ACCELERATORS, Engine
from edgeform.errors import UsageError
from edgeform.spec import init
from edgeform.spec.classes import Classes, builtin_content, builtin_names
from edgeform.spec.decode_device import hardware, lacking
from edgeform.spec.fields import block
from edgeform.spec.load import load
from edgeform.spec.objects import Catalog
from edgeform.spec.read import read_bytes
from edgeform.spec.schema import validator
from edgeform.spec.shape import problems

SITES = Path(__file__).parents[3] / "site"


@pytest.mark.parametrize("name", builtin_names())
def test_a_builtin_class_is_valid_and_complete(name):
    reading = read_bytes(builtin_content(name), name)
    assert reading.diagnostics == ()
    (document,) = reading.documents
    assert problems(validator(), document.value, address="") == ()
    assert document.value["metadata"]["name"] == name.removeprefix("builtin/")
    classes = Classes(Catalog())
    merged = block(classes.value(name), "hardware")
    assert lacking(merged) == ()
    found = hardware(name, classes.names_of(name), merged)
    assert found.glibc
    assert found.python
    assert found.lineage[0] == name


@pytest.mark.parametrize("name", ["lab", "factory"])
def test_a_site_of_the_repository_is_valid_without_a_warning(name):
    found = load(SITES / name)
    assert found.diagnostics == ()
    assert found.site is not None


def test_the_lab_has_three_devices_that_run_the_digits():
    site = load(SITES / "lab").checked()
    assert [d.name for d in site.devices] == ["dev1", "dev2", "dev3"]
    assert {d.pipelines[0].infer.model for d in site.devices} == {"digits"}


def test_the_factory_uses_every_builtin_class_and_engine():
    site = load(SITES / "factory").checked()
    used = {name for d in site.devices for name in d.hardware.lineage}
    assert set(builtin_names()) <= used
    assert {d.hardware.runtime.engine for d in site.devices} == set(Engine)
    untried = {"hailo-10h"}
    assert {d.hardware.accelerator for d in site.devices} == set(ACCELERATORS) - untried


def test_what_init_writes_is_valid_without_a_warning(tmp_path):
    written = init.write(tmp_path / "plant", init.new_site("plant"))
    found = load(tmp_path / "plant")
    assert found.diagnostics == ()
    assert found.checked().name == "plant"
    for path in written:
        if path.suffix == ".yaml":
            first = path.read_text().splitlines()[0]
            schema = first.removeprefix("# yaml-language-server: $schema=")
            assert (path.parent / schema).resolve() == (tmp_path / "plant" / init.SCHEMA_FILE)
            assert len(read_bytes(path.read_bytes(), path.name).documents) == 1


def test_init_overwrites_nothing(tmp_path):
    (tmp_path / "site.yaml").write_text("mine\n")
    with pytest.raises(UsageError):
        init.write(tmp_path, init.new_site("plant"))
    assert [p.name for p in tmp_path.iterdir()] == ["site.yaml"]


def test_init_refuses_a_name_that_cannot_be_one():
    with pytest.raises(UsageError):
        init.new_site("My Plant")
