"""Driver packages that came as signed .deb files: a transaction of its own, before any generation, by `dpkg`
alone.

Packages have no slots: what changes is changed in place, and this is not atomic. So the way back is worked
out and written down before the first change: the .deb files of what was there, and what was not there at all.
What was cut is taken back by whoever comes next, at boot before any service. No package server is ever asked.
"""

import os
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from edgeform_device import command
from edgeform_device.durable import Disk
from edgeform_device.errors import Corrupt, NeedsHands, NotTrusted, Refused, RolledBack
from edgeform_device.layout import Layout
from edgeform_wire import canonical, driverset
from edgeform_wire.artifact import Artifact
from edgeform_wire.driverset import DebPackage, DriverSet
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

RECORD = "drivers"
INSTALLING, REBOOT = "installing", "reboot"
INSTALL_S, VERIFY_S, QUERY_S = 600.0, 60.0, 20.0
APT_CACHE = "/var/cache/apt/archives"
_INSTALL = ("dpkg", "--install", "--force-confdef", "--force-confold", "--force-hold")
_REMOVE = ("dpkg", "--purge", "--force-hold", "--force-remove-reinstreq")


@dataclass(frozen=True)
class Moved:
    """A package that is changed: what was there before (empty for nothing), and the .deb file of that."""

    name: str
    before: str
    back: str


@dataclass(frozen=True)
class Record:
    """A driver transaction that has begun. `boot_id` counts while it waits for a reboot."""

    transaction: str
    artifact: str
    phase: str
    boot_id: str
    moved: Tuple[Moved, ...]


class Drivers:
    """The driver packages of one device."""

    def __init__(self, disk: Disk, layout: Layout, boot_id: str) -> None:
        self._disk = disk
        self._layout = layout
        self._boot_id = boot_id
        self._path = layout.state(RECORD)

    def differing(self, artifact: Artifact) -> Tuple[DebPackage, ...]:
        """The packages of the artifact that are not installed in its version.

        Raises:
            NotTrusted: the manifest does not say what they are. Refused: there is no dpkg.
        """
        wanted = _packages(artifact)
        here = _installed(tuple(p.name for p in wanted))
        return tuple(p for p in wanted if here.get(p.name) != p.version)

    def awaits_reboot(self) -> bool:
        """Whether packages were installed that take effect after a reboot that has not been."""
        found = self._record()
        return found is not None and found.phase == REBOOT and found.boot_id == self._boot_id

    def install(self, artifact: Artifact, wanted: DriverSet, transaction: str) -> None:
        """Have the packages installed, held and verified; nothing where they are.

        Raises:
            Refused: there is no way back, a reboot is wanted, or no dpkg. Nothing was changed, or all is in
            place.
            RolledBack: they do not install or do not verify; what was there before is there again.
            NeedsHands: the way back failed too.
        """
        record = self._record()
        if record is not None and record.phase == REBOOT:
            if record.boot_id == self._boot_id:
                raise reboot_wanted()
            self._judge(record, wanted)
            return
        changes = self.differing(artifact)
        if not changes:
            self._hold(wanted)
            self._check_verified(wanted)
            return
        record = Record(
            transaction, artifact.digest, INSTALLING, "", self._way_back(changes, wanted)
        )
        self._write(record)
        tree = self._layout.tree(artifact.digest)
        files = tuple(os.path.join(tree, p.file) for p in changes)
        said = _failure((*_INSTALL, *files), INSTALL_S)
        if said:
            self._back(record, f"dpkg: {said}")
        self._hold(wanted)
        if wanted.reboot:
            self._write(Record(transaction, artifact.digest, REBOOT, self._boot_id, record.moved))
            raise reboot_wanted()
        self._judge(record, wanted)

    def undo_cut(self) -> str:
        """Take back what was cut in the middle; a sentence, empty where nothing was.

        Raises:
            NeedsHands: it cannot be taken back.
        """
        record = self._record()
        if record is None or record.phase != INSTALLING:
            return ""
        self._restore(record, "The installation of driver packages was cut off.")
        return "The driver packages before are in place again."

    def _judge(self, record: Record, wanted: DriverSet) -> None:
        said = _verification(wanted)
        if said:
            self._back(record, said)
        self._disk.remove(self._path)

    def _check_verified(self, wanted: DriverSet) -> None:
        """Packages that were there all along have nothing to go back to."""
        said = _verification(wanted)
        if said:
            raise Refused(
                "The drivers are installed as wanted, and they do not verify.",
                detail=said,
                hint="Look at the hardware and its kernel module.",
            )

    def _back(self, record: Record, why: str) -> None:
        self._restore(record, why)
        raise RolledBack(
            "The driver packages did not work here; those before are in place again.", detail=why
        )

    def _restore(self, record: Record, why: str) -> None:
        trouble = []
        files = tuple(m.back for m in record.moved if m.before and m.back)
        lost = tuple(m.name for m in record.moved if m.before and not m.back)
        new = tuple(m.name for m in record.moved if not m.before)
        if new:
            trouble.append(_failure((*_REMOVE, *new), INSTALL_S))
        if files:
            trouble.append(_failure((*_INSTALL, *files), INSTALL_S))
        if lost:
            trouble.append(f"no .deb file of what was there before of {', '.join(lost)}")
        here = _installed(tuple(m.name for m in record.moved))
        wrong = [m.name for m in record.moved if here.get(m.name, "") != m.before]
        said = "; ".join(text for text in trouble if text)
        if wrong:
            raise NeedsHands(
                f"The driver packages are neither the new nor the old ones: {', '.join(wrong)}.",
                detail=f"{why} The way back: {said or 'dpkg says nothing'}",
                hint="Put them right by hand, then repeat:\n    dpkg --audit",
            )
        self._disk.remove(self._path)

    def _way_back(self, changes: Tuple[DebPackage, ...], wanted: DriverSet) -> Tuple[Moved, ...]:
        here = _installed(tuple(p.name for p in changes))
        found = []
        for package in changes:
            before = here.get(package.name, "")
            back = self._deb_of(package.name, before) if before else ""
            if before and not back and wanted.undo == "packages":
                raise Refused(
                    f"{package.name} {before} would be replaced, and there is no way back to it.",
                    detail="The site wants to undo driver packages (`undo: packages`), and the .deb file of"
                    " the version that is installed is not on this device.",
                    hint="Put that .deb into the device's apt cache, or write `undo: none` for its class:\n"
                    f"    {APT_CACHE}",
                )
            found.append(Moved(package.name, before, back))
        return tuple(found)

    def _deb_of(self, name: str, version: str) -> str:
        """The .deb file of a version, of a driver artifact that is here or in apt's cache; empty for none."""
        trees, cache = self._layout.trees_dir, APT_CACHE
        candidates = [os.path.join(trees, tree, f"{name}.deb") for tree in self._disk.names(trees)]
        if os.path.isdir(cache):
            candidates += [
                os.path.join(cache, file)
                for file in sorted(os.listdir(cache))
                if file.startswith(name + "_") and file.endswith(".deb")
            ]
        for path in candidates:
            if os.path.isfile(path):
                code, out, _ = command.attempt(
                    ("dpkg-deb", "--field", path, "Package", "Version"), QUERY_S
                )
                if code == 0 and out.split() == ["Package:", name, "Version:", version]:
                    return path
        return ""

    def _hold(self, wanted: DriverSet) -> None:
        if not wanted.held:
            return
        import subprocess  # noqa: PLC0415 - only here does a command want input

        text = "".join(f"{name} hold\n" for name in wanted.held)
        done = subprocess.run(
            ("dpkg", "--set-selections"),
            input=text.encode(),
            capture_output=True,
            timeout=QUERY_S,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()[-200:]
            raise Refused(f"Packages cannot be held: {said}")

    def _record(self) -> Optional[Record]:
        content = self._disk.read(self._path)
        if content is None:
            return None
        try:
            fields = Fields(canonical.decode(content, RECORD), RECORD)
            fields.integer("format", minimum=1)
            found = Record(
                transaction=fields.text("transaction"),
                artifact=fields.digest("artifact"),
                phase=fields.choice("phase", (INSTALLING, REBOOT)),
                boot_id=fields.text("boot_id"),
                moved=fields.each("moved", _moved),
            )
            fields.done()
        except WireError as exc:
            raise Corrupt(
                "The record of a change of drivers cannot be read.",
                detail=f"{self._path}: {exc}",
                hint="Look at the packages by hand, then remove that file:\n    dpkg --audit",
            ) from exc
        return found

    def _write(self, record: Record) -> None:
        value = dict(vars(record), format=1, moved=[dict(vars(m)) for m in record.moved])
        self._disk.write_file(self._path, canonical.encode(value))


def reboot_wanted() -> Refused:
    return Refused(
        "The driver packages are installed, and they take effect after a reboot.",
        detail="The generation was not tried yet; the old one goes on.",
        hint="Reboot the device, then repeat the command:\n    systemctl reboot",
    )


def _packages(artifact: Artifact) -> Tuple[DebPackage, ...]:
    try:
        found = driverset.packages_of(artifact.metadata)
    except WireError as exc:
        raise NotTrusted(
            f"The driver artifact {artifact.name} {artifact.version} is not of the agreed form.",
            detail=str(exc),
            hint="Make it anew:\n    edgeform store add-driver NAME VERSION FILES.deb",
        ) from exc
    files = {file.path for file in artifact.files}
    lost = [p.file for p in found if p.file not in files]
    if lost:
        raise NotTrusted(f"The driver artifact {artifact.name} has no file {lost[0]}.")
    return found


def _installed(names: Tuple[str, ...]) -> Dict[str, str]:
    """The versions of those that are wholly installed."""
    if not names:
        return {}
    form = "${Package}\\t${Version}\\t${db:Status-Status}\\n"
    # It exits 1 where one of them is unknown, and tells of the others all the same.
    _, out, _ = command.attempt(("dpkg-query", "--show", "--showformat", form, *names), QUERY_S)
    found: Dict[str, str] = {}
    for line in out.splitlines():
        name, version, status = line.split("\t")
        if status == "installed":
            found[name] = version
    return found


def _verification(wanted: DriverSet) -> str:
    """Why the drivers do not verify; empty if they do, or there is nothing to ask."""
    return _failure(wanted.verify, VERIFY_S) if wanted.verify else ""


def _failure(argv: Tuple[str, ...], timeout_s: float) -> str:
    """What a command said when it failed; empty when it did not."""
    try:
        code, out, err = command.attempt(argv, timeout_s)
    except command.CommandFailed as exc:
        return f"{exc.summary} {exc.detail}".strip()
    if code == 0:
        return ""
    said = " ".join((err or out).split())[-300:]
    return f"{' '.join(argv[:3])} exited {code}: {said}"


def _moved(value: object, what: str) -> Moved:
    fields = Fields(value, what)
    found = Moved(
        driverset.check_name(fields.text("name"), what), fields.text("before"), fields.text("back")
    )
    fields.done()
    return found
