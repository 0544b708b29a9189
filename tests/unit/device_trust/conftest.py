import pytest
from support.tuf_repo import ARepository, a_clock

from edgeform_device import p256, tuf

MODEL = "artifacts/model/digits/1.0/cpu.json"


class ADevice:
    """A device's trust folder; the cross-check with openssl has tests of its own."""

    def __init__(self, folder, root):
        self.folder = str(folder)
        tuf.install_root(self.folder, root, p256.verify)

    def refresh(self, fetch, clock=None):
        return tuf.refresh(self.folder, fetch, clock or a_clock(), p256.verify)

    def stored(self):
        return tuf.stored(self.folder, p256.verify)


@pytest.fixture
def repository():
    return ARepository().add(MODEL, custom={"epoch": 1}).publish()


@pytest.fixture
def new_device(tmp_path):
    """Makes devices that trust a repository's first root."""

    def make(repository, name="trust"):
        return ADevice(tmp_path / name, repository.files["1.root.json"])

    return make


@pytest.fixture
def device(repository, new_device):
    return new_device(repository)
