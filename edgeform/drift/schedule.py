"""Looking for drift again and again: units for systemd, a line for cron. Text, not installed.

What a drift run finds is no failure of the unit: notifications and metrics say what was found, and
`systemctl --failed` stays for runs that could not do their work.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from edgeform.errors import UsageError

FOUND = (2, 9, 20)
"""Exit codes that say what was found (drift or held, unknown, needs hands), not that the run failed.

Not 3: that is a site with errors, and then no device was looked at.
"""
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    name: str
    content: str


def systemd_units(
    command: Sequence[str], *, name: str, folder: str, at: str, user: str = ""
) -> tuple[Unit, ...]:
    """A service and its timer; one run at a time, and a run that was missed is made up for.

    Args:
        at: `02:15`, local time; runs of many machines are spread over a quarter of an hour.
        folder: where the command runs. user: empty for whoever the manager runs as.
    """
    _clock(at)
    as_user = f"User={user}\n" if user else ""
    service = (
        "[Unit]\n"
        f"Description=edgeform looks for drift ({_plain(name)})\n"
        "Wants=network-online.target\n"
        "After=network-online.target\n"
        "\n[Service]\n"
        "Type=oneshot\n"
        f"{as_user}"
        f"WorkingDirectory={_plain(folder).replace('%', '%%')}\n"
        f"ExecStart={' '.join(_unit_word(word) for word in command)}\n"
        f"SuccessExitStatus={' '.join(str(code) for code in FOUND)}\n"
        "TimeoutStartSec=2h\n"
        "Nice=10\n"
    )
    timer = (
        "[Unit]\n"
        f"Description=edgeform looks for drift every day ({_plain(name)})\n"
        "\n[Timer]\n"
        f"OnCalendar=*-*-* {at}:00\n"
        "RandomizedDelaySec=15min\n"
        "Persistent=true\n"
        "\n[Install]\n"
        "WantedBy=timers.target\n"
    )
    unit = f"edgeform-drift-{_unit_name(name)}"
    return (
        Unit(name=f"{unit}.service", content=service),
        Unit(name=f"{unit}.timer", content=timer),
    )


def cron_line(command: Sequence[str], *, name: str, folder: str, at: str) -> str:
    """One line of a crontab; a second run does not start while the first one goes on."""
    hour, minute = _clock(at)
    lock = f"/tmp/edgeform-drift-{_unit_name(name)}.lock"  # noqa: S108 - a lock, nothing is read from it
    words = shlex.join(("flock", "-n", lock, *command))
    line = f"{minute} {hour} * * * cd {shlex.quote(_plain(folder))} && {words}"
    return line.replace("%", "\\%") + "\n"  # cron takes a bare % for a new line


def _clock(at: str) -> tuple[int, int]:
    found = _CLOCK.match(at)
    if found is None:
        raise UsageError(f"{at!r:.40} is no time of day; write for example 02:15.")
    return int(found[1]), int(found[2])


def _plain(text: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise UsageError(f"{text!r:.80} has a control character in it.")
    return text


def _unit_name(name: str) -> str:
    return re.sub("[^A-Za-z0-9._-]", "-", name)[:60]


def _unit_word(word: str) -> str:
    """A word of ExecStart: systemd.service(5), "Command lines", and specifiers doubled."""
    word = _plain(word).replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_./:=@,+%$-]+", word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
