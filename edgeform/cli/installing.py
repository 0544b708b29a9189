"""Putting a schedule where it runs: units for systemd, a line into the crontab of whoever asks."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import click

from edgeform.drift.schedule import Unit
from edgeform.errors import OutsideFailed, UsageError

SYSTEM_UNITS = Path("/etc/systemd/system")
TIMEOUT_S = 60


def install_units(units: Sequence[Unit]) -> None:
    """Write the units and start the timer: for the whole system as root, else for the user's own manager.

    Raises:
        UsageError: the folder cannot be written. OutsideFailed: systemd refused; the files stay.
    """
    is_root = os.geteuid() == 0
    folder = SYSTEM_UNITS if is_root else _user_units()
    manager = ("systemctl",) if is_root else ("systemctl", "--user")
    for unit in units:
        write_unit(folder, unit)
    timer = next(unit.name for unit in units if unit.name.endswith(".timer"))
    _run((*manager, "daemon-reload"))
    _run((*manager, "enable", "--now", timer))
    click.echo(f"started {timer}; when it runs next:\n    {' '.join(manager)} list-timers {timer}")
    if not is_root:
        # loginctl(1): a user's manager ends with the last session, unless the user lingers.
        click.echo(
            "It runs while you are logged in. To have it run always:\n    loginctl enable-linger"
        )


def write_unit(folder: Path, unit: Unit) -> None:
    """Write one unit and say where.

    Raises:
        UsageError: it cannot be written.
    """
    file = folder / unit.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(unit.content)
    except OSError as exc:
        raise UsageError(f"It cannot be written: {exc.strerror}.", address=str(file)) from exc
    click.echo(file)


def install_cron_line(line: str) -> None:
    """Put the line into the crontab, in the place of the one for the same site, and leave all others alone.

    Raises:
        OutsideFailed: there is no cron, or it refuses the crontab.
    """
    found = _run(("crontab", "-l"), may_fail=True)
    lock = re.search(r"/tmp/edgeform-drift-[\w.-]+\.lock", line)  # noqa: S108 - only looked for
    if lock is None:
        raise AssertionError(line)
    kept = [entry for entry in found.splitlines(keepends=True) if f" {lock[0]} " not in entry]
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    _run(("crontab", "-"), stdin="".join((*kept, line)))
    click.echo(f"the crontab has it:\n    {line}", nl=False)


def _user_units() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "systemd" / "user"


def _run(command: tuple[str, ...], *, stdin: str = "", may_fail: bool = False) -> str:
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError as exc:
        raise OutsideFailed(f"There is no {command[0]} on this machine.") from exc
    except subprocess.TimeoutExpired as exc:
        raise OutsideFailed(f"`{' '.join(command)}` gave no answer within {TIMEOUT_S} s.") from exc
    if done.returncode != 0 and not may_fail:
        raise OutsideFailed(
            f"`{' '.join(command)}` failed: {done.stderr.strip()[:400] or f'exit {done.returncode}'}",
            hint="Without --install the text is printed, to be put where it belongs by hand.",
        )
    return done.stdout if done.returncode == 0 else ""
