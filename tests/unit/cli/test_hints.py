"""Every command that a message tells people to type is one that there is, with the options it names."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from edgeform.cli.main import cli

ROOT = Path(__file__).resolve().parents[3]
COMMAND = re.compile(r"(?:^|\n) *(edgeform [a-z][^\n`]*)|`(edgeform [a-z][^\n`]*)`")


def told():
    """(where, command line, whether it is to be typed as it stands) of every command in a string."""
    for folder in ("edgeform", "runtime"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for text in texts(ast.parse(file.read_text())):
                for found in COMMAND.finditer(text):
                    yield f"{file.relative_to(ROOT)}", found[1] or found[2], found[1] is not None


def texts(node: ast.AST):
    """Every string as it is shown; an f-string is one, not its parts."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(p.value if isinstance(p, ast.Constant) else "X" for p in parts)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from texts(child)


TOLD = sorted(set(told()))


def test_there_are_commands_to_judge():
    assert len(TOLD) > 50


@pytest.mark.parametrize(("where", "line", "typed"), TOLD, ids=[f"{w}: {c}" for w, c, _ in TOLD])
def test_a_hint_names_a_command_that_there_is(where, line, typed):
    words = shlex.split(line.rstrip(".,;:)").replace("...", ""))[1:]
    command: click.Command | None = cli
    context = click.Context(cli, info_name="edgeform")
    while isinstance(command, click.Group):
        if not words:
            return  # a group alone shows its help
        command = command.get_command(context, words.pop(0))
        assert command is not None, f"{where}: {line}"
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
    options = {word for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known, f"{where}: {line}: {options - known}"
    needs = [p.name for p in command.params if isinstance(p, click.Argument) and p.required]
    assert not typed or not needs or set(words) - options, f"{where}: {line}: {needs} is missing"
