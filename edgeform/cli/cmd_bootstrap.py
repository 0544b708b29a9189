"""`edgeform bootstrap`: day zero. From a first user and a password to a machine edgeform can reach."""

import getpass
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from edgeform import events
from edgeform.cli.asking import Missed, Roll, call_the_roll, split_words, tell
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.pinning import known_hosts_of, pin_host_key
from edgeform.cli.talking import talk
from edgeform.domain.site import Device
from edgeform.errors import EdgeformError, Incomplete, OutsideFailed, UsageError, worst_of
from edgeform.events import Listener
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.shipped import shipped
from edgeform.transport.ansible import FirstLogin, Played, play
from edgeform.transport.base import DeviceUnreachable, ProvisionStep, Run
from edgeform.transport.hostkeys import known_name

PASSWORD = "EDGEFORM_BOOTSTRAP_PASSWORD"  # noqa: S105 - the variable's name
DEFAULT_USER = "edgeform"
COLUMNS = (
    Column(title="DEVICE"),
    Column(title="STATE"),
    Column(title="CHANGED", right=True),
    Column(title="USER"),
)


@click.command("bootstrap")
@click.argument("words", nargs=-1, metavar="[SITE] DEVICE...")
@select_option
@click.option("--user", default="root", show_default=True, help="Who can log in today.")
@click.option(
    "--login-key",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Log in with this private key instead of a password.",
)
@click.option(
    "--key",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The public key to allow from now on; default: connect.key_file with .pub.",
)
@click.option("--fingerprint", metavar="SHA256:...", help="The host key of the one device named.")
@click.option("--accept-new-host-key", is_flag=True, help="Believe unknown host keys once.")
@output_option("text", "json")
def command(
    words: tuple[str, ...],
    selectors: tuple[str, ...],
    user: str,
    login_key: Path | None,
    key: Path | None,
    fingerprint: str | None,
    accept_new_host_key: bool,
    output: str,
) -> int:
    """Make the site's user with its key and sudo, install Python, keep time; through Ansible.

    The password comes from EDGEFORM_BOOTSTRAP_PASSWORD, or is asked for; it never stands in a command line.
    A second run changes nothing. What Ansible will do on a vendor's system nobody can foresee exactly.
    """
    site, named = split_words(words)
    chosen = (*named, *selectors)
    if not chosen:
        raise UsageError("Name the devices:\n    edgeform bootstrap DEVICE")
    results: list[Missed | Played] = []
    with talk() as listener:
        roll = call_the_roll(site, chosen, listener)
        if fingerprint is not None and len(roll.devices) != 1:
            raise UsageError("--fingerprint is for one device; name it.")
        password = None if login_key else _password(user)
        for device in roll.devices:
            try:
                _pin(roll, device, fingerprint=fingerprint, accept_new=accept_new_host_key)
                with _login(roll, device, user, password, login_key) as login:
                    results.append(_play(device, login, key, listener))
            except EdgeformError as exc:
                results.append(_missed(device.name, exc))
        played = [d for d in roll.devices if _is_done(d.name, results)]
        results += _check_login(roll, played)
    _show(results, roll, output)
    codes = tell([r for r in results if isinstance(r, Missed)])
    for one in results:
        if isinstance(one, Played) and not one.succeeded:
            click.echo("\n".join(f"{one.host}: {f}" for f in one.failures), err=True)
            codes.append(OutsideFailed.exit_code if one.reached else Incomplete.exit_code)
    return worst_of(codes)


def _password(user: str) -> str:
    if os.environ.get(PASSWORD):
        return os.environ[PASSWORD]
    if not sys.stdin.isatty():
        raise UsageError(
            f"There is no password for {user}, and nobody is here to be asked.",
            hint=f"Put it into the environment as {PASSWORD}, or give --login-key.",
        )
    return getpass.getpass(f"password of {user}: ")


def _pin(roll: Roll, device: Device, *, fingerprint: str | None, accept_new: bool) -> None:
    target = roll.targets[device.name]
    file = known_hosts_of(roll.workspace, target)
    pinned = pin_host_key(target, file, fingerprint=fingerprint, accept_new=accept_new)
    click.echo(f"{device.name}: host key {pinned.key.fingerprint}, {pinned.how}", err=True)


@contextmanager
def _login(
    roll: Roll, device: Device, user: str, password: str | None, key: Path | None
) -> Iterator[FirstLogin]:
    """How Ansible gets in: its known_hosts holds this device's pinned keys and no other's."""
    target = roll.targets[device.name]
    host = device.connect.host or device.name
    file = known_hosts_of(roll.workspace, target)
    with tempfile.TemporaryDirectory(prefix="edgeform-bootstrap-") as scratch:
        known_hosts = Path(scratch) / "known_hosts"
        lines = file.read_text("utf-8") if file.exists() else ""
        if device.connect.host_key is not None:
            lines = f"{known_name(host, device.connect.port)} {device.connect.host_key}\n"
        known_hosts.write_text(lines, encoding="utf-8")
        yield FirstLogin(
            name=device.name,
            host=host,
            port=device.connect.port,
            user=user,
            known_hosts=known_hosts,
            password=password,
            key_file=None if key is None else str(key.absolute()),
        )


def _play(device: Device, login: FirstLogin, key: Path | None, listener: Listener) -> Played:
    variables: dict[str, str | bool] = {
        "provision_user": device.connect.user or DEFAULT_USER,
        "provision_key": _public_key(device, key),
        "provision_sudo": device.connect.become == "sudo",
        "bootstrap_become": login.user != "root",
    }
    return play(
        shipped("playbooks", "day_zero.yaml"),
        login,
        variables,
        plugins=shipped("playbooks", "plugins"),
        on_step=_told(device.name, listener),
    )


def _told(device: str, listener: Listener) -> Callable[[ProvisionStep], None]:
    return lambda step: listener(
        events.DriverStep(
            device=device,
            operation=step.operation,
            changed=step.changed,
            succeeded=step.succeeded,
            detail=step.detail,
        )
    )


def _public_key(device: Device, key: Path | None) -> str:
    named = device.connect.key_file
    file = key or (Path(f"{named}.pub").expanduser() if named else None)
    if file is None or not file.is_file():
        raise UsageError(
            "Nothing says which public key may log in from now on.",
            address=f"devices.{device.name}.connect.key_file",
            hint="Give it:\n    edgeform bootstrap DEVICE --key ~/.ssh/id_ed25519.pub",
        )
    return file.read_text("ascii").strip()


def _check_login(roll: Roll, devices: list[Device]) -> list[Missed]:
    """Log in as edgeform will from now on; a bootstrap that cannot be used has not happened."""
    refused: list[Missed] = []
    with open_fleet() as transport:
        for device in devices:
            target = roll.targets[device.name]
            # The pin may be in a file that was not there when the targets were made.
            target = replace(target, known_hosts=known_hosts_of(roll.workspace, target))
            try:
                finished = transport.run(target, Run(argv=("true",), timeout_s=30.0))
            except DeviceUnreachable as exc:
                refused.append(_missed(device.name, exc))
                continue
            if finished.exit_code:
                said = finished.stderr.decode("utf-8", "replace")[-300:]
                refused.append(_missed(device.name, OutsideFailed(f"`true` failed: {said}")))
    return refused


def _is_done(device: str, results: list[Missed | Played]) -> bool:
    return any(isinstance(r, Played) and r.host == device and r.succeeded for r in results)


def _missed(device: str, exc: EdgeformError) -> Missed:
    reason = str(exc.reason) if isinstance(exc, DeviceUnreachable) else exc.summary.lower()
    return Missed(
        device=device,
        reason=reason,
        detail=exc.detail,
        hint=exc.hint,
        exit_code=exc.exit_code,
    )


def _show(results: list[Missed | Played], roll: Roll, output: str) -> None:
    users: dict[str, str] = {d.name: d.connect.user or DEFAULT_USER for d in roll.devices}
    refused = {r.device for r in results if isinstance(r, Missed)}
    played = [r for r in results if isinstance(r, Played)]
    if output == "json":
        for one in results:
            if isinstance(one, Missed):
                click.echo(line(one.to_json()))
            else:
                value = {"device": one.host, "changed": one.changed, "user": users[one.host]}
                click.echo(line(value | {"succeeded": one.succeeded and one.host not in refused}))
        return
    rows = [
        (
            p.host,
            "ready" if p.succeeded and p.host not in refused else "failed",
            str(p.changed),
            users[p.host],
        )
        for p in played
    ]
    click.echo(table(COLUMNS, rows), nl=False)
