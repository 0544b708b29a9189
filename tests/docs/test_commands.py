"""Runs the commands of README and tutorial, in one go, as they are written.

A block marked `sh run` is run line by line in one folder, README first; a line that shall fail says so with
`# exit N`. Devices are the unprivileged ones, so no root is needed; with `--run-all` on Linux as root the systemd
ones run the same lines.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeform.lab.device import LabKind
from edgeform.lab.doctor import doctor, why_not_nspawn

REPOSITORY = Path(__file__).parents[2]
PAGES = ("README.md", "docs/tutorial.md")
BLOCK = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"\s+# exit (\d+)$")


@dataclass(frozen=True)
class Line:
    page: str
    command: str
    exit_code: int


def lines():
    found = []
    for page in PAGES:
        for block in BLOCK.findall((REPOSITORY / page).read_text()):
            for text in block.splitlines():
                if text.strip():
                    code = EXIT.search(text)
                    found.append(Line(page, EXIT.sub("", text), int(code[1]) if code else 0))
    return found


def test_both_pages_have_commands_to_run():
    assert {line.page for line in lines()} == set(PAGES)
    assert len(lines()) > 30


@pytest.fixture
def folder():
    """A folder like the one a reader works in, with a lab that goes away whatever happens."""
    with tempfile.TemporaryDirectory(prefix="efd-") as name:
        (Path(name) / "site").symlink_to(REPOSITORY / "site")
        try:
            yield Path(name)
        finally:
            run("edgeform lab down", Path(name), dict(os.environ))


def run(command, folder, environment):
    tools = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment | {"PATH": tools, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind",
    [
        LabKind.ROOTLESS,
        pytest.param(LabKind.NSPAWN, marks=[pytest.mark.device, pytest.mark.slow]),
    ],
)
def test_the_commands_of_readme_and_tutorial_do_what_they_say(kind, folder):
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    if kind is LabKind.NSPAWN and (reason := why_not_nspawn(doctor(os.environ))):
        pytest.skip(f"no systemd devices here: {reason}")
    environment = dict(os.environ) | {"LAB": str(kind)}
    told = []
    for line in lines():
        began = time.monotonic()
        done = run(line.command, folder, environment)
        told.append(f"{time.monotonic() - began:5.1f} s  exit {done.returncode}  {line.command}")
        if done.returncode != line.exit_code:
            pytest.fail(
                "\n".join(told)
                + f"\n{line.page}: exit {done.returncode}, not {line.exit_code}\n"
                + done.stdout[-3000:]
                + done.stderr[-3000:]
            )
    print("\n".join(told))
