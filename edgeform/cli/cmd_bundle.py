"""`edgeform bundle`: a stick for a site without a network: made, checked, applied, brought home."""

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from tuf.api.metadata import Metadata

from edgeform.bundle import create as creating
from edgeform.bundle.image import is_image, opened, write_image
from edgeform.bundle.ingest import bring_home
from edgeform.bundle.verify import Proven, verify
from edgeform.cli.bundling import apply_bundle, site_root
from edgeform.cli.cmd_publish import open_artifacts
from edgeform.cli.ingesting import accept_key, known, split_code, take
from edgeform.cli.options import output_option, select_option
from edgeform.cli.planning import load_site
from edgeform.cli.talking import talk
from edgeform.cli.tooling import root_digests, store_tool
from edgeform.cli.travelling import in_place_option, refuse_as_known
from edgeform.cli.trusting import SiteTrust, open_site_trust
from edgeform.cli.workspace import Workspace, find_workspace, now, stamp
from edgeform.domain.quantities import parse_seconds, show_bytes
from edgeform.domain.site import Site
from edgeform.errors import UsageError, worst_of
from edgeform.report.json_lines import line
from edgeform.spec.selector import select
from edgeform.store.artifacts import Artifacts
from edgeform.trust.publication import export_timestamp
from edgeform_device.medium import Folder
from edgeform_wire import bundle, deployment, sealed
from edgeform_wire.deployment import Deployment

place_argument = click.argument("place", metavar="DIR|IMAGE", type=click.Path(path_type=Path))
site_option = click.option("--site", help="The site's folder, if it is not the current one.")


@click.group("bundle")
def command() -> None:
    """Bring a site without any network up to date by a stick, and its receipts home.

    A stick holds what is published: signed metadata, deployments, artifacts, the device tool. It is FAT and
    exFAT safe, and devices believe only what is signed. Secrets on it are sealed to their device's key.
    """


@command.command("create")
@site_option
@select_option
@click.option(
    "--to",
    "place",
    required=True,
    metavar="DIR|IMAGE",
    type=click.Path(path_type=Path),
    help="The folder where the stick is mounted, or a FAT image (.img) to write.",
)
@click.option(
    "--valid-for",
    default="90d",
    show_default=True,
    metavar="TIME",
    help="How long the stick's timestamp holds.",
)
@in_place_option
def create_command(
    site: str | None,
    selectors: tuple[str, ...],
    place: Path,
    valid_for: str,
    in_place: tuple[str, ...],
) -> int:
    """Write what is published for a site's devices to a stick, and read it back.

    Needs a timestamp key. Publish first. Interrupted, it goes on where it stopped.
    """
    try:
        held = timedelta(seconds=parse_seconds(valid_for))
    except ValueError as exc:
        raise UsageError(str(exc), address="--valid-for") from exc
    workspace = find_workspace(site)
    with talk() as listener:
        spec, _ = load_site(workspace, listener)
    refuse_as_known(workspace, spec, select(spec, selectors), in_place)
    trust = open_site_trust(workspace, spec.name, may_create=False)
    artifacts = open_artifacts(workspace)
    deployments, without = _published(spec, selectors, trust)
    for name in without:
        click.echo(f"{name}: nothing is published for it, so nothing was taken along", err=True)
    load = _load(workspace, spec.name, trust, artifacts, deployments, held)
    if is_image(place):
        with tempfile.TemporaryDirectory(prefix="bundle-", dir=workspace.state_dir) as scratch:
            written = creating.write(load, Path(scratch))
            _prove(Path(scratch), workspace)
            size = write_image(Path(scratch), place)
        with opened(place, scratch=workspace.state_dir) as folder:
            _prove(folder, workspace)
        click.echo(f"{place}: {show_bytes(size)}")
    else:
        written = creating.write(load, place)
        _prove(place, workspace)
        click.echo(
            f"{place}: {show_bytes(written.written_bytes)} written,"
            f" {show_bytes(written.kept_bytes)} there already"
        )
    for addressee in written.contents.devices:
        click.echo(f"  {addressee.device}: deployment {addressee.deployment}")
    click.echo(f"valid until {load.valid_until}")
    click.echo("for the paper, where a device is new:")
    click.echo(f"  root  {bundle.fingerprint(load.root_digest)}")
    click.echo(f"  tool  {bundle.fingerprint(written.contents.tool_digest)}")
    return 0


@command.command("verify")
@place_argument
@click.option("--site", help="Hold it to this site's root; else only to its own.")
@output_option("text", "json")
def verify_command(place: Path, site: str | None, output: str) -> int:
    """Prove a stick as its devices will, and print the evidence.

    Exit 12 if a file is missing or damaged, 8 if something is not signed, 6 if it has expired.
    """
    workspace = find_workspace(site) if site else None
    root = site_root(workspace) if workspace else None
    with (
        tempfile.TemporaryDirectory(prefix="edgeform-") as scratch,
        opened(place, scratch=Path(scratch)) as folder,
    ):
        proven = verify(folder, now=now(), trusted_root=root)
    if output == "json":
        for found in proven.evidence:
            click.echo(line({"subject": found.subject, "evidence": found.text}))
        return 0
    _show(proven)
    return 0


@command.command("apply")
@place_argument
@site_option
@select_option
@click.option("--fingerprint", help="Of the root, from paper: for a first install from here.")
@click.option("--max-parallel", type=click.IntRange(1), default=4, show_default=True)
def apply_command(
    place: Path,
    site: str | None,
    selectors: tuple[str, ...],
    fingerprint: str | None,
    max_parallel: int,
) -> int:
    """Carry a stick's deployments to devices that this machine reaches; nothing else is needed.

    The same transaction as `edgeform apply`. The site's folder says how devices are reached and pins their
    host keys; keys, lock and network are not used.
    """
    workspace = find_workspace(site)
    workspace.ensure_state_dir()
    with opened(place, scratch=workspace.state_dir) as folder:
        return apply_bundle(
            folder, workspace, selectors, fingerprint=fingerprint, max_parallel=max_parallel
        )


@command.command("ingest")
@place_argument
@site_option
@click.option(
    "--accept-key",
    "codes",
    multiple=True,
    metavar="DEVICE=CODE",
    help="Pin the key of a device that was first installed by stick, by the code on its paper.",
)
def ingest_command(place: Path, site: str | None, codes: tuple[str, ...]) -> int:
    """Bring home what devices left on a stick: proven receipts, and the state the next plan needs.

    Exit 12 if a chain has a gap or tells another past, 8 if something is not signed by its device. Of such a
    device nothing is taken.
    """
    workspace = find_workspace(site)
    accepted = dict(split_code(text) for text in codes)
    with talk() as listener:
        spec, _ = load_site(workspace, listener)
    workspace.ensure_state_dir()
    with (
        opened(place, scratch=workspace.state_dir) as folder,
        workspace.journal() as journal,
    ):
        medium = Folder(str(folder))
        for name, code in accepted.items():
            accept_key(workspace, medium, name, code)
        found = bring_home(
            medium,
            folder,
            site=spec.name,
            known=lambda name: known(workspace, journal, spec.name, name),
        )
        if not found:
            click.echo(f"{place}: no device has left anything here yet", err=True)
        return worst_of(code for one in found for code in take(workspace, journal, spec, one))


def _published(
    spec: Site, selectors: tuple[str, ...], trust: SiteTrust
) -> tuple[tuple[Deployment, ...], tuple[str, ...]]:
    found, without = [], []
    for device in select(spec, selectors):
        document = trust.target(deployment.target_path(spec.name, device.name))
        if document is None:
            without.append(device.name)
        else:
            found.append(deployment.decode(document))
    if not found:
        raise UsageError(
            f"Nothing is published for any of {len(without)} device(s).",
            hint="Plan and publish first:\n    edgeform plan --out plan.json\n    edgeform publish plan.json",
        )
    return tuple(found), tuple(without)


def _load(
    workspace: Workspace,
    site: str,
    trust: SiteTrust,
    artifacts: Artifacts,
    deployments: tuple[Deployment, ...],
    held: timedelta,
) -> creating.Load:
    secrets = {d.device: sealed.target_path(site, d.device) for d in deployments}
    paths = [d.target_path for d in deployments]
    paths += [path for path in secrets.values() if trust.target(path) is not None]
    for each in deployments:
        listed = [ref.digest for ref in each.generation.artifacts]
        listed += [] if each.policy.tool is None else [each.policy.tool]
        paths += [artifacts.get(digest).target_path for digest in listed]
    metadata = dict(trust.metadata_for(paths))
    at = now()
    metadata["timestamp.json"] = export_timestamp(
        trust.repository, trust.trust.keyring, now=at, valid_for=held
    )
    return creating.Load(
        site=site,
        created_at=stamp(),
        valid_until=_valid_until(metadata, at + held),
        timestamp_version=int(Metadata.from_bytes(metadata["timestamp.json"]).signed.version),
        root_digest=root_digests(workspace.trust_dir)[0],
        deployments=deployments,
        metadata=tuple(sorted(metadata.items())),
        artifacts=artifacts,
        tool=store_tool(artifacts),
        sealed=_sealed(deployments, trust),
    )


def _sealed(deployments: tuple[Deployment, ...], trust: SiteTrust) -> tuple[bytes, ...]:
    """The signed secrets of these devices; says for whom some are missing."""
    found = []
    for each in deployments:
        document = trust.target(sealed.target_path(each.site, each.device))
        content = None if document is None else sealed.decode(document)
        if document is not None:
            found.append(document)
        lacking = [
            s.name
            for s in each.generation.secrets
            if content is None or content.find(s.name, s.hmac) is None
        ]
        if lacking:
            click.echo(
                f"{each.device}: {', '.join(lacking)} not sealed to its key, so not on the stick: it takes"
                " this deployment only if the values are there already",
                err=True,
            )
    return tuple(found)


def _valid_until(metadata: Mapping[str, bytes], wanted: datetime) -> str:
    """The first moment at which a device with a clock would refuse it; says which role it is."""
    roots = [name for name in metadata if name.endswith(".root.json")]
    newest = max(roots, key=lambda name: int(name.partition(".")[0]))
    ends = {
        name: Metadata.from_bytes(content).signed.expires
        for name, content in metadata.items()
        if name not in roots or name == newest
    }
    first = min(ends, key=lambda name: ends[name])
    until = ends[first].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if ends[first] < wanted - timedelta(minutes=1):
        click.echo(
            f"note: {first} expires before the time that was asked for; publish again to renew it",
            err=True,
        )
    return until


def _prove(folder: Path, workspace: Workspace) -> Proven:
    return verify(folder, now=now(), trusted_root=site_root(workspace))


def _show(proven: Proven) -> None:
    contents = proven.contents
    click.echo(f"site {contents.site}, made {contents.created_at}, until {contents.valid_until}")
    width = max(len(e.subject) for e in proven.evidence)
    for found in proven.evidence:
        click.echo(f"  {found.subject:{width}}  {found.text}")
    click.echo(f"{len(contents.files)} files whole")
    for name in proven.foreign:
        click.echo(f"foreign, and not used: {name}", err=True)
