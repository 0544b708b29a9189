"""Options that mean the same in every verb."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PLAN_DOCUMENTS = ("markdown", "junit", "sarif", "codequality", "html")
SITE_DOCUMENTS = ("sarif", "codequality")
"""What `report.documents` can make; named here, because making them takes a while to import."""

site_argument = click.argument("site", required=False, metavar="[SITE]")

select_option = click.option(
    "-l",
    "--select",
    "selectors",
    multiple=True,
    metavar="SELECTOR",
    help="Devices: a name, a glob, or key=value; a comma means and, a second -l means or.",
)


def output_option(*formats: str) -> Callable[[F], F]:
    """`-o FORMAT` and its short form `--json`; the first format is the default."""

    def decorate(function: F) -> F:
        choice = click.option(
            "-o",
            "--output",
            type=click.Choice(formats),
            default=formats[0],
            show_default=True,
            help="Format of the result on standard output.",
        )
        json = click.option("--json", "output", flag_value="json", help="The same as -o json.")
        return choice(json(function)) if "json" in formats else choice(function)

    return decorate


yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
