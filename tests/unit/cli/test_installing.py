"""`drift schedule --install`: what it asks of systemctl and crontab, which stand here for the real ones.

systemctl(1): daemon-reload, enable --now UNIT, --user. crontab(1): `-l` prints the table and fails where there is
none, `-` replaces it from standard input. The device tests start such units under a real systemd.
"""

import os
import shutil
import subprocess

import pytest

from edgeform.cli import installing

OTHERS = "MAILTO=kim\n0 4 * * * /usr/bin/backup 50\\%\n"


@pytest.fixture
def machine(here, tmp_path, monkeypatch):
    """Programs on PATH that write down what they were asked; `crontab` keeps a table in a file."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (folder / "crontab").write_text(
        f'#!/bin/sh\ncase "$1" in\n-l) cat {tmp_path}/table 2>/dev/null || {{ echo "no crontab" >&2; exit 1; }};;\n'
        f"-) cat > {tmp_path}/table;;\nesac\n"
    )
    for program in folder.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(installing, "SYSTEM_UNITS", tmp_path / "system")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.mark.parametrize("is_root", [True, False])
def test_units_are_written_and_the_timer_is_started(here, machine, monkeypatch, is_root):
    monkeypatch.setattr("os.geteuid", lambda: 0 if is_root else 1000)
    said = here.run("drift", "schedule", "--systemd", "--install", "--at", "03:30")
    assert said.code == 0, said.err
    folder = machine / "system" if is_root else machine / "config/systemd/user"
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["edgeform-drift-site.service", "edgeform-drift-site.timer"]
    user = "" if is_root else "--user "
    assert (machine / "asked").read_text().splitlines() == [
        f"{user}daemon-reload", f"{user}enable --now edgeform-drift-site.timer",
    ]  # fmt: skip
    assert "list-timers" in said.out
    assert ("enable-linger" in said.out) != is_root


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_installed_units_are_ones_that_systemd_takes(here, machine):
    assert here.run("drift", "schedule", "--systemd", "--install").code == 0
    units = [str(p) for p in sorted((machine / "system").iterdir())]
    done = subprocess.run(
        ("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *units),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    mine = [line for line in done.stderr.splitlines() if "edgeform-drift" in line]
    assert (done.returncode, mine) == (0, []), done.stderr


def test_a_crontab_gets_one_line_and_keeps_the_others(here, machine):
    (machine / "table").write_text(OTHERS.rstrip("\n"))
    for at in ("02:15", "04:45"):
        said = here.run("drift", "schedule", "--cron", "--install", "--at", at)
        assert said.code == 0, said.err
    table = (machine / "table").read_text()
    assert table.startswith(OTHERS)
    (line,) = table.removeprefix(OTHERS).splitlines()
    assert line.startswith("45 4 * * * cd ")


def test_the_first_line_of_a_crontab(here, machine):
    assert here.run("drift", "schedule", "--cron", "--install").code == 0
    assert (machine / "table").read_text().count("\n") == 1


def test_a_manager_that_refuses_is_told_in_its_words(here, machine):
    (machine / "programs/systemctl").write_text(
        "#!/bin/sh\necho 'not booted with systemd' >&2; exit 1\n"
    )
    said = here.run("drift", "schedule", "--systemd", "--install")
    assert said.code == 13
    assert "not booted with systemd" in said.err
    assert "by hand" in said.err


def test_without_cron_it_says_so(here, machine, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    said = here.run("drift", "schedule", "--cron", "--install")
    assert (said.code, "no crontab on this machine" in said.err) == (13, True)


@pytest.mark.parametrize(
    "options",
    [("--systemd", "--on-device"), ("--systemd", "--out", "x"), ("--ci", "github"), ()],
)
def test_what_cannot_be_installed_here_says_what_to_do(here, machine, options):
    said = here.run("drift", "schedule", "--install", *options)
    assert said.code == 64
    assert not (machine / "asked").exists()
    assert here.run("drift", "--install").code == 64
