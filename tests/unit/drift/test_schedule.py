"""The units and lines that look for drift: what systemd, cron and the shell make of them."""

import shutil
import subprocess

import pytest

from edgeform.drift.schedule import cron_line, systemd_units
from edgeform.errors import UsageError

ODD = ("/opt/e f/edgeform", "drift", '/sites/100% "sure"', "--webhook", "slack=env/X", "$HOME\\x")


def units(command=("/usr/bin/edgeform", "drift", "/site"), **changed):
    known = {"name": "lab", "folder": "/", "at": "02:15"}
    return systemd_units(command, **(known | changed))


def test_a_run_that_was_missed_is_made_up_for_and_findings_are_no_failure():
    service, timer = units()
    assert (service.name, timer.name) == ("edgeform-drift-lab.service", "edgeform-drift-lab.timer")
    assert "SuccessExitStatus=2 9 20\n" in service.content
    assert "Persistent=true\n" in timer.content
    assert "OnCalendar=*-*-* 02:15:00\n" in timer.content


@pytest.mark.parametrize("at", ["24:00", "2:15", "02:60", "noon", "02:15\nExecStart=/bin/sh", ""])
def test_what_is_no_time_of_day_is_refused(at):
    with pytest.raises(UsageError):
        units(at=at)
    with pytest.raises(UsageError):
        cron_line(("x",), name="lab", folder="/", at=at)


def test_a_name_cannot_add_a_line_to_a_unit():
    with pytest.raises(UsageError):
        units(name="x\n[Service]")
    with pytest.raises(UsageError):
        units(("/bin/true", "a\nExecStartPre=/bin/sh"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("odd", [False, True])
def test_systemd_accepts_the_units_as_they_are(tmp_path, odd):
    program = tmp_path / "e f" / "edgeform"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    command = (str(program), *ODD[1:]) if odd else (str(program), "drift", "/")
    for unit in units(command):
        (tmp_path / unit.name).write_text(unit.content)
    paths = [str(tmp_path / unit.name) for unit in units()]
    done = subprocess.run(
        ("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *paths),
        capture_output=True,
        text=True,
        check=False,
    )
    mine = [line for line in done.stderr.splitlines() if "edgeform-drift" in line]
    assert (done.returncode, mine) == (0, []), done.stderr


def test_cron_runs_the_very_words(tmp_path):
    show = tmp_path / "show words"
    show.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    show.chmod(0o755)
    folder = tmp_path / "a % folder"
    folder.mkdir()
    text = cron_line((str(show), *ODD[1:]), name="t", folder=str(folder), at="02:15")
    minute, hour, *stars, rest = text.split(" ", 5)
    assert (minute, hour, stars) == ("15", "2", ["*", "*", "*"])
    # crontab(5): a % is a new line unless a backslash stands before it, which is taken away.
    assert not [n for n, c in enumerate(rest) if c == "%" and rest[n - 1] != "\\"]
    done = subprocess.run(
        ("sh", "-c", rest.replace("\\%", "%")), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(folder), *ODD[1:]]
