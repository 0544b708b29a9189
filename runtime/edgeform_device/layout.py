"""Where everything is on a device: the prefix, file by file, and the run directory.

The only place that joins path segments. Every name that came from outside is proven here again before
it becomes part of a path; a name that could leave its folder is a `WireError`, not a path.
"""

import os
import re
from dataclasses import dataclass
from typing import Optional

from edgeform_wire import artifact, digest
from edgeform_wire.errors import WireError

ROOT_PREFIX = "/var/lib/edgeform"
ROOT_RUN_DIR = "/run/edgeform"

# As in the site spec, so that one name stands in a path, a unit name and a URL alike.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?\Z")
_TRANSACTION = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")
_SOCKET_SUFFIXES = (".shadow", ".http")


@dataclass(frozen=True)
class Layout:
    """The paths of one installation.

    Args:
        prefix: absolute path of what survives a reboot.
        run_dir: absolute path of sockets and process files; gone after a reboot, or stale.
    """

    prefix: str
    run_dir: str

    def under(self, *segments: str) -> str:
        return os.path.join(self.prefix, *segments)

    # The tool and what it trusts.

    @property
    def command(self) -> str:
        """The two-line script that names the tool in use."""
        return self.under("bin", "edgeform-device")

    @property
    def tool_dir(self) -> str:
        return self.under("tool")

    def tool(self, tool_digest: str) -> str:
        return self.under("tool", digest.hex_of(tool_digest) + ".pyz")

    @property
    def trust_dir(self) -> str:
        return self.under("trust")

    # Bytes.

    @property
    def blobs_dir(self) -> str:
        return self.under("blobs", "sha256")

    def blob(self, blob_digest: str, *, is_executable: bool = False) -> str:
        """A mode belongs to the inode, so an executable file is another blob: `.x`."""
        text = digest.hex_of(blob_digest)
        return self.under("blobs", "sha256", text[:2], text[2:] + (".x" if is_executable else ""))

    @property
    def trees_dir(self) -> str:
        return self.under("trees")

    def tree(self, artifact_digest: str) -> str:
        return self.under("trees", digest.hex_of(artifact_digest))

    @property
    def derived_dir(self) -> str:
        return self.under("derived")

    def derived(self, key: str) -> str:
        return self.under("derived", artifact.check_segment(key, "derived key"))

    # Generations.

    @property
    def generations_dir(self) -> str:
        return self.under("gen")

    def generation(self, number: int) -> str:
        return self.under(self.generation_target(number))

    def generation_target(self, number: int) -> str:
        """What `current` says, relative to the prefix."""
        if type(number) is not int or number < 1:
            raise WireError(f"generation {number!r:.40} is not a positive number")
        return os.path.join("gen", str(number))

    def manifest(self, number: int) -> str:
        return os.path.join(self.generation(number), "manifest.json")

    def origin(self, number: int) -> str:
        return os.path.join(self.generation(number), "origin.json")

    def pipelines_dir(self, number: int) -> str:
        return os.path.join(self.generation(number), "pipelines")

    def pipeline_file(self, number: int, name: str) -> str:
        return os.path.join(self.pipelines_dir(number), check_name(name) + ".json")

    @property
    def current(self) -> str:
        return self.under("current")

    # State.

    @property
    def state_dir(self) -> str:
        return self.under("state")

    def state(self, name: str) -> str:
        return self.under("state", artifact.check_segment(name, "state file"))

    @property
    def device(self) -> str:
        return self.state("device.json")

    @property
    def lock(self) -> str:
        return self.state("lock")

    @property
    def committed(self) -> str:
        return self.state("committed")

    @property
    def txn(self) -> str:
        """The undecided transaction; `txn_commit` and `txn_revert` are what one rename makes of it."""
        return self.state("txn")

    @property
    def txn_commit(self) -> str:
        return self.state("txn.commit")

    @property
    def txn_revert(self) -> str:
        return self.state("txn.revert")

    @property
    def floor(self) -> str:
        return self.state("floor")

    @property
    def quarantine(self) -> str:
        return self.state("quarantine")

    @property
    def fence(self) -> str:
        return self.state("fence")

    @property
    def lease(self) -> str:
        return self.state("lease")

    @property
    def order(self) -> str:
        """What the detached transaction was asked to do."""
        return self.state("order")

    @property
    def attempt(self) -> str:
        """Boots spent on a transaction that needed one."""
        return self.state("attempt")

    @property
    def boots(self) -> str:
        return self.state("boots")

    @property
    def shut_down(self) -> str:
        """The mark of an orderly shutdown."""
        return self.state("shut_down")

    @property
    def needs_hands(self) -> str:
        return self.state("needs_hands")

    @property
    def journal_dir(self) -> str:
        return self.under("state", "journal")

    def journal(self, transaction: str) -> str:
        return self.under("state", "journal", check_transaction(transaction) + ".jsonl")

    @property
    def receipts(self) -> str:
        return self.under("receipts.jsonl")

    @property
    def reserve(self) -> str:
        return self.under("reserve.bin")

    # What comes in and what goes out.

    @property
    def part_dir(self) -> str:
        return self.under("incoming", ".part")

    def part(self, blob_digest: str) -> str:
        return self.under("incoming", ".part", digest.hex_of(blob_digest))

    @property
    def metadata_dir(self) -> str:
        return self.under("incoming", "metadata")

    @property
    def secrets_dir(self) -> str:
        return self.under("secrets")

    def secret(self, name: str) -> str:
        return self.under("secrets", artifact.check_segment(name, "secret"))

    @property
    def results_dir(self) -> str:
        return self.under("results")

    def results(self, name: str) -> str:
        return self.under("results", check_name(name))

    # Sockets and process files.

    def socket(self, name: str, *, is_shadow: bool = False) -> str:
        return os.path.join(
            self.run_dir, check_name(name) + (".shadow" if is_shadow else "") + ".sock"
        )

    @property
    def supervisor_dir(self) -> str:
        """Process files of the supervisor, where there is no systemd."""
        return os.path.join(self.run_dir, "supervisor")


def layout_for(prefix: str, run_dir: Optional[str] = None) -> Layout:
    """The layout of a prefix; sockets are under /run for the root prefix, else in the prefix itself."""
    absolute = os.path.abspath(prefix)
    if run_dir is None:
        run_dir = ROOT_RUN_DIR if absolute == ROOT_PREFIX else os.path.join(absolute, "run")
    return Layout(prefix=absolute, run_dir=run_dir)


def check_name(text: str) -> str:
    """A pipeline's name, when it can stand in a path, a unit name and a socket.

    Raises:
        WireError: outside the grammar, or it ends like one of the sockets beside it.
    """
    if not _NAME.match(text) or ".." in text or text.endswith(_SOCKET_SUFFIXES):
        raise WireError(f"pipeline name {text!r:.80} is outside the name grammar")
    return text


def check_transaction(text: str) -> str:
    """A transaction's id, when it can stand in a path.

    Raises:
        WireError: outside the grammar.
    """
    if not _TRANSACTION.match(text):
        raise WireError(f"transaction id {text!r:.80} is outside the grammar")
    return text
