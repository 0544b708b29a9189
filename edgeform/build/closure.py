"""Runtime closures: engine, numpy, Pillow and edgeform's own runtime for one kind of device, by uv.

The packages are fixed by hash in `locks/<engine>-<python>.txt`, or `locks/host-<python>.txt` where the engine
is the device's own, and `locks/extras/<extra>-<python>.txt`; nothing is resolved here. Building twice gives
the same artifact, byte for byte, wherever it is built.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from edgeform.build.failure import BuildFailed, ClosureUnavailable
from edgeform.build.strip import strip
from edgeform.build.tree import BlobSink, files_of, no_space
from edgeform.domain.hardware import HOST_VERSION
from edgeform.version import VERSION
from edgeform_wire.artifact import Artifact, Requires

OWN_PACKAGES = ("edgeform_runtime", "edgeform_wire")
PACKAGES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "litert": "ai-edge-litert",
    "tflite": "tflite-runtime",
}
"""The package that is the engine, where one is."""
HOST_BOUND = ("tensorrt", "hailort", "neuron")
"""Engines whose libraries belong to the device's system and its drivers: their closures hold all the rest."""
HOST = HOST_VERSION
"""Such an engine's version, as far as a closure can say, and the name of their common lock."""
ARCHITECTURES = ("x86_64", "aarch64")
UV_GLIBC_MINORS = (17, 28, *range(31, 41))
"""The manylinux platforms that uv knows by name; a device takes the newest that is not above its own."""
UV_TIMEOUT_S = 600.0
_TAG = re.compile(r"^Tag: \S+-manylinux_2_(\d+)_\w+$", re.MULTILINE)
_PURE_TAG = re.compile(r"^Tag: \S+-none-any$", re.MULTILINE)
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosureRequest:
    """The kind of device: glibc is what it has ("2.36"), python its minor version ("3.11").

    `extras` are what its stages ask for, sorted: `domain.stages.extras`.
    """

    engine: str
    arch: str
    glibc: str
    python: str
    epoch: int = 0
    extras: tuple[str, ...] = ()


def build_closure(
    request: ClosureRequest,
    out_store: BlobSink,
    work_dir: Path,
    progress: Progress = lambda _: None,
) -> Artifact:
    """The runtime artifact for that kind of device; its files are in the store when this returns.

    Raises:
        ClosureUnavailable: no lock for the engine and Python, or a package without a wheel for the device.
        BuildFailed: uv is missing, the network or the disk failed. The work directory is left clean.
    """
    lock = lock_of(request)
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="closure-", dir=work_dir) as work:
            root = Path(work, "tree")
            packages = make_tree(request, lock, root, progress)
            progress("hashing and storing")
            found = files_of(root, out_store)
    except OSError as exc:
        raise no_space(exc, work_dir) from exc
    version = packages[PACKAGES[request.engine]] if request.engine in PACKAGES else HOST
    glibc = packages.pop("glibc")
    return Artifact(
        kind="runtime",
        name=request.engine,
        version=f"{version}+{VERSION}",
        variant="+".join((f"{request.arch}-glibc{glibc}-py{request.python}", *request.extras)),
        epoch=request.epoch,
        requires=Requires(arch=request.arch, glibc=glibc, python=request.python),
        files=found,
        metadata={
            "engine": request.engine,
            "engine_version": version,
            "python": request.python,
            "packages": packages,
            **({"extras": list(request.extras)} if request.extras else {}),
        },
    )


def lock_of(request: ClosureRequest) -> str:
    """The text of the lock for an engine and a Python, with what stages need on every one of them.

    Raises:
        ClosureUnavailable: there is none, or the architecture is not supported; says what there is.
    """
    if request.arch not in ARCHITECTURES:
        raise ClosureUnavailable(
            f"No {request.engine} wheels exist for {request.arch}.",
            hint=f"Supported: {', '.join(ARCHITECTURES)}.",
        )
    locks = files("edgeform.build") / "locks"
    stem = HOST if request.engine in HOST_BOUND else request.engine
    wanted = locks / f"{stem}-{request.python}.txt"
    if not wanted.is_file():
        names = sorted(
            p.name.removesuffix(".txt") for p in locks.iterdir() if p.name[-4:] == ".txt"
        )
        raise ClosureUnavailable(
            f"There is no lock for {request.engine} on Python {request.python}.",
            hint="There are: " + ", ".join(names),
        )
    # Pure Python, so one lock fits every engine and architecture; the newest paho-mqtt leaves 3.8 out.
    own = locks / f"stages-{request.python}.lock"
    stages = (own if own.is_file() else locks / "stages.lock").read_text(encoding="utf-8")
    extras = (_extra(locks / "extras", extra, request.python) for extra in request.extras)
    return "".join((wanted.read_text(encoding="utf-8"), stages, *extras))


def _extra(locks: Traversable, extra: str, python: str) -> str:
    """The lock of a stage extra.

    Raises:
        ClosureUnavailable: there is none for this Python.
    """
    wanted = locks / f"{extra}-{python}.txt"
    if wanted.is_file():
        return wanted.read_text(encoding="utf-8")
    known = [
        p.name.removesuffix(".txt").rpartition("-")[2]
        for p in locks.iterdir()
        if p.name.startswith(f"{extra}-")
    ]
    known.sort(key=lambda version: int(version.rpartition(".")[2]))
    raise ClosureUnavailable(
        f"There is no lock of the stage extra {extra} for Python {python}.",
        hint=f"There is one for Python {', '.join(known)}." if known else "",
    )


def make_tree(
    request: ClosureRequest, lock: str, root: Path, progress: Progress = lambda _: None
) -> dict[str, str]:
    """Write the closure's tree to `root`; gives the packages' versions, and `glibc`: what they demand."""
    lib = root / "lib"
    lib.mkdir(parents=True)
    progress(f"installing {', '.join(name for name, _ in pins(lock))} for {request.arch}")
    _install(request, lock, lib)
    glibc = _glibc_of(lib)
    progress("stripping")
    strip(lib)
    for package in OWN_PACKAGES:
        copy_own(package, lib)
    return {**dict(pins(lock)), "edgeform": VERSION, "glibc": glibc}


def pins(lock: str) -> tuple[tuple[str, str], ...]:
    """(name, version) of the packages in a lock."""
    return tuple((m[1].lower(), m[2]) for m in _PIN.finditer(lock))


def platform_of(arch: str, glibc: str) -> str:
    """Uv's name of the newest manylinux platform that a device with that glibc can run.

    Raises:
        ClosureUnavailable: the glibc is older than any wheel, or is no version.
    """
    parts = glibc.split(".")
    if len(parts) < 2 or not all(p.isdigit() for p in parts[:2]) or parts[0] != "2":
        raise ClosureUnavailable(f"glibc {glibc!r} is no version such as 2.36.")
    fitting = [minor for minor in UV_GLIBC_MINORS if minor <= int(parts[1])]
    if not fitting:
        raise ClosureUnavailable(f"glibc {glibc} is older than any wheel; 2.17 is the oldest.")
    return f"{arch}-manylinux_2_{max(fitting)}"


def check_wheels(request: ClosureRequest) -> None:
    """Whether each package of the closure has a wheel for the device; no package is downloaded.

    Raises:
        ClosureUnavailable: there is no lock, or a package has no wheel; named.
        BuildFailed: uv is not there, or the index cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="edgeform-wheels-") as work:
        _install(request, lock_of(request), Path(work, "tree", "lib"), is_dry=True)


def _install(request: ClosureRequest, lock: str, lib: Path, *, is_dry: bool = False) -> None:
    requirements = lib.parent.parent / "requirements.txt"
    requirements.write_text(lock, encoding="utf-8")
    platform = platform_of(request.arch, request.glibc)
    command = (
        *(uv_path(), "pip", "install", "--quiet", "--no-progress"),
        *("--python", sys.executable, "--target", str(lib)),
        *("--python-platform", platform, "--python-version", request.python),
        *("--only-binary", ":all:", "--no-deps", "--require-hashes", "--link-mode", "copy"),
        *("--no-compile-bytecode", "--requirement", str(requirements)),
        *(("--dry-run",) if is_dry else ()),
    )
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=UV_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise BuildFailed(f"uv did not finish within {UV_TIMEOUT_S:g} s.") from exc
    except OSError as exc:
        raise BuildFailed(f"uv cannot be started: {exc.strerror}.") from exc
    if done.returncode:
        raise _explained(request, platform, done.stderr)
    (lib / ".lock").unlink(missing_ok=True)


def uv_path() -> str:
    """Where uv is: beside this Python, where pip installed it, or on PATH.

    Raises:
        BuildFailed: nowhere.
    """
    if importlib.util.find_spec("uv") is not None:
        from uv import find_uv_bin  # noqa: PLC0415 - only a build needs it

        try:
            return str(find_uv_bin())
        except FileNotFoundError:
            pass  # the package without its binary: look on PATH
    found = shutil.which("uv")
    if found is None:
        raise BuildFailed(
            "uv is not installed; it brings the packages of a closure.",
            hint="Install it with:\n    python3 -m pip install uv",
        )
    return found


def _explained(request: ClosureRequest, platform: str, stderr: str) -> Exception:
    text = stderr.strip()
    missing = re.search(r"(\S+?)==(\S+) has no (?:usable )?wheels", text)
    if missing:
        return ClosureUnavailable(
            f"{missing[1]} {missing[2]} has no wheel for {platform}, Python {request.python}.",
            hint="The device needs a newer system, or another engine version in the lock.",
        )
    older = re.search(r"(\S+?)==(\S+?) (?:only supports|depends on Python)\s?(>=[\d.]+)?", text)
    if older:
        return ClosureUnavailable(
            f"{older[1]} {older[2]} is for Python {older[3] or 'of another version'}, not for"
            f" {request.python}.",
            hint="The device needs a newer Python.",
        )
    if re.search(r"[Nn]o space left|os error 28", text):
        return BuildFailed("The disk is full.", hint="Free some space and build again.")
    if re.search(r"error sending request|dns error|[Ff]ailed to fetch|Network|[Cc]onnect", text):
        return BuildFailed(
            "The package index cannot be reached, and the packages are not in uv's cache.",
            address=text.splitlines()[0][:300],
            hint="Check the network or UV_INDEX_URL, or build once on a machine that has it.",
        )
    if "ash mismatch" in text:
        return BuildFailed(
            "A package's bytes are not those that the lock names.", address=text[:300]
        )
    return BuildFailed(f"uv failed:\n{text[-1500:]}")


def _glibc_of(lib: Path) -> str:
    """The glibc that the installed wheels demand: the least that each allows, the most of all."""
    minors = [17]
    for wheel in lib.glob("*.dist-info/WHEEL"):
        text = wheel.read_text(encoding="utf-8")
        allowed = [int(minor) for minor in _TAG.findall(text)]
        if "manylinux2014" in text or _PURE_TAG.search(text):
            allowed.append(17)
        if not allowed:
            raise BuildFailed(f"{wheel.parent.name}: its wheel says no manylinux platform.")
        minors.append(min(allowed))
    return f"2.{max(minors)}"


def copy_own(package: str, lib: Path) -> None:
    """Copy one of edgeform's own packages as it is installed here: sources only."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BuildFailed(
            f"{package} is not installed beside edgeform.", hint="Install edgeform again."
        )
    source = Path(spec.submodule_search_locations[0])
    for directory, names, found in os.walk(source):
        names[:] = sorted(n for n in names if n != "__pycache__")
        for name in sorted(found):
            if name.endswith(".py"):
                target = lib / package / Path(directory).relative_to(source) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(directory, name), target)


def own_sources(packages: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """(path, content) of the sources of our own packages as they are installed here, sorted."""
    return tuple(
        sorted(entry for package in packages for entry in _sources(files(package), package))
    )


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{name}/{entry.name}")
        elif entry.name.endswith(".py"):
            yield f"{name}/{entry.name}", entry.read_bytes()
