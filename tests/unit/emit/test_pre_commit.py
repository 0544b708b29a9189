"""The hooks as pre-commit itself runs them: it clones this repository, builds it and installs it by itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.here import a_site_here
from support.locked_here import commit, git

REPOSITORY = Path(__file__).parents[3]
PRE_COMMIT = shutil.which(
    "pre-commit", path=f"{REPOSITORY / '.venv-peers' / 'bin'}{os.pathsep}{os.environ['PATH']}"
)
CONFIGURATION = """\
repos:
  - repo: {source}
    rev: {commit}
    hooks:
      - {{id: edgeform-validate, args: [site]}}
      - {{id: edgeform-lock, args: [site]}}
"""


def source(folder: Path) -> Path:
    """This checkout, with what is not committed yet, as a repository of its own."""
    listed = subprocess.run(
        ("git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("this is no Git checkout, so pre-commit has nothing to clone")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file() and not name.startswith(("tests/", "docs/", "bench/")):
            to = folder / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, to)
    git(folder, "init", "-q", "-b", "main")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(PRE_COMMIT is None, reason="no pre-commit here (`make peers`)")
def test_both_hooks_pass_on_a_good_site_and_stop_a_bad_one(tmp_path, capsys):
    origin = tmp_path / "origin"
    origin.mkdir()
    head = commit(source(origin), "edgeform")
    root = tmp_path / "work"
    root.mkdir()
    here = a_site_here(root, capsys)
    devices = here.site / "devices.yaml"
    good = devices.read_text()
    git(root, "init", "-q", "-b", "main")
    (root / ".gitignore").write_text(".edgeform/\n")
    (root / ".pre-commit-config.yaml").write_text(CONFIGURATION.format(source=origin, commit=head))
    git(root, "add", "-A")

    def hooks(*names):
        found = [subprocess.run(
            (str(PRE_COMMIT), "run", "--all-files", "--verbose", name), cwd=root, text=True, timeout=800,
            env=os.environ | {"PRE_COMMIT_HOME": str(tmp_path / "home"), "NO_COLOR": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        ) for name in names]  # fmt: skip
        return [done.returncode for done in found], "".join(done.stdout for done in found)

    codes, said = hooks("edgeform-validate")
    if "CalledProcessError" in said or "An unexpected error" in said:
        pytest.skip(f"pre-commit cannot install edgeform here: {said.splitlines()[-1]}")
    assert codes == [0], said

    codes, said = hooks("edgeform-lock")
    assert codes == [1], said
    assert "edgeform lock" in said, "there is no lock yet, and it says how to make one"

    devices.write_text(good.replace("kind: DeviceList", "kind: DeviceLost"))
    codes, said = hooks("edgeform-validate")
    assert codes == [1], said
    assert "site/devices.yaml:2" in said
    assert "DeviceList" in said, "it says what was meant"
