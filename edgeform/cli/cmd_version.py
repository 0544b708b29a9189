"""`edgeform version`: what runs here, for a bug report."""

import platform
from importlib.metadata import version

import click

from edgeform.version import VERSION

SHOWN = ("pyinfra", "tuf", "cryptography", "click", "jsonschema")


@click.command("version")
def command() -> None:
    """Print the versions of edgeform and of what it stands on."""
    click.echo(f"edgeform {VERSION}")
    click.echo(f"python {platform.python_version()} ({platform.machine()}, {platform.system()})")
    for name in SHOWN:
        click.echo(f"{name} {version(name)}")
