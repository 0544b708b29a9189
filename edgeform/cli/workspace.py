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
from edgeform.secrets.passphrase import FILE_SUFFIX, TRUST_VARIABLE, read_passphrase


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

    def state_file(self, device: str) -> Path:
        """What a device that nobody reaches last said of itself, as a stick brought it home."""
        return self.records_dir / f"{device}.state.json"

    def findings_file(self, device: str) -> Path:
        """What it found when it checked itself, signed, as of that report."""
        return self.records_dir / f"{device}.drift.json"

    def journal(self) -> Journal:
        self.ensure_state_dir()
        return Journal(self.state_dir / "journal.db")

    def journal_to_read(self) -> Journal:
        """The journal that is there, for verbs that only look."""
        return Journal(self.state_dir / "journal.db", may_write=False)

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
    if TRUST_VARIABLE in os.environ or TRUST_VARIABLE + FILE_SUFFIX in os.environ:
        return read_passphrase(TRUST_VARIABLE, os.environ).reveal()
    if may_create and not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        created = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(created, "wb") as stream:
            stream.write(secrets.token_urlsafe(32).encode())
    if file.exists():
        beside = {TRUST_VARIABLE + FILE_SUFFIX: str(file)}
        return read_passphrase(TRUST_VARIABLE, beside).reveal()
    if sys.stdin.isatty():
        return getpass.getpass("passphrase of the signing keys: ").encode()
    return read_passphrase(TRUST_VARIABLE, os.environ).reveal()  # says what to set


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
