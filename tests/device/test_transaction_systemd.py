"""The transaction on devices with a real systemd: services, guard, boot, power."""

import pytest
from support.real_device import swapped_labels
from support.systemd_device import SystemdDevice, binds

pytestmark = pytest.mark.device


@pytest.fixture
def real(fresh_device, ssh, tmp_path):
    return SystemdDevice(fresh_device(binds=binds()), ssh, tmp_path)


def test_a_good_model_is_committed_and_a_wrong_one_turned_back(real):
    first = real.apply("1.0.0")
    assert first["outcome"] == "committed", first["reason"] + real.sh("sudo journalctl -n 60 --no-pager").out
    assert real.service()["ActiveState"] == "active"
    bad = real.apply("1.1.0", spoil=swapped_labels)
    assert bad["outcome"] == "rolled_back", bad
    assert real.serving()["generation"] == 1
    print(first["receipt"]["seconds"])
