"""Engines in closures of their own: built once, kept below pytest's cache, and asked in processes of their own."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.engine_contract import Subject

from edgeform.build import closure, strip
from edgeform.build.closure import ClosureRequest, copy_own, lock_of, make_tree
from edgeform.build.failure import BuildFailed, ClosureUnavailable

TESTS = Path(__file__).resolve().parents[1]
VENDOR = TESTS / "support" / "vendor"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
KEPT_CLOSURES = 12
CONTRACT_S = 180.0


def base_python() -> str:
    """The interpreter behind the environment that runs the tests: a closure brings all else."""
    return str(Path(sys.base_prefix, "bin", f"python{PYTHON}"))


def request_of(engine: str) -> ClosureRequest:
    """The closure for this very machine; skips where there is none."""
    libc, version = platform.libc_ver()
    if libc != "glibc":
        pytest.skip("closures are for glibc, and this system has another C library")
    return ClosureRequest(
        engine=engine,
        arch=platform.machine(),
        glibc=".".join(version.split(".")[:2]),
        python=PYTHON,
    )


def closure_lib(engine: str, cache: Path) -> Path:
    """The closure's `lib` for this machine, from the cache or built; edgeform's own packages are of now.

    Skips, with the reason, where its packages can be had neither from a cache nor from outside.
    """
    request = request_of(engine)
    try:
        lock = lock_of(request)
    except ClosureUnavailable as exc:
        pytest.skip(exc.detail)
    hasher = hashlib.sha256(f"{request}\n{lock}".encode())
    for module in (closure, strip):
        hasher.update(Path(module.__file__).read_bytes())
    kept = cache / f"{engine}-{hasher.hexdigest()[:16]}"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            try:
                make_tree(request, lock, Path(work, "tree"))
            except (BuildFailed, ClosureUnavailable) as exc:
                pytest.skip(f"the closure of {engine} cannot be built here: {exc.detail}")
            Path(work, "tree").rename(kept)
        _forget_old(cache)
    os.utime(kept)
    return kept / "lib"


def _forget_old(cache: Path) -> None:
    ages = sorted((p for p in cache.iterdir() if p.is_dir()), key=lambda p: -p.stat().st_mtime)
    for path in ages[KEPT_CLOSURES:]:
        shutil.rmtree(path, ignore_errors=True)


def own_lib(into: Path) -> Path:
    """edgeform's own packages as the tests see them, alone in a directory."""
    for package in closure.OWN_PACKAGES:
        copy_own(package, into)
    return into


def in_closure(
    arguments: tuple[str, ...],
    *paths: Path,
    libraries: Path | None = None,
    python: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """A Python with nothing but those directories to import from, beside the standard library."""
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if libraries is not None:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    return subprocess.run(
        (python or base_python(), "-s", *arguments),
        env=environment,
        capture_output=True,
        text=True,
        timeout=CONTRACT_S,
        check=False,
    )


def contract(subject: Subject, *paths: Path, **more: Any) -> dict[str, str | None]:
    """Each behaviour, and what went wrong with it."""
    done = in_closure(
        ("-m", "support.engine_contract", json.dumps(asdict(subject))), *paths, TESTS, **more
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr[-3000:]}"
    found: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_model(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    return str(path)


def compiled(source: str, library: Path, *options: str) -> None:
    """A shared library from C beside this file; skips where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the vendor's side of the interface")
    subprocess.run(
        (
            compiler,
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            *options,
            "-o",
            str(library),
            str(VENDOR / source),
        ),
        check=True,
        timeout=60,
    )
