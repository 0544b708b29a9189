"""The pages about Git, drift and reports, followed step by step as they are written.

Every line of their `sh` blocks is run by bash in one folder with a site `my-site` whose device is this machine. Only
places that belong to the machine are exchanged (TABLE), and programs that would change it stand as stubs that write
down what they were asked; what a line may end with is said in CODES.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.here import a_site_here
from support.locked_here import commit, git, write_lock
from support.pages import lines_of

REPOSITORY = Path(__file__).parents[2]
STUBS = ("systemctl", "pip")
TABLE = {
    "/etc/systemd/system": "{folder}/units",
    "/var/lib/node_exporter": "{folder}",
    "/etc/prometheus/rules": "{folder}",
    "cam-03": "here-1",
    "edgeform serve my-site": "timeout --preserve-status -s TERM 12 edgeform serve my-site --port 0 --offline",
    "--address 0.0.0.0": "--address 127.0.0.1",
}
CODES = {"edgeform drift my-site": {0}, "edgeform drift here-1 --on-device": {0}}
FOLLOWED = {"report.md": 6, "drift.md": 6, "git-and-ci.md": 2}
"""Page -> how many lines it has to run, so that a block that is no longer found is missed."""


@pytest.fixture
def folder(tmp_path, capsys):
    made = a_site_here(tmp_path, capsys)
    devices = made.site / "devices.yaml"
    devices.write_text(
        devices.read_text().replace("    - {name: away, connect: {mode: offline}}\n", "")
    )
    write_lock(made.site)
    assert made.run("enroll", "here-1").code == 0
    (tmp_path / "units").mkdir()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in STUBS:
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/asked\n')
        (programs / name).chmod(0o755)
    made.site.rename(tmp_path / "my-site")
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=fleet.plant.example", "-keyout", str(tmp_path / "key.pem"),
         "-out", str(tmp_path / "cert.pem")),
        check=True, capture_output=True,
    )  # fmt: skip
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / ".gitignore").write_text("here-1/\n*.pem\n")
    commit(tmp_path, "site")
    yield tmp_path
    made.end()


def follow(line: str, folder: Path) -> tuple[int, str]:
    for here, there in TABLE.items():
        line = line.replace(here, there.replace("{folder}", str(folder)))
    path = os.pathsep.join(
        (str(folder / "programs"), str(Path(sys.executable).parent), os.environ["PATH"])
    )
    done = subprocess.run(
        ("bash", "-eo", "pipefail", "-c", line), cwd=folder, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"PATH": path, "NO_COLOR": "1", "SLACK_WEBHOOK": "https://127.0.0.1:1/x"},
    )  # fmt: skip
    return done.returncode, f"$ {line}\n{done.stdout}"


@pytest.mark.parametrize(
    "page", [pytest.param("report.md", marks=pytest.mark.slow), "drift.md", "git-and-ci.md"]
)
def test_a_page_can_be_followed_as_it_is_written(page, folder):
    lines = lines_of(page)
    assert len(lines) == FOLLOWED[page], lines
    said = ""
    for line in lines:
        inside = (
            folder / "my-site"
            if re.search(r"edgeform drift (cam|schedule --systemd --on)", line)
            else folder
        )
        code, output = (
            follow(line, folder) if inside == folder else follow(f"cd my-site && {line}", folder)
        )
        said += output
        assert code in CODES.get(line, {0}), said
    for made in {
        "report.md": ("fleet.html", "token"),
        "drift.md": ("units/edgeform-drift-my-site.timer", "edgeform-drift.yml", "my-site/units"),
        "git-and-ci.md": (".github/workflows/edgeform.yml", ".gitlab/edgeform.yml"),
    }[page]:
        assert (folder / made).exists(), said
    if page == "report.md":
        assert "https://127.0.0.1:" in said
        assert said.count("  ended\n") == 2
    if page == "drift.md":
        asked = (folder / "asked").read_text()
        assert "systemctl enable --now edgeform-drift-my-site.timer" in asked
