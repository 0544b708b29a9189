"""`edgeform lock`: resolve versions, build what the site needs, and write edgeform.lock."""

import tempfile
from pathlib import Path

import click

from edgeform.cli.building import ShelfBuilder
from edgeform.cli.cmd_publish import open_artifacts
from edgeform.cli.options import site_argument
from edgeform.cli.planning import load_site
from edgeform.cli.registries import open_registries
from edgeform.cli.talking import talk
from edgeform.cli.workspace import Workspace, find_workspace
from edgeform.errors import Corrupt, Stale
from edgeform.events import Note
from edgeform.lock.checking import checked
from edgeform.lock.closures import beside
from edgeform.lock.lockfile import read, write
from edgeform.lock.resolve import Renewed, renewed
from edgeform.store.artifacts import Artifacts
from edgeform_wire.artifact import Artifact


@click.command("lock")
@site_argument
@click.option(
    "--update", multiple=True, metavar="MODEL", help="Ask this model's rule again; * for all."
)
@click.option(
    "--check",
    is_flag=True,
    help="Build and write nothing; exit 6 if the lock is out of date, 12 if what is locked was replaced.",
)
def command(site: str | None, update: tuple[str, ...], check: bool) -> int:
    """Resolve every model to a version and its bytes, and every closure to a digest.

    What is locked stays until --update names it or the site asks for something else; so planning needs no
    registry and no builder. --check also asks the registries whether the locked files are still the same.
    """
    workspace = find_workspace(site)
    if check:
        return _check(workspace, update)
    done = renew(workspace, update)
    for change in done.changes:
        click.echo(change)
    for request in done.missing:
        click.echo(
            f"warning: no closure for {request.engine} on {request.arch}, glibc {request.glibc},"
            f" Python {request.python}{beside(request.extras)}: devices of that kind cannot be planned",
            err=True,
        )
    for model, variant in done.unbuilt:
        click.echo(
            f"note: {model} {variant} is to be built before it can be planned: edgeform build",
            err=True,
        )
    write(workspace.lock_file, done.lock)
    click.echo(f"{workspace.lock_file}: {len(done.lock.artifacts)} artifacts", err=True)
    return 0


def _check(workspace: Workspace, update: tuple[str, ...]) -> int:
    """Say what would change; nothing is built, and nothing is written but downloads.

    Raises:
        Stale: the same command without --check would write another lock.
        Corrupt: a locked version has other files by now.
    """
    with talk() as listener:
        found, _ = load_site(workspace, listener)
    old = read(workspace.lock_file).lock if workspace.lock_file.exists() else None
    with open_registries(workspace, found) as registries:
        done = checked(found, registries, old, update=update)
    for sentence in done.outdated:
        click.echo(sentence)
    for sentence in done.waiting:
        click.echo(f"{sentence}; it stays until --update")
    if done.outdated:
        again = " ".join(("edgeform", "lock", *(f"--update {name}" for name in update)))
        raise Stale("edgeform.lock is out of date.", hint=f"Renew it:\n    {again}")
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
        with open_registries(workspace, found) as registries:
            return renewed(
                found,
                registries,
                builder,
                old,
                update=update,
                work=Path(work),
                is_here=lambda digest: not artifacts.missing(digest),
                driver=lambda digest: _driver(artifacts, digest),
                tell=tell,
            )


def _driver(artifacts: Artifacts, digest: str) -> Artifact:
    """The driver artifact that a class names.

    Raises:
        Corrupt: it is not wholly in the store, or it is something else.
    """
    if artifacts.missing(digest) or (found := artifacts.get(digest)).kind != "driver":
        raise Corrupt(
            f"A class names driver artifact {digest}, which is not in the store.",
            address="drivers.artifact",
            hint="Make it of the vendor's files, or fetch it:\n"
            "    edgeform store add-driver NAME VERSION FILE.deb...\n    edgeform store pull DIRECTORY",
        )
    return found
