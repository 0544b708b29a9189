"""A site's folder and what edgeform keeps beside it: the paths, and the doors to what they hold.

`.edgeform/` is local and untracked (store, journal, development keys); `edgeform.lock`, `known_hosts` and
`records/` belong in Git.
"""

import getpass
import os
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgeform.errors import UsageError
from edgeform.rollout.journal import Journal

PASSPHRASE_VARIABLE = "EDGEFORM_TRUST_PASSPHRASE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The folder of one site."""

    site_dir: Path

    @property
    def state_dir(self) -> Path:
        return self.site_dir / ".edgeform"

    @property
    def store_dir(self) -> Path:
        return self.state_dir / "store"

    @property
    def trust_dir(self) -> Path:
        return self.state_dir / "trust"

    @property
    def secrets_file(self) -> Path:
        return self.site_dir / "secrets.enc.json"

    @property
    def lock_file(self) -> Path:
        return self.site_dir / "edgeform.lock"

    @property
    def known_hosts(self) -> Path:
        return self.site_dir / "known_hosts"

    @property
    def records_dir(self) -> Path:
        return self.site_dir / "records"

    def journal(self) -> Journal:
        self.ensure_state_dir()
        return Journal(self.state_dir / "journal.db")

    def ensure_state_dir(self) -> Path:
        """`.edgeform/`, closed to others and unknown to Git."""
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        ignore = self.state_dir / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        return self.state_dir

    def passphrase(self, *, may_create: bool = False) -> Callable[[], bytes]:
        """Where the key files' passphrase comes from: the environment, a 0600 file, or a question.

        Args:
            may_create: make a random one in the file, for development keys only.
        """
        return lambda: _passphrase(self.state_dir / "passphrase", may_create=may_create)


def _passphrase(file: Path, *, may_create: bool) -> bytes:
    found = os.environ.get(PASSPHRASE_VARIABLE)
    if found:
        return found.encode()
    if file.exists():
        if file.stat().st_mode & 0o077:
            raise UsageError(
                f"{file} can be read by others.", hint=f"Close it:\n    chmod 600 {file}"
            )
        return file.read_bytes().strip()
    if may_create:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        created = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(created, "wb") as stream:
            stream.write(secrets.token_urlsafe(32).encode())
        return file.read_bytes()
    if sys.stdin.isatty():
        return getpass.getpass("passphrase of the signing keys: ").encode()
    raise UsageError(
        "The signing keys need their passphrase.",
        hint=f"Set {PASSPHRASE_VARIABLE}, or write it to {file} with mode 0600.",
    )


def find_workspace(site: str | None) -> Workspace:
    """The workspace of a folder, or of the folder of a site.yaml; the current folder by default.

    Raises:
        UsageError: there is no site there.
    """
    path = Path(site or ".")
    folder = path.parent if path.is_file() else path
    if not (folder / "site.yaml").exists():
        raise UsageError(
            f"{folder} holds no site.yaml.",
            hint="Name the site's folder, or write a new one:\n    edgeform init my-site",
        )
    return Workspace(site_dir=folder)


def now() -> datetime:
    return datetime.now(UTC)


def stamp() -> str:
    """The time as everything written down has it: ISO 8601, UTC, whole seconds."""
    return now().replace(microsecond=0).isoformat().replace("+00:00", "Z")


def who() -> str:
    """Who is at work, for leases and the journal."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
