"""`edgeform trust`: the roots, roles and signatures that devices hold everybody to."""

import os
from datetime import timedelta
from pathlib import Path

import click

from edgeform.cli.options import output_option, site_argument
from edgeform.cli.planning import load_site
from edgeform.cli.talking import talk
from edgeform.cli.workspace import Workspace, find_workspace, now
from edgeform.domain.quantities import parse_seconds
from edgeform.errors import NotTrusted, UsageError
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.secrets.passphrase import TRUST_VARIABLE, read_passphrase
from edgeform.trust import roles
from edgeform.trust.create import (
    REPOSITORY_FOLDER,
    Trust,
    init_development,
    init_production,
    open_trust,
)
from edgeform.trust.keys import FILE_SCHEME, PublicKey, generate_key, public_key_from_pem
from edgeform.trust.publication import Signing, publish, sign
from edgeform.trust.show import RoleShown, show
from edgeform.trust.verify import verify

PUBLIC_SUFFIX = ".pub"
ROLE_COLUMNS = (
    Column(title="ROLE"),
    Column(title="VERSION", right=True),
    Column(title="EXPIRES"),
    Column(title="DAYS", right=True),
    Column(title="NEEDED"),
    Column(title="HERE", right=True),
    Column(title="TARGETS", right=True),
)


@click.group("trust")
def command() -> None:
    """Make, sign, publish, verify and show the signed metadata of a site.

    Development: one person, one passphrase, everything made by `init --development` (the first `apply` does
    it, too). Production: each key is made where its holder keeps it (`keygen`), the roles are staged with
    the public halves (`init --production`), the holders `sign`, and `publish` refuses until enough have.
    """


@command.command("init")
@site_argument
@click.option(
    "--development", "profile", flag_value=roles.DEVELOPMENT, help="One person; keys are made here."
)
@click.option(
    "--production", "profile", flag_value=roles.PRODUCTION, help="Several people; name their keys."
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="ROLE=FILE",
    help="Production: a public key of a role, as `keygen` wrote it; again for each.",
)
def init_command(site: str | None, profile: str | None, keys: tuple[str, ...]) -> int:
    """Make a trust repository for the site: exactly one of --development and --production."""
    workspace = find_workspace(site)
    name = _site_name(workspace)
    folder = workspace.trust_dir
    if profile is None:
        raise UsageError(
            "Say which: a root for one person, or one that several people hold.",
            hint="For a first try:\n    edgeform trust init --development",
        )
    if profile == roles.DEVELOPMENT:
        if keys:
            raise UsageError("A development root makes its keys itself; --key is for production.")
        workspace.ensure_state_dir()
        done = init_development(folder, (name,), workspace.passphrase(may_create=True), now=now())
        click.echo(f"made a development root; timestamp {done.timestamp_version}", err=True)
        return 0
    workspace.ensure_state_dir()
    layout = roles.production_layout((name,))
    staged = init_production(
        folder, layout, _role_keys(layout, keys), workspace.passphrase(), now=now()
    )
    _show_signings(staged)
    click.echo(
        "Each key holder runs `edgeform trust sign`; then `edgeform trust publish`.", err=True
    )
    return 0


def _role_keys(layout: roles.Layout, given: tuple[str, ...]) -> dict[str, tuple[PublicKey, ...]]:
    found: dict[str, tuple[PublicKey, ...]] = {}
    for text in given:
        name, _, file = text.partition("=")
        role = layout.role(name)
        if not file:
            raise UsageError(f"--key {text!r} is not ROLE=FILE.")
        found[role.name] = (*found.get(role.name, ()), _public_key(Path(file)))
    return found


def _public_key(file: Path) -> PublicKey:
    """The key of a public PEM; its secret half is known to be here if it lies beside."""
    try:
        pem = file.read_bytes()
    except OSError as exc:
        raise UsageError(f"The key cannot be read: {exc.strerror}.", address=str(file)) from exc
    secret = file.with_suffix("")
    is_here = file.suffix == PUBLIC_SUFFIX and secret.is_file()
    return public_key_from_pem(
        pem, f"{FILE_SCHEME}{secret.resolve()}" if is_here else f"held:{file.stem}"
    )


@command.command("keygen")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def keygen_command(file: Path) -> int:
    """Make an encrypted P-256 key in FILE and its public half in FILE.pub.

    The passphrase comes from EDGEFORM_TRUST_PASSPHRASE, or from the file that
    EDGEFORM_TRUST_PASSPHRASE_FILE names. A key is never overwritten.
    """
    made = generate_key(file, lambda: read_passphrase(TRUST_VARIABLE, os.environ).reveal())
    public = file.with_name(file.name + PUBLIC_SUFFIX)
    public.write_text(made.pem, encoding="ascii")
    click.echo(f"{made.key_id}\t{public}")
    return 0


@command.command("sign")
@site_argument
def sign_command(site: str | None) -> int:
    """Add the signatures of all keys at hand to everything staged; exit 8 while some are missing."""
    trust = _open(find_workspace(site))
    staged = sign(trust.repository, trust.keyring)
    _show_signings(staged)
    return NotTrusted.exit_code if any(s.missing for s in staged) else 0


@command.command("publish")
@site_argument
@click.option(
    "--valid-for", metavar="TIME", help="How long the timestamp holds, as 7d; longer for a stick."
)
def publish_command(site: str | None, valid_for: str | None) -> int:
    """Make everything staged what devices follow, with a fresh snapshot and timestamp."""
    trust = _open(find_workspace(site))
    try:
        held = None if valid_for is None else timedelta(seconds=parse_seconds(valid_for))
    except ValueError as exc:
        raise UsageError(str(exc), address="--valid-for") from exc
    done = publish(trust.repository, trust.keyring, now=now(), valid_for=held)
    for role in done.roles:
        click.echo(role)
    click.echo(
        f"timestamp {done.timestamp_version}, until {done.expires:%Y-%m-%d %H:%M} UTC", err=True
    )
    for role in done.expiring:
        click.echo(f"{role} expires soon and its keys are not here", err=True)
    return 0


@command.command("verify")
@site_argument
@click.option(
    "--root",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The root to start from, as a device has it; default: the folder's own first one.",
)
@output_option("text", "json")
def verify_command(site: str | None, root: Path | None, output: str) -> int:
    """Prove the whole repository as a device would, and show the evidence."""
    folder = find_workspace(site).trust_dir / REPOSITORY_FOLDER
    done = verify(folder, now=now(), trusted_root=root.read_bytes() if root else None)
    for found in done.evidence:
        if output == "json":
            click.echo(line({"subject": found.subject, "text": found.text}))
        else:
            click.echo(f"{found.subject}: {found.text}")
    click.echo(
        f"a device with root sha256:{done.root_sha256} accepts this ({done.profile})", err=True
    )
    return 0


@command.command("show")
@site_argument
@output_option("text", "json")
def show_command(site: str | None, output: str) -> int:
    """Show the roles, when they expire, and what waits for signatures."""
    shown = show(_open(find_workspace(site)), now=now())
    if output == "json":
        for role in shown.roles:
            click.echo(line(_role_json(role, shown.profile)))
        return 0
    click.echo(f"{shown.profile} root")
    rows = [
        (
            role.name,
            str(role.version),
            f"{role.expires:%Y-%m-%d}",
            str(role.days_left),
            f"{role.threshold} of {len(role.key_ids)}",
            str(role.keys_here),
            str(role.targets),
        )
        for role in shown.roles
    ]
    click.echo(table(ROLE_COLUMNS, rows), nl=False)
    if shown.staged:
        click.echo("staged:")
        _show_signings(shown.staged)
    return 0


def _role_json(role: RoleShown, profile: str) -> dict[str, object]:
    return {
        "profile": profile,
        "name": role.name,
        "version": role.version,
        "expires": role.expires.isoformat(),
        "days_left": role.days_left,
        "threshold": role.threshold,
        "key_ids": list(role.key_ids),
        "keys_here": role.keys_here,
        "patterns": list(role.patterns),
        "targets": role.targets,
    }


def _show_signings(staged: tuple[Signing, ...]) -> None:
    for one in staged:
        missing = f"{one.missing} more needed" if one.missing else "complete"
        click.echo(f"{one.role} {one.version}: {len(one.signed_by)} of {one.threshold}, {missing}")


def _open(workspace: Workspace) -> Trust:
    return open_trust(workspace.trust_dir, workspace.passphrase())


def _site_name(workspace: Workspace) -> str:
    with talk() as listener:
        return load_site(workspace, listener)[0].name
