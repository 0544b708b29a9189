"""`edgeform schema`: the JSON Schemas of everything that is API."""

import click

from edgeform.errors import UsageError
from edgeform.shipped import shipped

SUFFIX = ".schema.json"


@click.command("schema")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Print the JSON Schema NAME; without a name, list the names.

    To have an editor check a site, save the schema `site` and name it in the first line of each file.
    """
    folder = shipped("schemas")
    names = sorted(f.name.removesuffix(SUFFIX) for f in folder.glob(f"*{SUFFIX}"))
    if name is None:
        click.echo("\n".join(names))
        return
    if name not in names:
        raise UsageError(f"There is no schema {name!r}.", hint=f"There are: {', '.join(names)}")
    click.echo((folder / f"{name}{SUFFIX}").read_text("utf-8"), nl=False)
