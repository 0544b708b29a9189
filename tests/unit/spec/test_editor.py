"""An editor with yaml-language-server and `edgeform validate` agree about everything a schema can say."""

import pytest
from support.editor import Editor, installed
from support.spec import CASES

from edgeform.shipped import shipped
from edgeform.spec import init
from edgeform.spec.read import read_bytes
from edgeform.spec.schema import validator
from edgeform.spec.shape import problems

EVERY = sorted(CASES.glob("*/*.yaml"))

OURS_ALONE = {
    "aliases": "anchors are YAML; we refuse them",
    "merge-key": "the editor knows `<<`; we refuse it",
    "tags": "the editor does not refuse standard tags",
    "too-deep": "the editor has no limit",
    "complex-key": "the editor takes it for a key",
    "not-a-number": "the editor has no largest integer",
    "control-character": "the editor reads it as a text",
    "empty-file": "a warning of ours",
}


@pytest.fixture(scope="module")
def underlined():
    program = installed()
    if isinstance(program, str):
        pytest.skip(program)
    with Editor(program, shipped("schemas", "site.schema.json")) as running:
        return running.problems(EVERY)


def ours(path):
    """Lines that we flag in this file alone, and the lines whose place an editor agrees about."""
    reading = read_bytes(path.read_bytes(), path.name)
    found = list(reading.diagnostics)
    for document in reading.documents:
        if isinstance(document.value, dict) or reading.is_whole:
            found += [p.diagnostic for p in problems(validator(), document.value, address="")]
    exact = {
        d.source.position.line
        for d in found
        if d.source is not None and d.code not in ("EF1003", "EF1007", "EF1011")
    }
    return bool(found), exact


@pytest.mark.parametrize("path", EVERY, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_the_editor_agrees(underlined, path):
    flagged, exact = ours(path)
    said = underlined[path]
    if path.stem in OURS_ALONE:
        return
    assert bool(said) == flagged, said
    assert exact <= {line for line, _ in said}, said


def test_the_first_line_that_init_writes_is_enough_for_an_editor(tmp_path):
    program = installed()
    if isinstance(program, str):
        pytest.skip(program)
    init.write(tmp_path, init.new_site("plant"))
    broken = tmp_path / "devices" / "first.yaml"
    broken.write_text(broken.read_text().replace("class: edge-pc", "clas: edge-pc"))
    with Editor(program) as running:
        said = {
            p.name: found for p, found in running.problems(list(tmp_path.rglob("*.yaml"))).items()
        }
    assert [line for line, _ in said.pop("first.yaml")] == [7]
    assert set(map(len, said.values())) == {0}
