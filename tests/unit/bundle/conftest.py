import shutil

import pytest
from support.device import a_prefix, a_publisher, an_enrolled_device, the_publisher
from support.stick import Press


@pytest.fixture(scope="session")
def new_trust(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stick-trust") / "trust"
    a_publisher(folder)
    return folder


@pytest.fixture
def press(tmp_path, new_trust):
    shutil.copytree(new_trust, tmp_path / "trust")
    return Press(tmp_path, the_publisher(tmp_path / "trust"))


@pytest.fixture
def device(another):
    return another()


@pytest.fixture(autouse=True)
def one_verifier(monkeypatch):
    """Our verifier alone: a process of openssl for each signature takes most of the time of hundreds of refreshes.

    That both agree is what tests/unit/device_trust proves, and tests/fault and tests/device run with both.
    """
    from edgeform_device import p256, tuf

    monkeypatch.setattr(tuf, "system_verify", lambda: p256.verify)


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory, new_trust):
    """A prefix to be copied: making its keys takes longer than what most tests do with it."""
    folder = tmp_path_factory.mktemp("enrolled") / "device"
    an_enrolled_device(folder, the_publisher(new_trust).root)
    return folder


@pytest.fixture
def another(tmp_path, enrolled):
    """another(): a fresh device of the same name and root."""
    made = []

    def make():
        made.append(tmp_path / f"another-{len(made)}")
        shutil.copytree(enrolled, made[-1], symlinks=True)
        return a_prefix(made[-1])

    return make
