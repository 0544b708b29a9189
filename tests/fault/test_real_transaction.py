"""The whole transaction on a plain directory: real tool, real runtime, real model, no systemd."""

import pytest
from support.real_device import RealDevice, swapped_labels


@pytest.fixture
def real(tmp_path):
    device = RealDevice(tmp_path)
    yield device
    device.end()


def test_a_good_model_is_committed_a_wrong_one_turned_back(real):
    first = real.apply("1.0.0")
    assert first["outcome"] == "committed", first
    serving = real.serving()
    assert (serving["phase"], serving["generation"]) == ("ready", 1)

    second = real.apply("1.1.0")
    assert second["outcome"] == "committed", second
    assert real.serving()["generation"] == 2

    bad = real.apply("1.2.0", spoil=swapped_labels)
    assert bad["outcome"] == "rolled_back", bad
    assert real.serving()["generation"] == 2
    print(first["receipt"]["seconds"], second["receipt"]["seconds"], bad["reason"], sep="\n")
