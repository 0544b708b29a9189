"""`edgeform gc`: free what nothing needs, in the store here or on selected devices."""

import time
from collections.abc import Callable
from typing import Any

import click

from edgeform.apply.device import DeviceClient, Refusal, shown
from edgeform.cli.asking import Missed, ask_each, call_the_roll, confirm, tell
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option, site_argument, yes_option
from edgeform.cli.talking import talk
from edgeform.cli.tooling import tool_artifact
from edgeform.cli.workspace import Workspace, find_workspace
from edgeform.domain.quantities import show_bytes
from edgeform.domain.site import Device
from edgeform.errors import UsageError, worst_of
from edgeform.lock.lockfile import read as read_lock
from edgeform.report.json_lines import line
from edgeform.store.gc import plan_gc, run_gc
from edgeform.store.objects import Objects
from edgeform.store.roots import Roots
from edgeform.trust.create import REPOSITORY_FOLDER
from edgeform.trust.repository import Repository
from edgeform_wire import digest as digests

TIMEOUT_S = 300.0


@click.command("gc")
@site_argument
@select_option
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@yes_option
@output_option("text", "json")
def command(
    site: str | None, selectors: tuple[str, ...], dry_run: bool, yes: bool, output: str
) -> int:
    """Collect the local store; with -l, the selected devices instead, which asks first.

    Kept here is what edgeform.lock names and what is published; on a device the generations that it keeps
    and the newest that failed. What came within the last hour stays in both places.
    """
    if not selectors:
        return _here(find_workspace(site), dry_run=dry_run, output=output)
    return _devices(site, selectors, dry_run=dry_run, yes=yes, output=output)


def _here(workspace: Workspace, *, dry_run: bool, output: str) -> int:
    objects = Objects(workspace.store_dir)
    roots = Roots(workspace.store_dir)
    if not workspace.store_dir.exists():
        click.echo("There is no store here; nothing to collect.", err=True)
        return 0
    if not workspace.lock_file.exists() and not roots.all():
        raise UsageError(
            "Without a lock nothing says what the store's objects are for.",
            hint="Make it first:\n    edgeform lock",
        )
    set_roots(workspace, roots)
    plan = plan_gc(objects, roots, now_s=time.time())
    freed = 0 if dry_run else run_gc(objects, plan)
    if output == "json":
        value = {"removed": list(plan.remove), "free_bytes": plan.free_bytes, "dry_run": dry_run}
        click.echo(line(value | {"kept": plan.kept, "young": plan.young}))
        return 0
    verb = "would be removed" if dry_run else "removed"
    size = show_bytes(plan.free_bytes if dry_run else freed)
    click.echo(f"{len(plan.remove)} objects {verb}, {size}; {plan.kept} kept, {plan.young} young")
    for digest in plan.incomplete:
        click.echo(f"not wholly here: {digest} (edgeform lock, or edgeform store pull)", err=True)
    return 0


def set_roots(workspace: Workspace, roots: Roots) -> None:
    """What keeps objects alive, brought up to date: the lock, what is published, the tool."""
    if workspace.lock_file.exists():
        lock = read_lock(workspace.lock_file).checked()
        roots.set("lock", (artifact.digest for artifact in lock.artifacts))
    roots.set("tool", (tool_artifact().digest,))
    folder = workspace.trust_dir / REPOSITORY_FOLDER
    if folder.exists():
        repository = Repository(folder)
        roots.set("published", _published(repository))


def _published(repository: Repository) -> set[str]:
    """Digests of the artifact manifests that are signed targets."""
    found = set()
    for name in repository.role_names():
        role = repository.published_role(name)
        for path, target in role.signed.targets.items() if role else ():
            if path.startswith("artifacts/"):
                found.add(digests.PREFIX + target.hashes["sha256"])
    return found


def _devices(
    site: str | None, selectors: tuple[str, ...], *, dry_run: bool, yes: bool, output: str
) -> int:
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, selectors, listener)
        if not dry_run:
            confirm(
                f"Collect on {len(roll.devices)} device(s)?",
                yes=yes,
                would=f"Generations on {len(roll.devices)} device(s) would be removed",
                command="edgeform gc -l SELECTOR --yes",
            )
        answers = ask_each(roll, transport, _question(dry_run=dry_run))
    codes = tell(answer for _, answer in answers if isinstance(answer, Missed))
    for device, answer in answers:
        if isinstance(answer, Missed):
            if output == "json":
                click.echo(line(answer.to_json()))
            continue
        removed = [shown(str(path)) for path in answer.get("removed", ())]
        freed = int(answer.get("freed_bytes", 0))
        if output == "json":
            value = {"device": device.name, "answered": True, "dry_run": dry_run}
            click.echo(line(value | {"removed": removed, "freed_bytes": freed}))
            continue
        verb = "would be removed" if dry_run else "removed"
        click.echo(f"{device.name}: {len(removed)} {verb}, {show_bytes(freed)}")
        for path in answer.get("foreign", ()):
            click.echo(f"{device.name}: not edgeform's, left: {shown(str(path))}", err=True)
    return worst_of(codes)


def _question(*, dry_run: bool) -> Callable[[Device, DeviceClient], dict[str, Any] | Refusal]:
    def ask(_device: Device, client: DeviceClient) -> dict[str, Any] | Refusal:
        options = ("--dry-run",) if dry_run else ()
        answer = client.ask("gc", *options, timeout_s=TIMEOUT_S)
        return answer if isinstance(answer, Refusal) else dict(answer)

    return ask
