"""`drift schedule`: units for systemd, a line for cron or a job for CI; printed, written or installed."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from edgeform.cli.installing import install_cron_line, install_units, write_unit
from edgeform.cli.workspace import Workspace
from edgeform.drift.schedule import cron_line, systemd_units
from edgeform.emit.ci_files import Service, drift_job
from edgeform.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What was asked of `drift schedule`.

    Args:
        more: options of the run that is scheduled.
    """

    kind: str
    at: str
    out: Path | None
    on_device: bool
    more: tuple[str, ...]
    is_installed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The scheduled command, what it is called, and where it runs."""

    command: tuple[str, ...]
    name: str
    folder: str


def write_schedule(wanted: Schedule, workspace: Workspace | None, prefix: str) -> None:
    """The units, the line or the job: on standard output, in the folder of `--out`, or where it runs."""
    if wanted.is_installed:
        _refuse_what_is_not_for_here(wanted)
    if wanted.kind in ("github", "gitlab"):
        click.echo(drift_job(Service(wanted.kind)), nl=False)
        return
    run = _on_device(prefix) if wanted.on_device else _on_this_machine(wanted, workspace)
    if wanted.kind == "cron":
        entry = cron_line(run.command, name=run.name, folder=run.folder, at=wanted.at)
        if wanted.is_installed:
            install_cron_line(entry)
        else:
            click.echo(entry, nl=False)
        return
    units = systemd_units(run.command, name=run.name, folder=run.folder, at=wanted.at)
    if wanted.is_installed:
        install_units(units)
        return
    for unit in units:
        if wanted.out is None:
            click.echo(f"# {unit.name}\n{unit.content}")
        else:
            write_unit(wanted.out, unit)


def _refuse_what_is_not_for_here(wanted: Schedule) -> None:
    if wanted.on_device or wanted.out is not None:
        raise UsageError(
            "--install is for this machine, and for the place where its systemd or cron looks.",
            hint="For a device write the units, copy both, and enable the timer there:\n"
            "    edgeform drift schedule --systemd --on-device --out units",
        )
    if wanted.kind in ("github", "gitlab"):
        raise UsageError(
            "A job alone is no CI file; the one that is installed has it in it.",
            hint=f"edgeform ci init --{wanted.kind}",
        )


def _on_device(prefix: str) -> _Run:
    program = f"{prefix}/bin/edgeform-device"
    other = () if prefix == "/var/lib/edgeform" else ("--prefix", prefix)
    return _Run(command=(program, *other, "drift", "--keep"), name="on-device", folder="/")


def _on_this_machine(wanted: Schedule, workspace: Workspace | None) -> _Run:
    if workspace is None:
        raise UsageError("Name the site's folder.")
    site = workspace.site_dir.resolve()
    program = shutil.which("edgeform") or str(Path(sys.executable).with_name("edgeform"))
    command = (program, "drift", str(site), *wanted.more)
    return _Run(command=command, name=site.name, folder=str(site))
