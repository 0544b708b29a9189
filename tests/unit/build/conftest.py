import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeform.build.closure import ClosureRequest, lock_of, make_tree, uv_path
from edgeform_wire import digest

REQUEST = ClosureRequest(engine="onnxruntime", arch="x86_64", glibc="2.36", python="3.11")


class DirectorySink:
    """A content-addressed store of the simplest kind: temporary file, rename."""

    def __init__(self, root):
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)

    def put(self, path):
        found = digest.of_file(str(path))
        part = self.root / ".part"
        shutil.copyfile(path, part)
        os.replace(part, self.root / digest.hex_of(found))
        return found


@pytest.fixture
def sink(tmp_path):
    return DirectorySink(tmp_path / "store")


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Skips, with the reason, where the closure's packages can be had neither from uv's cache nor outside."""
    root = tmp_path_factory.mktemp("reachable")
    (root / "r.txt").write_text(lock_of(REQUEST))
    command = (
        uv_path(),
        "pip",
        "install",
        "-q",
        "--dry-run",
        "--no-deps",
        "--target",
        str(root / "t"),
    )
    done = subprocess.run(
        (*command, "--only-binary", ":all:", "-r", str(root / "r.txt")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the package index cannot be reached: {done.stderr.strip()[:200]}")


@pytest.fixture(scope="session")
def closure_tree(packages, tmp_path_factory):
    """The tree of a closure for this very kind of machine: `<tree>/lib` goes on PYTHONPATH."""
    root = tmp_path_factory.mktemp("closure") / "work" / "tree"
    make_tree(REQUEST, lock_of(REQUEST), root)
    return root


def content_of(root):
    """Digest of every file below a directory, by relative path."""
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(Path(root).rglob("*"))
        if p.is_file()
    }
