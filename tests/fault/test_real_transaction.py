"""The whole transaction on a plain directory: real tool, real runtime, real model, no systemd."""

import time

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


@pytest.mark.parametrize(
    ("outcome", "policy"),
    [("committed", {"soak_s": 1.5}), ("rolled_back", {"confirm": "controller", "confirm_s": 2.0})],
)
def test_whoever_looks_for_drift_during_a_transaction_finds_none(real, outcome, policy):
    """A timer may fire at any moment of it: looked at over and over, by the tool as timers call it."""
    assert real.apply("1.0.0")["outcome"] == "committed"
    transaction = real.activate(real.offer("1.1.0", **policy))
    seen, phases = [], set()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        answer = real.ask("drift", "--keep", "--verify", "full").said
        state = real.ask("state").said
        seen += answer["found"]["drift"]
        phases.add((state["transaction"] or {}).get("phase", "at rest"))
        if phases - {"at rest"} and state["transaction"] is None:
            break
    ended = real.wait(transaction)
    assert ended["outcome"] == outcome, ended
    assert "undecided" in phases, "the looks were meant to meet the switched and undecided device"
    assert seen == []
    assert all(not entry["finding"]["drift"] for entry in real.ask("drift", "--kept").said["kept"])
