"""A TUF repository in memory, signed by python-tuf: what the device's client is attacked with.

Independent of edgeform.trust on purpose: both sides would share a misreading.
"""

import copy
import hashlib
import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from edgeform_device.clock import Clock

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
BUILT_S = NOW_S - 30 * 86_400
COMPACT = JSONSerializer(compact=True)


def a_clock(now_s=NOW_S, *, built_s=BUILT_S, is_vouched=True, is_required=False):
    return Clock(built_s=built_s, now_s=now_s, is_vouched=is_vouched, is_required=is_required)


def days(number):
    return NOW + timedelta(days=number)


class ARepository:
    """Root two of three, one key for each other role; `files` is what a device would read."""

    def __init__(self, *, profile=None, issued=True):
        self.root_keys = [CryptoSigner.generate_ecdsa() for _ in range(3)]
        self.keys = {
            role: CryptoSigner.generate_ecdsa() for role in ("targets", "snapshot", "timestamp")
        }
        fields = {"x-edgeform-profile": profile} if profile else {}
        self.root = Root(expires=days(365), consistent_snapshot=True, unrecognized_fields=fields)
        for signer in self.root_keys:
            self.root.add_key(signer.public_key, "root")
        self.root.roles["root"].threshold = 2
        for role, signer in self.keys.items():
            self.root.add_key(signer.public_key, role)
        self.targets = Targets(expires=days(90))
        self.snapshot = Snapshot(expires=days(90))
        issued_at = {"x-edgeform-issued": NOW.strftime("%Y-%m-%dT%H:%M:%SZ")} if issued else {}
        self.timestamp = Timestamp(expires=days(30), unrecognized_fields=issued_at)
        self.delegated = {}
        self.files = {}
        self.fetched = []
        self.publish_root()

    def signed(self, signed, signers):
        metadata = Metadata(copy.deepcopy(signed))
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes(COMPACT)

    def publish_root(self, signers=None):
        data = self.signed(self.root, signers or self.root_keys[:2])
        self.files[f"{self.root.version}.root.json"] = data
        return data

    def add(self, path, content=b"content", custom=None, role=None):
        target = TargetFile.from_data(path, content, ["sha256"])
        if custom is not None:
            target.unrecognized_fields["custom"] = custom
        (self.delegated[role][0] if role else self.targets).targets[path] = target
        return self

    def delegate(self, name, patterns, *, terminating=True, bins=0):
        """A delegated role with a key of its own; with `bins`, spread over that many bits."""
        signer = CryptoSigner.generate_ecdsa()
        self.targets.delegations = self.targets.delegations or Delegations({}, {})
        self.targets.delegations.roles[name] = DelegatedRole(name, [], 1, terminating, patterns)
        self.targets.add_key(signer.public_key, name)
        role = Targets(expires=days(30))
        self.delegated[name] = (role, signer)
        if bins:
            succinct = SuccinctRoles([signer.public_key.keyid], 1, bins, name)
            role.delegations = Delegations(
                {signer.public_key.keyid: signer.public_key}, succinct_roles=succinct
            )
            for child in succinct.get_roles():
                self.delegated[child] = (Targets(expires=days(30)), signer)
            return succinct
        return signer

    def publish(self, *, bump=True):
        if bump and self.timestamp_was_published:
            for signed in (self.targets, self.snapshot, self.timestamp):
                signed.version += 1
        for name, (role, signer) in self.delegated.items():
            data = self.signed(role, [signer])
            self.files[f"{role.version}.{name}.json"] = data
            self.snapshot.meta[f"{name}.json"] = MetaFile(role.version)
        data = self.signed(self.targets, [self.keys["targets"]])
        self.files[f"{self.targets.version}.targets.json"] = data
        self.snapshot.meta["targets.json"] = pinned(data, self.targets.version)
        data = self.signed(self.snapshot, [self.keys["snapshot"]])
        self.files[f"{self.snapshot.version}.snapshot.json"] = data
        self.timestamp.snapshot_meta = pinned(data, self.snapshot.version)
        self.files["timestamp.json"] = self.signed(self.timestamp, [self.keys["timestamp"]])
        return self

    @property
    def timestamp_was_published(self):
        return "timestamp.json" in self.files

    def resign_timestamp(self, signer=None, **fields):
        """The timestamp with other fields, signed again: what the thief of a key can do."""
        signed = copy.deepcopy(self.timestamp)
        for name, value in fields.items():
            setattr(signed, name, value)
        self.files["timestamp.json"] = self.signed(signed, [signer or self.keys["timestamp"]])
        return self

    def rotate_root(self, signers=None, *, lost=2, bump=1):
        """Replace one root key; by default signed by two old keys that stay."""
        new = CryptoSigner.generate_ecdsa()
        self.root.version += bump
        self.root.revoke_key(self.root_keys[lost].public_key.keyid, "root")
        self.root.add_key(new.public_key, "root")
        stay = [key for number, key in enumerate(self.root_keys) if number != lost]
        self.publish_root(signers(new, stay) if signers else stay)
        self.root_keys = [*stay, new]
        return new

    def edit_json(self, name, edit):
        document = json.loads(self.files[name])
        edit(document)
        self.files[name] = json.dumps(document, separators=(",", ":")).encode()
        return self

    def fetch(self, name, limit):
        self.fetched.append(name)
        data = self.files.get(name)
        return None if data is None else data[: limit + 1]

    def copy(self):
        return copy.deepcopy(self.files)


def pinned(data, version):
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


@contextmanager
def refused(kind, text):
    """The block must raise this DeviceError, with the text in its sentence or its reason."""
    with pytest.raises(kind) as caught:
        yield caught
    assert text in f"{caught.value.summary} {caught.value.detail}"
