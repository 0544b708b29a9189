"""Models beside a pipeline's own are signed, stored, loaded and judged like it, by the real tool and runtime."""

import pytest
from support import device as devices
from support.real_device import RealDevice, model_files, swapped_labels
from support.runtime import some_stages


@pytest.fixture
def real(tmp_path):
    device = RealDevice(tmp_path)
    yield device
    device.end()


def put_beside(real, spoil=None):
    files = model_files(spoil)
    small = devices.a_model(files, version="0.1.0")
    real.beside = ((small, files),)
    thermal = {
        "smaller": {"celsius": 149.0, "model": small.digest, "model_ref": "digits@0.1.0/f32"},
    }
    real.stages = some_stages(thermal=thermal)


def checks_of(outcome):
    return {c["name"]: c["verdict"] for c in outcome["receipt"]["checks"]}


def test_a_smaller_model_is_judged_by_its_own_goldens_before_the_commit(real):
    put_beside(real)
    outcome = real.apply("1.0.0")
    assert outcome["outcome"] == "committed", outcome
    found = checks_of(outcome)
    assert found["smaller.golden"] == "pass"
    assert found["shadow.smaller.golden"] == "pass"
    assert set(real.serving()["slots"]) == {"live", "smaller"}

    again = real.apply("1.1.0")
    assert again["outcome"] == "committed", again
    assert checks_of(again)["switch"] == "pass"
    assert set(real.serving()["slots"]) == {"live", "smaller"}, "a swap leaves it where it is"


def test_a_wrong_smaller_model_is_turned_down_although_nobody_uses_it_yet(real):
    assert real.apply("1.0.0")["outcome"] == "committed"
    put_beside(real, swapped_labels)
    outcome = real.apply("1.1.0")
    assert outcome["outcome"] == "rolled_back", outcome
    assert "smaller.golden" in outcome["reason"]
    assert "Nothing was switched" in outcome["reason"]
    assert real.serving()["generation"] == 1
