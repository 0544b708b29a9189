"""`edgeform lab`: devices to try a site on before touching hardware."""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import click

from edgeform.lab.demo import tell
from edgeform.lab.device import LabDevice, LabKind
from edgeform.lab.doctor import doctor, table
from edgeform.lab.lab import DEFAULT_DIRECTORY, Lab, device_names, down, running, status, up
from edgeform.lab.site import join

EXIT_INCOMPLETE = 9

directory_option = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DIRECTORY,
    show_default=True,
    help="Where the lab keeps what it is made of.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON Lines.")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _show(device: LabDevice, *, is_on: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**asdict(device), "is_on": is_on}))
        return
    power = "on " if is_on else "off"
    click.echo(f"{power}  {device.name}  {device.user}@{device.host}:{device.port}")


@click.group("lab")
def command() -> None:
    """Start, show and remove devices to try a site on, without hardware.

    As root on Linux the devices are real systems (systemd, sshd, reboot). Without root they are
    unprivileged ones, each in a directory of its own. With --kind vm they are emulated machines with a
    kernel of their own: slow, and the only ones whose power can really be cut.
    """


@command.command("up")
@click.argument("count", type=click.IntRange(1, 240), default=3)
@click.option("--name", "names", multiple=True, help="A device of this name; again for more.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in LabKind]),
    envvar="LAB",
    help="Default: what LAB names, else the most real one possible.",
)
@click.option("--no-install", is_flag=True, help="Never install missing Debian packages.")
@directory_option
@json_option
def up_command(
    *,
    count: int,
    names: tuple[str, ...],
    kind: str | None,
    no_install: bool,
    directory: Path,
    as_json: bool,
) -> None:
    """Start COUNT devices; a lab that is there already is replaced."""
    began = time.monotonic()
    lab = up(
        names or device_names(count),
        kind=LabKind(kind) if kind else None,
        directory=directory,
        environment=os.environ,
        install=not no_install,
        progress=_say,
    )
    devices = lab.devices()
    _say(f"lab: {devices[0].kind} ({len(devices)} devices, {time.monotonic() - began:.1f} s)")
    for device in devices:
        _show(device, is_on=True, as_json=as_json)
    if not as_json:
        _say(_how_to_log_in(lab))


def _how_to_log_in(lab: Lab) -> str:
    first = lab.devices()[0]
    port = "" if first.port == 22 else f" -p {first.port}"
    options = f"-o UserKnownHostsFile={lab.known_hosts} -i {first.key_path}{port}"
    return f"log in with:\n    ssh {options} {first.user}@{first.host}"


@command.command("site")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@directory_option
def site_command(*, folder: Path, directory: Path) -> None:
    """Make the lab's devices those of FOLDER, a copy of site/lab.

    Replaces its devices.yaml and known_hosts, and gives each device the site's scenes to look at.
    """
    join(_lab_in(directory), folder)
    _say(f"{folder}/devices.yaml names the lab's devices now")


@command.command("status")
@directory_option
@json_option
def status_command(*, directory: Path, as_json: bool) -> int:
    """Show the lab's devices, and whether they are on; exit 9 if one is off."""
    seen = status(directory, environment=os.environ)
    if not seen:
        _say(f"no lab is up in {directory}")
    for device, is_on in seen:
        _show(device, is_on=is_on, as_json=as_json)
    return 0 if all(is_on for _, is_on in seen) else EXIT_INCOMPLETE


@command.command("cut")
@click.argument("name")
@directory_option
def cut_command(*, name: str, directory: Path) -> None:
    """Take the power of the device NAME."""
    _lab_in(directory).cut(name)


@command.command("boot")
@click.argument("name")
@directory_option
def boot_command(*, name: str, directory: Path) -> None:
    """Switch the device NAME on."""
    _lab_in(directory).boot(name)


def _lab_in(directory: Path) -> Lab:
    lab = running(directory, environment=os.environ)
    if lab is None:
        raise click.UsageError(f"No lab is up in {directory}. Start one: edgeform lab up")
    return lab


@command.command("down")
@directory_option
def down_command(*, directory: Path) -> None:
    """Remove the lab and everything it left; nothing to do is no error."""
    down(directory, environment=os.environ)


@command.command("doctor")
@json_option
def doctor_command(*, as_json: bool) -> None:
    """Look at what this machine can do for a lab, and name what is missing."""
    seen = doctor(os.environ)
    if not as_json:
        click.echo(table(seen))
        return
    for one in seen:
        click.echo(json.dumps({**asdict(one), "install_command": one.install_command}))


@command.command("demo")
@click.argument(
    "site", type=click.Path(exists=True, file_okay=False, path_type=Path), default="site/lab"
)
@click.option(
    "--kind",
    type=click.Choice([LabKind.NSPAWN.value, LabKind.ROOTLESS.value]),
    envvar="LAB",
    help="Default: the most real one possible; also $LAB.",
)
@directory_option
def demo_command(*, site: Path, kind: str | None, directory: Path) -> int:
    """Tell the whole story on three devices: plan, apply, a bad model, a lost connection, drift."""
    chosen = LabKind(kind) if kind else None
    return 0 if tell(site, directory / "demo", chosen, click.echo) else 1
