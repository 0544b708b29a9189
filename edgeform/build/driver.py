"""Driver artifacts: .deb files of a vendor as one signed thing that travels with deployments.

Nothing is unpacked or run here: `dpkg-deb` reads each file's own control data. A file is called after its
package, because file names of Debian may hold what paths of artifacts may not.
"""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from edgeform.errors import Corrupt, OutsideFailed, UsageError
from edgeform.store.artifacts import Artifacts
from edgeform_wire import digest as digests
from edgeform_wire import driverset
from edgeform_wire.artifact import Artifact, ArtifactFile, Requires, check_segment
from edgeform_wire.driverset import DebPackage
from edgeform_wire.errors import WireError

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7l"}
ANY = "all"
TIMEOUT_S = 60.0


def add_driver(
    artifacts: Artifacts, name: str, version: str, debs: Iterable[Path], *, epoch: int = 0
) -> Artifact:
    """The driver artifact of these files, in the store.

    Raises:
        UsageError: two files of one package, two architectures, a name outside the grammar, none at all.
        Corrupt: a file is no Debian package. OutsideFailed: there is no dpkg-deb on this machine.
    """
    found = sorted(((_package(path), path) for path in debs), key=lambda one: one[0].name)
    names = [package.name for package, _ in found]
    twice = next((n for n in names if names.count(n) > 1), None)
    if not found or twice:
        raise UsageError(
            f"Two of the files are package {twice}."
            if twice
            else "There is no .deb file among them."
        )
    architectures = sorted({p.arch for p, _ in found if p.arch != ANY})
    if len(architectures) > 1:
        raise UsageError(
            f"The files are for more than one architecture: {', '.join(architectures)}."
        )
    arch = architectures[0] if architectures else ANY
    try:
        check_segment(name, "NAME")
        check_segment(version, "VERSION")
    except WireError as exc:
        raise UsageError(str(exc)) from exc
    paths = {package.file: path for package, path in found}
    artifact = Artifact(
        kind="driver",
        name=name,
        version=version,
        variant=arch,
        epoch=epoch,
        requires=Requires(arch=ARCHITECTURES.get(arch)),
        files=tuple(_file(file, path) for file, path in sorted(paths.items())),
        metadata={"packages": [package.to_json() for package, _ in found]},
    )
    artifacts.add(artifact, paths)
    return artifact


def _package(path: Path) -> DebPackage:
    if shutil.which("dpkg-deb") is None:
        raise OutsideFailed(
            "dpkg-deb is not on this machine, and .deb files are read with it.",
            hint="Install it:\n    apt-get install dpkg",
        )
    done = subprocess.run(
        ("dpkg-deb", "--show", "--showformat", "${Package}\\n${Version}\\n${Architecture}", path),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[-200:]
        raise Corrupt(f"This is no Debian package: {said}", address=str(path))
    name, version, arch = done.stdout.split("\n")[:3]
    package = DebPackage(name=name, version=version, arch=arch, file=f"{name}.deb")
    try:
        driverset.packages_of({"packages": [package.to_json()]})
    except WireError as exc:
        raise Corrupt(str(exc), address=str(path)) from exc
    return package


def _file(name: str, path: Path) -> ArtifactFile:
    return ArtifactFile(
        path=name,
        size_bytes=path.stat().st_size,
        mode="0644",
        digest=digests.of_file(str(path)),
    )
