"""The root file system that all systemd devices of a lab share, read-only.

It is built once by mmdebstrap from the mirrors that this host's own apt uses, kept in a cache under the
digest of its recipe, and never changed afterwards: devices have it mounted as their lower layer. Keys,
names and addresses are no part of it; each device gets its own in its upper layer.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeform.lab.execution import Command, Progress, run, silent
from edgeform.lab.failure import CommandFailed, LabError

PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "openssh-server",
    "openssl",
    "procps",
    "python3",
    "python3-apt",  # without it Ansible's apt module spends a minute failing to fetch it
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
)

# Runs inside mmdebstrap with the new root as $1.
CUSTOMIZE = r"""set -e
chroot "$1" useradd --create-home --shell /bin/bash edge
printf 'edge ALL=(ALL) NOPASSWD:ALL\n' > "$1/etc/sudoers.d/edge"
chmod 440 "$1/etc/sudoers.d/edge"
rm -f "$1"/etc/ssh/ssh_host_*
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\nUseDNS no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nMaxStartups 200\nMaxSessions 100\n' > "$1/etc/ssh/sshd_config.d/lab.conf"
: > "$1/etc/machine-id"
chroot "$1" systemctl enable systemd-networkd ssh
chroot "$1" systemctl disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
chroot "$1" systemctl mask systemd-networkd-wait-online.service proc-sys-fs-binfmt_misc.automount
"""  # noqa: E501 - a shell line cannot be folded without changing what printf writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides what the template holds."""

    suite: str
    architecture: str
    packages: tuple[str, ...] = PACKAGES
    customize: str = CUSTOMIZE

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the recipe's SHA-256: its name in the cache."""
        text = json.dumps([self.suite, self.architecture, self.packages, self.customize])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Where templates are kept: $EDGEFORM_LAB_CACHE, else the user's cache."""
    if chosen := environment.get("EDGEFORM_LAB_CACHE"):
        return Path(chosen)
    home = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME', '/root')}/.cache"
    return Path(home) / "edgeform" / "lab"


def recipe_of_host(os_release: str, machine: str) -> Recipe:
    """The recipe for the distribution and architecture that this host runs itself."""
    fields = dict(
        line.split("=", 1) for line in os_release.splitlines() if "=" in line and line[0] != "#"
    )
    suite = fields.get("VERSION_CODENAME", "").strip('"')
    if not suite:
        raise LabError(
            "This host's /etc/os-release names no VERSION_CODENAME, so no template can be chosen.",
            hint="Systemd devices need a Debian or Ubuntu host; use the rootless lab here.",
        )
    architectures = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}
    if machine not in architectures:
        raise LabError(f"No template is known for the architecture {machine!r}.")
    return Recipe(suite=suite, architecture=architectures[machine])


def own_sources(files: Mapping[str, str], suite: str) -> str:
    """Those apt sources of the host, as one-line entries, that belong to the distribution itself.

    Third-party repositories of the host have no place in a device. `files` maps names to texts, as
    found below /etc/apt.
    """
    lines: list[str] = []
    for name, text in sorted(files.items()):
        entries = _deb822(text) if name.endswith(".sources") else _one_line(text)
        for options, uri, dist, components in entries:
            if dist == suite or dist.startswith(f"{suite}-"):
                lines.append(" ".join(filter(None, ("deb", options, uri, dist, components))))
    if not lines:
        raise LabError(
            f"apt on this host has no source for {suite!r}, so the template cannot be filled.",
            hint="Add the distribution's own mirror to /etc/apt/sources.list.",
        )
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _deb822(text: str) -> Iterator[tuple[str, str, str, str]]:
    kept = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in "\n".join(kept).split("\n\n"):
        fields: dict[str, str] = {}
        last = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[last] += " " + line.strip()
            elif ":" in line:
                last, value = line.split(":", 1)
                last = last.lower()
                fields[last] = value.strip()
        if fields.get("enabled", "yes").lower() == "no" or "deb" not in fields.get("types", ""):
            continue
        signed = fields.get("signed-by", "")
        options = f"[signed-by={signed}]" if signed.startswith("/") else ""
        for uri in fields.get("uris", "").split():
            for dist in fields.get("suites", "").split():
                yield options, uri, dist, fields.get("components", "")


def _one_line(text: str) -> Iterator[tuple[str, str, str, str]]:
    for line in text.splitlines():
        words = line.split("#", 1)[0].strip()
        if not words.startswith("deb "):
            continue
        words = words[4:].strip()
        options = ""
        if words.startswith("["):
            options, _, words = words.partition("]")
            options += "]"
        uri, dist, *components = words.split()
        yield options, uri, dist, " ".join(components)


def apt_options(apt_config_dump: str) -> tuple[str, ...]:
    """The host's own ways to reach its mirrors: proxies, certificates, date checks.

    Only `Acquire::` settings that concern the way are taken; index and language choices are ours.
    """
    wanted = ("proxy", "cainfo", "check-date", "check-valid-until", "sslcert", "sslkey")
    return tuple(
        line.strip()
        for line in apt_config_dump.splitlines()
        if line.startswith("Acquire::")
        and '""' not in line
        and any(w in line.lower() for w in wanted)
    )


def build_command(
    recipe: Recipe, target: Path, *, sources: Path, options: tuple[str, ...]
) -> Command:
    """The one command that fills `target`."""
    return (
        "mmdebstrap",
        f"--architectures={recipe.architecture}",
        "--variant=minbase",
        "--mode=root",
        f"--include={','.join(recipe.packages)}",
        '--aptopt=Acquire::Languages "none"',
        *(f"--aptopt={option}" for option in options),
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        f"--customize-hook={recipe.customize}",
        recipe.suite,
        str(target),
        str(sources),
    )


def ensure_template(
    environment: Mapping[str, str],
    *,
    progress: Progress = silent,
    recipe: Recipe | None = None,
    launcher: Command = (),
) -> Path:
    """The path of a finished template, building it where the cache has none.

    Two callers at once build it once: the second waits on a lock.

    Args:
        launcher: stands before the building command; another architecture needs an emulator around it.
    """
    if recipe is None:
        recipe = recipe_of_host(Path("/etc/os-release").read_text(), platform.machine())
    templates = cache_directory(environment) / "templates"
    templates.mkdir(parents=True, exist_ok=True)
    finished = templates / recipe.digest
    if finished.is_dir():
        return finished
    with locked(templates / f"{recipe.digest}.lock", progress):
        if not finished.is_dir():
            _remove_unfinished(templates, recipe.digest)
            _build(recipe, finished, progress, launcher)
    return finished


def sources_of_host(suite: str) -> str:
    """The distribution's own apt sources of this host, as one-line entries."""
    directory = Path("/etc/apt")
    listed = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]
    texts = {path.name: path.read_text() for path in listed if path.is_file()}
    return own_sources(texts, suite)


def _build(recipe: Recipe, finished: Path, progress: Progress, launcher: Command) -> None:
    progress(
        f"building the device template ({recipe.suite}, {recipe.architecture}; once, about a minute)"
    )
    with tempfile.TemporaryDirectory(prefix="edgeform-apt-") as scratch:
        sources = Path(scratch) / "sources.list"
        sources.write_text(sources_of_host(recipe.suite))
        target = Path(tempfile.mkdtemp(prefix=f"{recipe.digest}.part-", dir=finished.parent))
        target.chmod(0o755)
        command = build_command(
            recipe, target, sources=sources, options=apt_options(run(("apt-config", "dump")))
        )
        try:
            _run_with_progress((*launcher, *command), progress)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
    # A power cut must not leave a half-written template under the finished name.
    os.sync()
    target.rename(finished)
    progress("device template ready")


def _run_with_progress(command: Command, progress: Progress) -> None:
    said: list[str] = []
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as exc:
        raise LabError(
            "The device template is built by mmdebstrap, which is not installed.",
            hint="apt-get install --no-install-recommends mmdebstrap",
        ) from exc
    with process:
        if process.stderr is None:
            raise AssertionError
        for line in process.stderr:
            said.append(line)
            if line.startswith("I: "):
                progress(line[3:].strip())
    if process.returncode != 0:
        raise CommandFailed(command[:1], process.returncode, "".join(said))


def _remove_unfinished(templates: Path, digest: str) -> None:
    for left in templates.glob(f"{digest}.part-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path, progress: Progress) -> Iterator[None]:
    """Nobody else is between the same two lines, in this process or another."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another process builds {path.stem}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
