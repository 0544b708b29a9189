"""`edgeform completion SHELL`: a completion script for the shell to evaluate."""

import click
from click.shell_completion import get_completion_class

from edgeform.errors import UsageError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a completion script, for example: eval "$(edgeform completion bash)"."""
    made = get_completion_class(shell)
    if made is None:
        raise UsageError(f"no completion for {shell}")
    click.echo(
        made(
            click.get_current_context().find_root().command, {}, "edgeform", "_EDGEFORM_COMPLETE"
        ).source()
    )
