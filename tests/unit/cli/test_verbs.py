"""Every verb: its help, its exit codes, and what it costs to ask for help."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgeform import errors
from edgeform.cli import cmd_version
from edgeform.cli.main import VERBS, run

ROOT = Path(__file__).resolve().parents[3]


def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages():
    return generate()


def test_every_verb_has_its_module_and_its_help(pages, golden):
    texts: dict[str, list[str]] = {verb: [] for verb in VERBS}
    for path, text in pages.help_texts():
        assert text.splitlines()[2].strip(), path
        texts[path.split()[1]].append(text)
    for verb, found in texts.items():
        golden(f"help/{verb}.txt", "\n\n".join(found) + "\n")


def test_the_list_of_verbs(golden, capsys):
    assert run(["--help"]) == 0
    golden("help/edgeform.txt", capsys.readouterr().out)


def test_every_module_of_a_verb_is_a_verb():
    modules = (ROOT / "edgeform" / "cli").glob("cmd_*.py")
    assert {m.stem.removeprefix("cmd_") for m in modules} == set(VERBS)


def test_asking_for_help_imports_nothing_heavy():
    program = (
        "import sys\nfrom edgeform.cli.main import run\nassert run(['--help']) == 0\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        (sys.executable, "-c", program), capture_output=True, text=True, check=True
    )
    heavy = {"pyinfra", "gevent", "paramiko", "rich", "requests", "tuf", "cryptography", "yaml"}
    assert not heavy & set(done.stderr.split())


def every_error():
    kinds, found = [errors.EdgeformError], []
    while kinds:
        kind = kinds.pop()
        found.append(kind)
        kinds += kind.__subclasses__()
    return sorted((k for k in found if k.__module__ == "edgeform.errors"), key=lambda k: k.__name__)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_says_what_where_and_what_to_do_and_exits_with_its_code(kind, monkeypatch, capsys):
    def fail():
        if kind is errors.SpecInvalid:
            raise kind(())
        raise kind("This went wrong.", address="devices.cam-01", hint="Do this:\n    edgeform plan")

    monkeypatch.setattr(cmd_version.command, "callback", fail)
    assert run(["version"]) == kind.exit_code
    said = capsys.readouterr()
    assert said.out == ""
    if kind is not errors.SpecInvalid:
        assert said.err == (
            f"error: {kind.summary}\n  devices.cam-01\n  This went wrong.\n  Do this:\n      edgeform plan\n"
        )


def test_what_is_not_an_error_of_ours_is_called_a_bug(monkeypatch, capsys):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(cmd_version.command, "callback", fail)
    assert run(["version"]) == 1
    assert "This is a bug in edgeform." in capsys.readouterr().err


def test_ctrl_c_is_130(monkeypatch, capsys):
    def fail():
        raise click.Abort

    monkeypatch.setattr(cmd_version.command, "callback", fail)
    assert run(["version"]) == 130


def test_wrong_words_are_wrong_usage_and_the_nearest_verb_is_named(capsys):
    assert run(["statsu"]) == 64
    assert "Did you mean 'status'?" in capsys.readouterr().err
    assert run(["status", "--nonsense"]) == 64


@pytest.mark.parametrize("page", ["cli", "codes"])
def test_reference_pages_are_what_the_code_says(pages, page):
    written = (ROOT / "docs" / "reference" / f"{page}.md").read_text()
    assert written == pages.PAGES[page](), f"run: python docs/generate.py {page}"
