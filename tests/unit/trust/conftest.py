import shutil
from datetime import UTC, datetime, timedelta

import pytest

from edgeform import trust
from edgeform_device import p256, tuf
from edgeform_device.clock import Clock

NOW = datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC)
PASSPHRASE = b"correct horse"


def passphrase():
    return PASSPHRASE


class Place:
    """A trust folder and the time; days pass when a test says so."""

    def __init__(self, folder):
        self.folder = folder
        self.now = NOW
        self.trust = None

    @property
    def repository(self):
        return self.trust.repository

    @property
    def metadata(self):
        return self.repository.metadata

    def open(self):
        self.trust = trust.open_trust(self.folder, passphrase)
        return self

    def later(self, **span):
        self.now += timedelta(**span)
        return self

    def stage(self, *paths, content=b"{}", **options):
        targets = [trust.NewTarget(path=path, content=content) for path in paths]
        return self.repository.stage(now=self.now, add=targets, **options)

    def publish(self, *paths, **options):
        if paths:
            self.stage(*paths)
        return trust.publish(self.repository, self.trust.keyring, now=self.now, **options)

    def verify(self):
        return trust.verify(self.repository.folder, now=self.now, verify_signature=p256.verify)

    def device(self, folder):
        """What a device that trusts the first root says about this repository now."""
        tuf.install_root(str(folder), (self.metadata / "1.root.json").read_bytes(), p256.verify)
        now_s = int(self.now.timestamp())
        clock = Clock(built_s=now_s - 86_400, now_s=now_s, is_vouched=True)
        return tuf.refresh(str(folder), tuf.folder_fetch(str(self.metadata)), clock, p256.verify)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "trust")


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """One development repository for all tests to copy: making keys is slow on purpose."""
    folder = tmp_path_factory.mktemp("template") / "trust"
    trust.init_development(folder, ("lab",), passphrase, now=NOW)
    return folder


@pytest.fixture
def development(place, template):
    shutil.copytree(template, place.folder)
    return place.open()
