"""Reference pages from the code: `python docs/generate.py cli|codes` writes docs/reference/<page>.md.

A test compares the pages with what this would write, so they cannot go stale.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from edgeform import errors
from edgeform.cli.codes import every_code
from edgeform.cli.main import VERBS, cli

FOLDER = Path(__file__).parent / "reference"
HELP_WIDTH = 88


def cli_page() -> str:
    """Every verb with its help, and the exit codes."""
    lines = [
        "# The command line",
        "",
        "Written by `python docs/generate.py cli`; do not edit.",
        "",
        "`edgeform VERB [SITE] [-l SELECTOR]`. Results go to standard output, talk to standard error;",
        "`--json` prints one JSON object a line. Verbs that look never write; verbs that change ask,",
        "unless `--yes`.",
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in exit_codes()),
        "",
        "Where several apply, the one that most needs a person wins: "
        + " > ".join(map(str, errors.WORST_FIRST))
        + ".",
        "",
        "## Verbs",
    ]
    for name, text in help_texts():
        depth = "###" if " " not in name.removeprefix("edgeform ") else "####"
        lines += ["", f"{depth} {name}", "", "```", text, "```"]
    return "\n".join(lines) + "\n"


def exit_codes() -> Iterator[tuple[int, str]]:
    """Every exit code with its meaning, from the tree of errors."""
    yield 0, "done, or nothing to do"
    found = {1: "internal error, which is our bug", errors.CHANGES_PRESENT: CHANGES}
    found |= {
        kind.exit_code: meaning(kind)
        for kind in errors.EdgeformError.__subclasses__()
        if kind.__module__ == errors.__name__
    }
    found |= EXACT
    yield from sorted(found.items())


CHANGES = (
    "changes present (`plan --detailed-exitcode`), drift found or a device held (`drift`),"
    " a check failed"
)
EXACT = {
    3: "site invalid, or a device blocked",
    5: "rolled back: everything healthy on the old generation",
    9: "incomplete: some devices unreachable, pending or dark",
    20: "needs hands: a device is neither healthy on the old nor on the new",
    130: "interrupted",
}


def meaning(kind: type[errors.EdgeformError]) -> str:
    return kind.summary[0].lower() + kind.summary[1:]


def help_texts() -> Iterator[tuple[str, str]]:
    """(command, its --help) for every verb and what is below it."""
    root = click.Context(
        cli, info_name="edgeform", terminal_width=HELP_WIDTH, **cli.context_settings
    )
    for verb in VERBS:
        command = cli.get_command(root, verb)
        if command is None:
            raise AssertionError(verb)
        yield from _help(command, root, verb)


def _help(command: click.Command, parent: click.Context, name: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=HELP_WIDTH)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _help(found, context, inner)


def codes_page() -> str:
    """Every diagnostic code with its text."""
    lines = [
        "# Diagnostic codes",
        "",
        "Written by `python docs/generate.py codes`; do not edit. `edgeform explain CODE` prints the same.",
    ]
    for code in every_code():
        lines += ["", f"## {code.code}: {code.summary}", "", code.text]
        lines += ["", f"*Usual cause:* {code.cause}"]
        if code.example:
            lines += ["", "```yaml", code.example, "```"]
    return "\n".join(lines) + "\n"


PAGES = {"cli": cli_page, "codes": codes_page}
HELP = Path(__file__).parents[1] / "edgeform" / "cli" / "help.txt"
"""What `edgeform --help` prints without importing click."""


def help_text() -> str:
    """As click writes it on a terminal that is wide enough."""
    context = click.Context(cli, info_name="edgeform", terminal_width=78, **cli.context_settings)
    return cli.get_help(context) + "\n"


def main(names: list[str]) -> None:
    for name in names or list(PAGES):
        (FOLDER / f"{name}.md").write_text(PAGES[name](), encoding="utf-8")
    HELP.write_text(help_text(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
