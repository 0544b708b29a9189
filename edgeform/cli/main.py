"""The command line: one lazily imported module per verb, and the one place that turns errors into exits.

`edgeform --help` must stay fast and must not import pyinfra: the table below carries the short helps,
so that a verb's module is imported only when the verb is used.
"""

import importlib
import os
import sys
from collections.abc import Sequence

import click

from edgeform.errors import EdgeformError, SpecInvalid
from edgeform.version import VERSION

VERBS: dict[str, str] = {
    "init": "write a starter site",
    "bootstrap": "day zero: user, keys, sudo, Python and time, through Ansible",
    "enroll": "pin a device's host key, install the tool and the root of trust",
    "validate": "check a site and show every problem at once",
    "explain": "tell where a value comes from, or what a code means",
    "schema": "print a JSON Schema",
    "lock": "resolve model versions and closures into edgeform.lock",
    "registry": "look into the registries that models come from",
    "model": "inspect model files, take them in and give them out, with signatures",
    "build": "make variants by their recipes, and prove that they are right",
    "plan": "show what would change on each device",
    "policy": "judge a plan by a team's own rules",
    "publish": "sign one deployment per device",
    "apply": "carry a plan to the devices and prove it there",
    "check": "run the checks on what is running now",
    "status": "show generation, health and transactions",
    "generations": "list the generations a device keeps",
    "diff": "compare two generations of a device",
    "rollback": "return to a kept generation",
    "release": "let a device try again what failed there",
    "drift": "compare devices with their last confirmed generation",
    "logs": "show a pipeline's log",
    "watch": "follow what pipelines do: frames, times, drops, temperature",
    "capture": "fetch a pipeline's recent frames from a device",
    "replay": "run a capture again here and compare",
    "receipts": "show and verify what devices reported",
    "history": "tell what happened to devices",
    "report": "show a fleet on one page",
    "serve": "show a fleet live on a page of this machine, read-only",
    "gc": "free what no generation needs",
    "doctor": "look for what is in the way, here and on devices",
    "trust": "keys, roles and signed metadata",
    "secret": "keep secrets in an encrypted file",
    "store": "carry artifacts between machines",
    "ci": "templates, one comment, and the plan that was kept",
    "bundle": "make, check, apply and bring home a stick for a site without a network",
    "lab": "devices to try a site on, without hardware",
    "version": "print versions",
    "completion": "print a shell completion script",
}

SAME_AS_USAGE = 64
INTERRUPTED = 130


class Verbs(click.Group):
    """The verbs in the order of a day's work, imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"edgeform.cli.cmd_{cmd_name}")
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__}.command is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            import difflib  # noqa: PLC0415 - only a typing error pays for it

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " `edgeform --help` lists the verbs."
            raise click.UsageError(f"There is no verb {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="edgeform", message="%(prog)s %(version)s")
def cli() -> None:
    """Declarative provisioning for edge AI.

    A site spec in Git says what each device shall run. `plan` shows what would change, `apply` carries it
    over SSH, and each device proves by inference that the new generation is right, or returns by itself
    to the old one.

    Results go to standard output, talk to standard error. Exit codes are listed in docs/reference/cli.md.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """The exit code of a command line; what it has to say has been said."""
    try:
        result = cli.main(arguments, prog_name="edgeform", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SpecInvalid as exc:
        _say(exc.rendered_diagnostics())
        return exc.exit_code
    except EdgeformError as exc:
        _say(exc.rendered())
        return exc.exit_code
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        exc.show(sys.stderr)
        return SAME_AS_USAGE
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of standard output went away, as `head` does: nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001  # the one place: anything else is our bug, and says so
        import traceback  # noqa: PLC0415 - only a bug pays for it

        _say(traceback.format_exc())
        _say("This is a bug in edgeform. The lines above are what its authors need to see.")
        return 1


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
