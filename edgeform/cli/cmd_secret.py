"""`edgeform secret`: names and values in the site's encrypted file; values are never shown."""

import os
import sys

import click

from edgeform.cli.workspace import find_workspace
from edgeform.errors import UsageError
from edgeform.secrets.encrypted_file import MAX_VALUE_BYTES, SecretsFile
from edgeform.secrets.passphrase import SECRETS_VARIABLE, read_passphrase
from edgeform.secrets.value import SecretValue

site_option = click.option("--site", help="The site's folder, if it is not the current one.")


@click.group("secret")
def command() -> None:
    """Keep secrets in the site's encrypted file, `secrets.enc.json`, which may be in Git.

    The passphrase comes from EDGEFORM_SECRETS_PASSPHRASE, or from the file that
    EDGEFORM_SECRETS_PASSPHRASE_FILE names. A site refers to a secret as `secret:
    file/secrets.enc.json#NAME`.
    """


def _file(site: str | None) -> SecretsFile:
    workspace = find_workspace(site)
    return SecretsFile(
        file=workspace.secrets_file,
        passphrase=lambda: read_passphrase(SECRETS_VARIABLE, os.environ),
    )


@command.command("set")
@click.argument("name")
@site_option
def set_command(name: str, site: str | None) -> None:
    """Put the value on standard input under NAME; at a terminal it is asked for, unseen."""
    _file(site).set(name, _value(name))
    click.echo(f"{name}: kept; the site says `secret: file/secrets.enc.json#{name}`", err=True)


def _value(name: str) -> SecretValue:
    """The value; one line feed at its end belongs to the typing, not to the secret."""
    if sys.stdin.isatty():
        return SecretValue(
            click.prompt(
                f"value of {name}", hide_input=True, confirmation_prompt=True, err=True
            ).encode()
        )
    content = sys.stdin.buffer.read(MAX_VALUE_BYTES + 2)
    value = content.removesuffix(b"\n").removesuffix(b"\r")
    if not value:
        raise UsageError("There is no value on standard input.")
    return SecretValue(value)


@command.command("list")
@site_option
def list_command(site: str | None) -> None:
    """List the names."""
    for name in _file(site).names():
        click.echo(name)


@command.command("rm")
@click.argument("name")
@site_option
def rm_command(name: str, site: str | None) -> None:
    """Take NAME out of the file; devices drop it with the next apply."""
    _file(site).remove(name)
    click.echo(f"{name}: removed", err=True)
