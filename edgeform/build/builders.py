"""Builders: the closures that recipes run in, made by uv when they are first needed.

A builder is an environment of its own, because its packages contradict edgeform's and each other's. Every
package is fixed by hash in `builders/<name>.lock`; an evaluator, which runs a variant as a device would, has
the packages of the runtime closure for its engine. Environments lie in the user's cache, whole or not at all,
and are known by what they are made of.
"""

import contextlib
import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from edgeform.build.closure import (
    HOST_BOUND,
    PACKAGES,
    ClosureRequest,
    copy_own,
    lock_of,
    own_sources,
    pins,
    uv_path,
)
from edgeform.build.failure import BuilderUnavailable, ClosureUnavailable
from edgeform.domain.quantities import show_bytes
from edgeform_wire import canonical
from edgeform_wire import digest as digests

OWN_PACKAGES = ("edgeform_builder", "edgeform_wire")
SIZES_BYTES = {"onnx": 400 * 10**6, "openvino": 500 * 10**6, "litert": 400 * 10**6}
"""Unpacked, measured (x86-64, Python 3.11, 2026-11-28) and rounded up: what must be free first."""
EVALUATOR_BYTES = 400 * 10**6
EVALUATED_BY = {"tensorrt": "onnxruntime"}
"""Engines that need hardware: another one reads the same file here, and the device has the last word."""
UV_TIMEOUT_S = 3600.0
UNUSED_S = 30 * 24 * 3600.0
"""An environment that nobody used for so long goes when another form of the same builder is made."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A closure to build in, before it is made; `digest` is what derivations name."""

    name: str
    lock: str
    size_bytes: int
    own_packages: tuple[str, ...] = OWN_PACKAGES

    @property
    def digest(self) -> str:
        """Over packages, our own sources, the Python's minor version and the kind of machine."""
        return canonical.digest_of(
            {
                "builder": self.name,
                "lock": digests.of_bytes(self.lock.encode()),
                "sources": _own_digest(self.own_packages),
                "python": python_minor(),
                "machine": f"{sys.platform}-{platform.machine()}",
            }
        )

    @property
    def packages(self) -> tuple[tuple[str, str], ...]:
        """(name, version) of what the lock pins; where it pins two for two Pythons, both."""
        return pins(self.lock)


def python_minor() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def builder_of(name: str) -> Builder:
    """The builder with that name.

    Raises:
        BuilderUnavailable: there is no lock of that name in this installation.
    """
    folder = files("edgeform.build") / "builders"
    lock = folder / f"{name}.lock"
    if not lock.is_file():
        names = sorted(p.name.removesuffix(".lock") for p in folder.iterdir() if ".lock" in p.name)
        raise BuilderUnavailable(
            f"This edgeform has no builder {name!r}.", hint="There are: " + ", ".join(names)
        )
    size_bytes = SIZES_BYTES.get(name, EVALUATOR_BYTES)
    return Builder(name=name, lock=lock.read_text(encoding="utf-8"), size_bytes=size_bytes)


def evaluator_of(engine: str) -> Builder:
    """What runs a variant for that engine on this machine: the packages of its runtime closure.

    Raises:
        BuilderUnavailable: the engine needs hardware, or has no wheel for this Python.
    """
    stands_in = EVALUATED_BY.get(engine, engine)
    if stands_in in HOST_BOUND:
        raise BuilderUnavailable(
            f"{engine} runs on its own hardware only, so nothing here can judge the variant.",
            hint="Name a prebuilt `file` with goldens; the device judges it when it is applied.",
        )
    try:
        lock = lock_of(
            ClosureRequest(
                engine=stands_in, arch=_arch(), glibc=platform.libc_ver()[1], python=python_minor()
            )
        )
    except ClosureUnavailable as exc:
        raise BuilderUnavailable(exc.detail, hint=exc.hint) from exc
    return Builder(
        name=f"evaluate-{stands_in}",
        lock=lock,
        size_bytes=EVALUATOR_BYTES,
        own_packages=(*OWN_PACKAGES, "edgeform_runtime"),
    )


def version_in(builder: Builder, engine: str) -> str:
    """The engine's version in an evaluator's lock."""
    return dict(builder.packages)[PACKAGES[EVALUATED_BY.get(engine, engine)]]


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where environments lie: EDGEFORM_BUILDERS, else `edgeform/builders` of the user's cache."""
    named = environ.get("EDGEFORM_BUILDERS")
    if named:
        return Path(named)
    base = environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME', '/root')}/.cache"
    return Path(base, "edgeform", "builders")


@dataclass(frozen=True, slots=True, kw_only=True)
class Builders:
    """Makes environments in a folder, once for all who ask.

    Args:
        wheelhouse: a folder with every wheel; nothing is then asked of a network.
    """

    folder: Path
    wheelhouse: Path | None = None
    tell: Tell = lambda _: None

    def python(self, builder: Builder) -> Path:
        """The interpreter of the builder's environment, made now if it was not there.

        Raises:
            BuilderUnavailable: no room, no network, a package without a wheel for this Python, no uv.
        """
        home = self._home(builder)
        python = home / "bin" / "python"
        if python.exists():
            with contextlib.suppress(OSError):
                os.utime(home)  # in use: see _sweep
            return python
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(self.folder / f"{home.name}.lock"):
                if not python.exists():
                    self._make(builder, home)
        except OSError as exc:
            raise BuilderUnavailable(
                f"Builder {builder.name} cannot be written: {exc.strerror}.",
                address=str(exc.filename or self.folder),
                hint="Free some space, or name another folder:\n    export EDGEFORM_BUILDERS=/big/disk",
            ) from exc
        return python

    def is_ready(self, builder: Builder) -> bool:
        return (self._home(builder) / "bin" / "python").exists()

    def _home(self, builder: Builder) -> Path:
        return self.folder / f"{builder.name}-{digests.hex_of(builder.digest)[:24]}"

    def _make(self, builder: Builder, home: Path) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < builder.size_bytes:
            raise BuilderUnavailable(
                f"Builder {builder.name} takes about {show_bytes(builder.size_bytes)}; {self.folder} has"
                f" {show_bytes(free)}.",
                hint="Free some space, or name another folder:\n    export EDGEFORM_BUILDERS=/big/disk",
            )
        self.tell(f"builder {builder.name}: installing {len(builder.packages)} packages")
        self._sweep(builder, home)
        work = Path(tempfile.mkdtemp(prefix=f"{home.name}.new-", dir=self.folder))
        try:
            self._install(builder, work)
            work.rename(home)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _sweep(self, builder: Builder, home: Path) -> None:
        """Remove what a killed run left (we hold the lock), and forms of the builder that nobody uses."""
        for old in self.folder.glob(f"{home.name}.new-*"):
            shutil.rmtree(old, ignore_errors=True)
        for old in self.folder.glob(f"{builder.name}-*"):
            with contextlib.suppress(OSError):
                if old.is_dir() and time.time() - old.stat().st_mtime > UNUSED_S:
                    shutil.rmtree(old, ignore_errors=True)

    def _install(self, builder: Builder, work: Path) -> None:
        base = getattr(sys, "_base_executable", None) or sys.executable
        venv = (uv_path(), "venv", "--quiet", "--relocatable", "--python", base)
        self._uv(builder, (*venv, "--no-project", str(work)))
        requirements = work / "requirements.txt"
        requirements.write_text(builder.lock, encoding="utf-8")
        source = (
            ("--no-index", "--find-links", str(self.wheelhouse.resolve()))
            if self.wheelhouse is not None
            else ()
        )
        install = (
            *(uv_path(), "pip", "install", "--quiet", "--no-progress", *source),
            *("--python", str(work / "bin" / "python"), "--only-binary", ":all:", "--no-deps"),
            *("--require-hashes", "--requirement", str(requirements)),
        )
        self._uv(builder, install)
        site = work / "lib" / f"python{python_minor()}" / "site-packages"
        for package in builder.own_packages:
            copy_own(package, site)
        what = {"builder": builder.name, "digest": builder.digest}
        (work / "edgeform-builder.json").write_text(json.dumps(what) + "\n")

    def _uv(self, builder: Builder, command: tuple[str, ...]) -> None:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=UV_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as exc:
            raise BuilderUnavailable(
                f"uv did not finish builder {builder.name} within {UV_TIMEOUT_S:g} s."
            ) from exc
        if done.returncode:
            raise self._explained(builder, done.stderr.strip())

    def _explained(self, builder: Builder, text: str) -> BuilderUnavailable:
        what = f"Builder {builder.name} cannot be made: "
        if re.search(r"[Nn]o space left|os error 28", text):
            return BuilderUnavailable(
                what + "the disk is full.",
                hint="Free some space, or name another folder:\n    export EDGEFORM_BUILDERS=/big/disk",
            )
        if "ash mismatch" in text:
            return BuilderUnavailable(
                what + "a package's bytes are not those that the lock names.", address=text[:300]
            )
        if self.wheelhouse is not None:
            missing = re.search(r"[Bb]ecause (\S+) was not found", text) or re.search(
                r"there (?:is|are) no versions? of (\S+)", text
            )
            named = f" {missing[1].rstrip(',')}" if missing else " a package"
            return BuilderUnavailable(
                f"{what}the wheelhouse {self.wheelhouse} lacks{named}, or has another version of it.",
                address=text.splitlines()[0][:300] if text else "",
                hint="Fill it on a machine with a network:\n"
                f"    edgeform build --print-lock {builder.name} > requirements.txt\n"
                "    python3 -m pip download --require-hashes -r requirements.txt -d wheels",
            )
        if re.search(r"has no (?:usable )?wheels|no wheels? with a matching", text):
            return BuilderUnavailable(
                f"{what}a package has no wheel for Python {python_minor()} on {platform.machine()}.",
                address=text.splitlines()[0][:300],
                hint="Run edgeform with another Python (3.11 to 3.13 have the most wheels).",
            )
        if re.search(
            r"error sending request|dns error|[Ff]ailed to fetch|Network|[Cc]onnect", text
        ):
            return BuilderUnavailable(
                what + "the package index cannot be reached, and uv's cache has not all of it.",
                address=text.splitlines()[0][:300],
                hint="Check the network or UV_INDEX_URL, or bring the wheels:\n"
                "    edgeform build --wheelhouse wheels/",
            )
        return BuilderUnavailable(f"{what}uv failed:\n{text[-1500:]}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time makes an environment; the others wait for it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _arch() -> str:
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())


@cache
def _own_digest(packages: tuple[str, ...]) -> str:
    return canonical.digest_of(
        [[name, digests.of_bytes(content)] for name, content in own_sources(packages)]
    )
