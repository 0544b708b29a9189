"""The corpus: every valid example is accepted in silence, every invalid one answered in the agreed words."""

import pytest
from support.spec import CASES, said, write_site

from edgeform.diagnostics import has_errors
from edgeform.spec.load import load
from edgeform.spec.read import read_bytes
from edgeform.spec.schema import validator
from edgeform.spec.shape import problems

VALID = sorted((CASES / "valid").glob("*.yaml"))
INVALID = sorted((CASES / "invalid").glob("*.yaml"))
ONLY_WARNED = {"empty-file", "missing-paths", "no-variant", "overlay-selects-nothing"}


def loaded(path, folder, monkeypatch):
    text = path.read_text()
    files = {"case.yaml": text}
    if not text.startswith("# alone"):
        files["base.yaml"] = (CASES / "base.yaml").read_text()
    write_site(folder, files)
    monkeypatch.chdir(folder)
    return load("site")


@pytest.mark.parametrize("path", VALID, ids=lambda p: p.stem)
def test_a_valid_example_is_accepted_without_a_word(path, tmp_path, monkeypatch):
    found = loaded(path, tmp_path, monkeypatch)
    assert found.diagnostics == ()
    assert found.site is not None


@pytest.mark.parametrize("path", INVALID, ids=lambda p: p.stem)
def test_an_invalid_example_is_answered_in_the_agreed_words(path, tmp_path, monkeypatch, golden):
    found = loaded(path, tmp_path, monkeypatch)
    assert found.diagnostics
    assert (found.site is not None) == (path.stem in ONLY_WARNED)
    assert has_errors(found.diagnostics) == (path.stem not in ONLY_WARNED)
    golden(f"spec/{path.stem}.txt", said(found))


@pytest.mark.parametrize("path", [*VALID, *INVALID], ids=lambda p: p.stem)
def test_both_validators_find_the_same(path):
    for document in read_bytes(path.read_bytes(), path.name).documents:
        fast = problems(validator(fast=True), document.value, address="x")
        plain = problems(validator(fast=False), document.value, address="x")
        assert {p.diagnostic for p in fast} == {p.diagnostic for p in plain}


def test_the_corpus_is_as_large_as_promised():
    assert len(INVALID) >= 40
    assert len(VALID) >= 12
