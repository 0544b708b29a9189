"""`edgeform lock`: resolve versions, build what the site needs, and write edgeform.lock."""

import tempfile
from pathlib import Path

import click

from edgeform.cli.building import ShelfBuilder
from edgeform.cli.cmd_publish import open_artifacts
from edgeform.cli.options import site_argument
from edgeform.cli.planning import load_site
from edgeform.cli.talking import talk
from edgeform.cli.workspace import Workspace, find_workspace
from edgeform.errors import Stale
from edgeform.events import Note
from edgeform.lock.lockfile import read, write
from edgeform.lock.resolve import Renewed, renewed
from edgeform.registry.open import registries_of


@click.command("lock")
@site_argument
@click.option(
    "--update", multiple=True, metavar="MODEL", help="Ask this model's rule again; * for all."
)
@click.option("--check", is_flag=True, help="Write nothing; exit 6 if the lock is out of date.")
def command(site: str | None, update: tuple[str, ...], check: bool) -> int:
    """Resolve every model to a version and its bytes, and every closure to a digest.

    What is locked stays until --update names it or the site asks for something else; so planning needs no
    registry and no builder.
    """
    workspace = find_workspace(site)
    done = renew(workspace, update)
    for change in done.changes:
        click.echo(change)
    for request in done.missing:
        click.echo(
            f"warning: no closure for {request.engine} on {request.arch}, glibc {request.glibc},"
            f" Python {request.python}: devices of that kind cannot be planned",
            err=True,
        )
    for model, variant in done.unbuilt:
        click.echo(
            f"note: {model} {variant} is to be built before it can be planned: edgeform build",
            err=True,
        )
    if check and done.changes:
        raise Stale("edgeform.lock is out of date.", hint="Renew it:\n    edgeform lock")
    if not check:
        write(workspace.lock_file, done.lock)
        click.echo(f"{workspace.lock_file}: {len(done.lock.artifacts)} artifacts", err=True)
    return 0


def renew(workspace: Workspace, update: tuple[str, ...]) -> Renewed:
    """The lock for the site as it stands; every artifact it names is in the store."""
    with talk() as listener, tempfile.TemporaryDirectory(prefix="edgeform-lock-") as work:

        def tell(text: str) -> None:
            listener(Note(device="", text=text))

        found, _ = load_site(workspace, listener)
        old = read(workspace.lock_file).lock if workspace.lock_file.exists() else None
        artifacts = open_artifacts(workspace)
        built = workspace.state_dir / "build"
        built.mkdir(exist_ok=True)
        builder = ShelfBuilder(artifacts=artifacts, work_dir=built, tell=tell)
        return renewed(
            found,
            registries_of(found),
            builder,
            old,
            update=update,
            work=Path(work),
            is_here=lambda digest: not artifacts.missing(digest),
            tell=tell,
        )
