"""`edgeform init`: a small site to begin with."""

from pathlib import Path

import click

from edgeform.spec.init import new_site, write


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", help="The site's name; default: the folder's.")
def command(folder: Path, name: str | None) -> int:
    """Write a starter site into FOLDER: one object per file, valid as it stands.

    Nothing that is there is ever overwritten.
    """
    for path in write(folder, new_site(name or folder.resolve().name)):
        click.echo(path)
    click.echo(f"Next, put your devices in and look:\n    edgeform validate {folder}", err=True)
    return 0
