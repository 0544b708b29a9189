"""A repository with a site whose device is this machine, locked without building anything.

Enough for everything up to applying: the lock names artifacts of which only the digests exist.
"""

import platform
import subprocess
from dataclasses import replace
from pathlib import Path

from support.here import Here, a_site_here
from support.plan import a_lock, a_model_artifact, a_runtime_artifact, digest

from edgeform.domain.artifacts import LockedSource, VersionRule
from edgeform.lock.lockfile import write

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.net", "-c", "commit.gpgsign=false")


def a_repository_here(folder: Path, capsys) -> tuple[Path, Here]:
    """The repository's root, and the site in its folder `site`; one device, here-1."""
    made = a_site_here(folder, capsys)
    devices = made.site / "devices.yaml"
    devices.write_text(
        devices.read_text().replace("    - {name: away, connect: {mode: offline}}\n", "")
    )
    write_lock(made.site)
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text(
        "here-1/\nplan.*\nedgeform.sarif\ngl-code-quality-report.json\n"
    )
    commit(folder, "site")
    return folder, made


def write_lock(site: Path, version: str = "1.0.0", variant: str = "onnx-f32") -> None:
    glibc = platform.libc_ver()[1]
    python = ".".join(platform.python_version_tuple()[:2])
    lock = a_lock(
        a_model_artifact(version=version, variant=variant),
        a_runtime_artifact(arch=platform.machine(), glibc=glibc, python=python),
    )
    found = LockedSource(
        model="digits",
        registry="local",
        source="digits",
        rule=VersionRule.SEMVER,
        wanted="^1.0",
        version=version,
        digest=digest(f"source {version}"),
    )
    write(site / "edgeform.lock", replace(lock, sources=(found,)))


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ("git", "-C", str(folder), *AUTHOR, *words), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")
