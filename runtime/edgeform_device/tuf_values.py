"""What verified TUF metadata says, as values: roles, keys, versions, targets, delegations.

Nothing here reads bytes or decides about trust: `tuf_metadata` makes these values, `tuf_set` decides.
Source: TUF specification 1.0.34, section 4.
"""

import fnmatch
import hashlib
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional, Tuple

from edgeform_device import p256

TOP_LEVEL = ("root", "timestamp", "snapshot", "targets")
DEVELOPMENT = "development"
PRODUCTION = "production"


@dataclass(frozen=True)
class RoleKeys:
    """Whose signatures a role demands, and how many of them."""

    keys: Tuple[Tuple[str, Optional[p256.PublicKey]], ...]  # None: a key of a kind we do not accept
    threshold: int


@dataclass(frozen=True)
class FileMeta:
    version: int
    length: Optional[int]
    hashes: Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class TargetInfo:
    """What the signed metadata says about one file; `custom` is the signer's own JSON object."""

    path: str
    length: int
    sha256: str
    custom: Mapping[str, Any]


@dataclass(frozen=True)
class Delegation:
    """A role that others vouch for, and the target paths it may speak about."""

    name: str
    role_keys: RoleKeys
    patterns: Tuple[str, ...] = ()
    hash_prefixes: Tuple[str, ...] = ()
    is_terminating: bool = False

    def covers(self, path: str) -> bool:
        digest = hashlib.sha256(path.encode("utf-8")).hexdigest()
        if any(digest.startswith(prefix) for prefix in self.hash_prefixes):
            return True
        return any(_matches(path, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class SuccinctBins:
    """2**bit_length delegated roles with one set of keys; a path's hash says which bin is its own."""

    name_prefix: str
    bit_length: int
    role_keys: RoleKeys

    def bin_for(self, path: str) -> Delegation:
        head = hashlib.sha256(path.encode("utf-8")).digest()[:4]
        return self._bin(int.from_bytes(head, "big") >> (32 - self.bit_length))

    def every_bin(self) -> Iterator[Delegation]:
        return (self._bin(number) for number in range(2**self.bit_length))

    def _bin(self, number: int) -> Delegation:
        digits = len(f"{2**self.bit_length - 1:x}")
        return Delegation(f"{self.name_prefix}-{number:0{digits}x}", self.role_keys)


@dataclass(frozen=True)
class Root:
    version: int
    expires_s: int
    roles: Mapping[str, RoleKeys]
    is_consistent_snapshot: bool
    profile: str


@dataclass(frozen=True)
class Timestamp:
    version: int
    expires_s: int
    issued_s: int  # 0: the signer did not say
    snapshot: FileMeta


@dataclass(frozen=True)
class Snapshot:
    version: int
    expires_s: int
    meta: Mapping[str, FileMeta]


@dataclass(frozen=True)
class Targets:
    version: int
    expires_s: int
    targets: Mapping[str, TargetInfo]
    delegations: Tuple[Delegation, ...]
    bins: Optional[SuccinctBins]


def _matches(path: str, pattern: str) -> bool:
    """Shell-style, segment by segment: `*` never crosses a `/` (section 4.5)."""
    names, globs = path.split("/"), pattern.split("/")
    return len(names) == len(globs) and all(map(fnmatch.fnmatchcase, names, globs))
