import shutil
from pathlib import Path

import pytest
from support.device import Device, Publisher, a_publisher, a_tool, an_enrolled_device, the_publisher


@pytest.fixture(scope="session")
def tool(tmp_path_factory) -> Path:
    """The device tool as it is shipped."""
    return a_tool(tmp_path_factory.mktemp("tool"))


@pytest.fixture(scope="session")
def new_trust(tmp_path_factory) -> Path:
    """A trust folder as `init` leaves it; making its keys takes most of a second."""
    folder = tmp_path_factory.mktemp("new") / "trust"
    a_publisher(folder)
    return folder


@pytest.fixture
def publisher(tmp_path, new_trust) -> Publisher:
    shutil.copytree(new_trust, tmp_path / "trust")
    return the_publisher(tmp_path / "trust")


@pytest.fixture
def device(tmp_path, publisher) -> Device:
    """Enrolled with the publisher's root."""
    return an_enrolled_device(tmp_path / "device", publisher.root)
