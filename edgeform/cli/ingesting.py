"""What `bundle ingest` does for each device: pin its key, know what is at home, keep its news, tell them."""

import click

from edgeform.apply.device import shown
from edgeform.bundle.ingest import Brought, Known, code_of
from edgeform.cli.device_keys import pin_device_key, pinned_key
from edgeform.cli.tooling import root_digests
from edgeform.cli.workspace import Workspace, stamp
from edgeform.domain.site import Site
from edgeform.errors import Corrupt, NotTrusted, UsageError
from edgeform.rollout.journal import Journal
from edgeform.rollout.records import Parted, joined, lines_of_file
from edgeform.trust.files import replace_file
from edgeform_device.medium import Folder
from edgeform_wire import bundle
from edgeform_wire.receipt import decode_line


def split_code(text: str) -> tuple[str, str]:
    device, sign, code = text.partition("=")
    if not sign or not device or not code:
        raise UsageError(f"{text!r} is not DEVICE=CODE.", address="--accept-key")
    return device, code


def accept_key(workspace: Workspace, medium: Folder, device: str, code: str) -> None:
    """Pin a device's key when it is the one that the typed code stands for."""
    content = medium.read(bundle.return_name(device, "key.pem"), 2000)
    roots = root_digests(workspace.trust_dir)
    if content is None or not roots:
        raise UsageError(f"{device} has left no key here, or this site has no root.")
    key = content.decode("ascii", "replace")
    if code_of(roots[0], key) != code.strip().upper():
        raise NotTrusted(
            f"The key that {device} left is not the one of code {code}.",
            hint="Compare the code with the device's paper once more.",
        )
    pin_device_key(workspace, device, key, replace=False)
    click.echo(f"{device}: its key is pinned", err=True)


def known(workspace: Workspace, journal: Journal, site: str, device: str) -> Known:
    """What is at home, of the journal and of Git.

    Raises:
        Corrupt: the two part, or a merge conflict stands in the file.
    """
    archived = journal.receipts(site, device)
    file = workspace.records_dir / f"{device}.jsonl"
    lines = joined(lines_of_file(file.read_bytes()) if file.exists() else (), archived)
    if isinstance(lines, Parted):
        raise Corrupt(
            f"Line {lines.line}: {lines.detail}.",
            address=str(file),
            hint="Put it right in Git (take the longer side of a conflict), then bring the stick home again.",
        )
    report = workspace.state_file(device)
    return Known(
        lines=lines,
        key=pinned_key(workspace, device),
        report=report.read_bytes() if report.exists() else None,
    )


def take(workspace: Workspace, journal: Journal, spec: Site, one: Brought) -> list[int]:
    """Keep one device's news; the exit codes that follow from it."""
    for text in (*one.breaks, *one.forgeries, *one.notes):
        click.echo(f"{one.device}: {text}", err=True)
    if not one.is_whole:
        click.echo(f"{one.device}: nothing was taken", err=True)
        return [Corrupt.exit_code] * bool(one.breaks) + [NotTrusted.exit_code] * bool(one.forgeries)
    if spec.device(one.device) is None:
        click.echo(f"{one.device}: it is not in this site any more; kept all the same", err=True)
    if one.key is not None:
        click.echo(
            f"{one.device}: to pin the key it left, compare its code with the paper, then:\n"
            f"    edgeform bundle ingest DIR --accept-key {one.device}=CODE",
            err=True,
        )
    before = known(workspace, journal, spec.name, one.device).lines
    lines = [*before, *(signed.encoded_line().rstrip(b"\n") for signed in one.new)]
    journal.keep_receipts(spec.name, one.device, [decode_line(e) for e in lines], now=stamp())
    workspace.records_dir.mkdir(exist_ok=True)
    if one.new:
        content = b"".join(entry + b"\n" for entry in lines)
        replace_file(workspace.records_dir / f"{one.device}.jsonl", content)
    if one.report is not None:
        replace_file(workspace.state_file(one.device), one.report.document)
    if one.findings is not None:
        replace_file(workspace.findings_file(one.device), one.findings.document)
    _tell(one)
    return []


def _tell(one: Brought) -> None:
    """What a device did and found, a line each."""
    for signed in one.new:
        found = signed.receipt
        click.echo(
            f"{one.device}\treceipt {found.seq}\t{found.result}\t{found.road}"
            f"\tdeployment {found.deployment}\tgeneration {found.from_generation} ->"
            f" {found.to_generation}\t{found.reason}".rstrip()
        )
    for finding in one.findings.drifted if one.findings is not None else ():
        what = ", ".join(f"{d.get('kind')} {d.get('path')}" for d in finding.drift)
        click.echo(
            f"{one.device}\tdrift\tgeneration {finding.generation}\t{finding.first} to {finding.last},"
            f" {finding.times} times\t{shown(what)}"
        )
    if not one.new and one.report is None:
        click.echo(f"{one.device}\tno news")
