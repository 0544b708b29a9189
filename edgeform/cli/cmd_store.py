"""`edgeform store`: artifacts and published trust between machines, proven on arrival."""

import shutil
import tempfile
from pathlib import Path

import click

from edgeform.build.driver import add_driver
from edgeform.cli.cmd_publish import open_artifacts
from edgeform.cli.options import site_argument
from edgeform.cli.workspace import Workspace, find_workspace, now
from edgeform.domain.quantities import show_bytes
from edgeform.errors import Stale
from edgeform.lock.lockfile import read as read_lock
from edgeform.store.artifacts import Artifacts
from edgeform.store.remote import DirectoryRemote, Transferred, pull, push
from edgeform.store.trees import pull_files, push_files
from edgeform.trust.create import REPOSITORY_FOLDER
from edgeform.trust.files import replace_file
from edgeform.trust.keyring import FILE_NAME, KeyRing
from edgeform.trust.repository import Repository
from edgeform.trust.verify import verify
from edgeform_wire.driverset import packages_of

TRUST = "trust/"
PUBLISHED = ("metadata", "targets")
"""What of a trust repository travels; staged roles are the key holders' own business."""

remote_argument = click.argument(
    "remote", metavar="DIRECTORY", type=click.Path(file_okay=False, path_type=Path)
)


@click.group("store")
def command() -> None:
    """Carry what edgeform.lock names, and the published metadata, to and from a directory; add drivers to it.

    The directory may be a share, a mounted disk or a stick. Interrupted transfers go on where they stopped.
    """


@command.command("push")
@remote_argument
@site_argument
def push_command(remote: Path, site: str | None) -> int:
    """Send the lock's artifacts, the device tool and the published metadata to DIRECTORY."""
    workspace = find_workspace(site)
    artifacts = open_artifacts(workspace)
    wanted = _locked(workspace)
    objects = {o for digest in (*wanted, *artifacts) for o in artifacts.closure(digest)}
    there = DirectoryRemote(remote)
    _say("artifacts", push(artifacts.objects, there, objects))
    repository = workspace.trust_dir / REPOSITORY_FOLDER
    if not (repository / "metadata" / "timestamp.json").exists():
        click.echo("trust: nothing is published yet, so none was sent", err=True)
        return 0
    verify(repository, now=now())  # what a device would refuse is not passed on
    for part in reversed(PUBLISHED):  # targets before the metadata that names them
        _say(f"trust {part}", push_files(there, f"{TRUST}{part}", repository / part))
    return 0


@command.command("pull")
@remote_argument
@site_argument
@click.option(
    "--root",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The root to hold what comes to; default: the one that is here already.",
)
def pull_command(remote: Path, site: str | None, root: Path | None) -> int:
    """Fetch the lock's artifacts and the published metadata; nothing is believed before it is proven.

    Metadata older than what is here is refused (exit 6). On a machine without any root, compare the
    printed digest with the one that devices have, or give --root.
    """
    workspace = find_workspace(site)
    workspace.ensure_state_dir()
    there = DirectoryRemote(remote)
    if there.sizes(TRUST):
        _pull_trust(workspace, there, root)
    artifacts = open_artifacts(workspace)
    wanted = _locked(workspace)
    _say("manifests", pull(artifacts.objects, there, wanted))
    for digest in wanted:
        artifacts.index(artifacts.objects.read(digest))
    files = {o for digest in wanted for o in artifacts.closure(digest)}
    _say("artifacts", pull(artifacts.objects, there, files))
    _check(artifacts, files)
    return 0


@command.command("add-driver")
@click.argument("name")
@click.argument("version")
@click.argument(
    "debs",
    nargs=-1,
    required=True,
    metavar="FILE.deb...",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
)
@click.option("--site", help="The site's folder, if it is not the current one.")
@click.option("--epoch", type=click.IntRange(0), default=0, show_default=True)
def add_driver_command(
    name: str, version: str, debs: tuple[Path, ...], site: str | None, epoch: int
) -> int:
    """Make one driver artifact of a vendor's .deb files, and print its digest for `drivers.artifact`.

    Name in the class which of its packages are wanted (`source: artifact`), then run `edgeform lock`. It is
    signed when it is published, and travels by SSH, stick and pull like everything else.
    """
    workspace = find_workspace(site)
    workspace.ensure_state_dir()
    made = add_driver(open_artifacts(workspace), name, version, debs, epoch=epoch)
    for package in packages_of(made.metadata):
        click.echo(f"{package.name} {package.version} {package.arch}", err=True)
    click.echo(made.digest)
    return 0


def _check(artifacts: Artifacts, files: set[str]) -> None:
    """Every byte once more, from this disk."""
    for digest in sorted(files):
        artifacts.objects.verified(digest)
    click.echo(f"verified {len(files)} objects", err=True)


def _pull_trust(workspace: Workspace, there: DirectoryRemote, root: Path | None) -> None:
    repository = workspace.trust_dir / REPOSITORY_FOLDER
    own_root = repository / "metadata" / "1.root.json"
    anchor = root or (own_root if own_root.exists() else None)
    with tempfile.TemporaryDirectory(prefix="pull-", dir=workspace.state_dir) as scratch:
        arrived = Path(scratch) / REPOSITORY_FOLDER
        moved = pull_files(there, TRUST, arrived)
        done = verify(arrived, now=now(), trusted_root=anchor.read_bytes() if anchor else None)
        _refuse_older(Repository(arrived), Repository(repository))
        if anchor is None:
            click.echo(
                f"trust: first root here: sha256:{done.root_sha256}. Compare it with your devices'.",
                err=True,
            )
        _take_over(arrived, repository)
    _say("trust", moved)
    if not (workspace.trust_dir / FILE_NAME).exists():
        # A machine that only carries has no keys; its key ring says so.
        KeyRing(folder=workspace.trust_dir, keys=(), passphrase=workspace.passphrase()).save()


def _refuse_older(arrived: Repository, here: Repository) -> None:
    """A remote may be old, or made to look old: what was once seen is never given up for less."""
    had, gets = here.timestamp(), arrived.timestamp()
    if had is not None and gets is not None and gets.signed.version < had.signed.version:
        raise Stale(
            f"The remote's metadata is older: timestamp {gets.signed.version},"
            f" and {had.signed.version} is here.",
            hint="Send what is here instead:\n    edgeform store push DIRECTORY",
        )


def _take_over(arrived: Path, repository: Path) -> None:
    """Copy file by file, timestamp.json last: until then the old publication is whole."""
    files = sorted(
        (f for part in PUBLISHED for f in (arrived / part).rglob("*") if f.is_file()),
        key=lambda f: (f.name == "timestamp.json", "metadata" in f.parts, f.as_posix()),
    )
    for file in files:
        target = repository / file.relative_to(arrived)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.name == "timestamp.json":
            replace_file(target, file.read_bytes())
        else:
            shutil.copyfile(file, target)


def _locked(workspace: Workspace) -> tuple[str, ...]:
    lock = read_lock(workspace.lock_file).checked()
    return tuple(sorted({a.digest for a in lock.artifacts}))


def _say(what: str, done: Transferred) -> None:
    click.echo(f"{what}: {done.sent} moved, {done.already} there already, {show_bytes(done.bytes)}")
