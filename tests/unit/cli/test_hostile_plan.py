"""A plan file that somebody else wrote: shown without harm, and applied only where site and lock say the same."""

import json

import pytest
from support.locked_here import a_repository_here

ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202eexe.elif"


@pytest.fixture
def planned(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    _, here = a_repository_here(tmp_path, capsys)
    said = here.run("plan", "--out", str(tmp_path / "plan.json"))
    assert said.code == 0, said.err
    yield here
    here.end()


def with_plan(here, edit):
    file = here.folder / "plan.json"
    value = json.loads(file.read_text())
    edit(value)
    file.write_text(json.dumps(value))
    return str(file)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda v: v["devices"][0].update(device="not-of-this-site"), "does not have: 'not-of-this-site'"),
        (lambda v: v["devices"][0].update(device="../../etc/passwd"), "does not have: '../../etc/passwd'"),
        (lambda v: v.update(site="another"), "The plan is for the site 'another'; this one is 'lab'."),
        (lambda v: v["devices"][0].update(target="sha256:" + "0" * 64), "site and lock now ask for"),
        (lambda v: v.update(spec_digest="sha256:" + "0" * 64), "moved since the plan was made"),
        (lambda v: v.update(lock_digest="sha256:" + "0" * 64), "moved since the plan was made"),
        (lambda v: v["devices"][0]["base"].update(generation=41), "made for generation 41"),
    ],
)  # fmt: skip
def test_a_plan_that_says_something_else_than_the_site_is_refused_and_nothing_is_touched(
    planned, edit, words
):
    file = with_plan(planned, edit)
    said = planned.run("apply", file, "--yes")
    assert said.code == 6, said.err
    assert words in said.err
    assert "Traceback" not in said.err
    assert not planned.prefix().exists()
    if "generation 41" not in words:
        published = planned.run("publish", file)
        assert published.code != 0
        assert "Traceback" not in published.err


@pytest.mark.parametrize(
    "form", ["text", "markdown", "junit", "sarif", "codequality", "html", "json"]
)
def test_what_it_says_steers_no_terminal_and_no_page(planned, form):
    def edit(value):
        value["selector"] = value["made_by"] = ESCAPE
        value["devices"][0]["device"] = ESCAPE

    said = planned.run("plan", "show", with_plan(planned, edit), "-o", form)
    assert said.code == 0, said.err
    assert "\x1b" not in said.out + said.err
    assert form == "json" or "\u202e" not in said.out


@pytest.mark.parametrize(
    "content", [b"[" * 2_000_000, b'{"a":' * 100_000, b"\x00" * 100, b"{}", b"PK\x03\x04"]
)
def test_what_is_no_plan_is_corrupt(planned, content):
    file = planned.folder / "plan.json"
    file.write_bytes(content)
    for verb in (
        ("apply", str(file), "--yes"),
        ("plan", "show", str(file)),
        ("policy", str(file), str(planned.folder)),
    ):
        said = planned.run(*verb)
        assert said.code == 12, (verb, said.err)
        assert "Traceback" not in said.err


def test_a_file_without_an_end_is_not_read_to_it(planned):
    said = planned.run("plan", "show", "/dev/zero")
    assert said.code == 12, said.err
    assert "more than" in said.err


@pytest.mark.parametrize("name", ["nosuch.json", "."])
def test_a_plan_that_is_not_there_is_wrong_usage(planned, name):
    assert planned.run("plan", "show", name).code == 64
