"""A device's health from trees that stand for machines; tests/cases/vitals/README.md says where they come from."""

from pathlib import Path

import pytest
from support.device import plant

from edgeform_wire import canonical
from edgeform_wire.vitals import vitals, worries

CASES = Path(__file__).parents[2] / "cases" / "vitals"


@pytest.fixture
def of(tmp_path):
    def read(name):
        return vitals(str(plant(CASES / f"{name}.tree", tmp_path)))

    return read


def brakes(found):
    return {b.cause: (b.is_now, b.events) for b in found.brakes}


def test_a_jetson_tells_its_rails_its_gpu_and_its_over_current_events(of):
    found = of("jetson-orin-nano")
    assert [(r.name, r.watts) for r in found.rails] == [("VDD_IN", 4.8), ("VDD_CPU_GPU_CV", 1.0)]
    gpu = found.accelerators[0]
    assert (gpu.busy_share, gpu.frequency_hz) == (0.418, 624_750_000)
    assert brakes(found) == {
        "over_current_oc1": (None, 0),
        "over_current_oc3": (None, 7),
        "cooling_cpufreq_cpu0": (False, None),
    }
    temperatures = {t.name: (t.celsius, t.limit_celsius) for t in found.temperatures}
    assert temperatures == {"cpu-thermal": (51.25, 104.5), "gpu-thermal": (49.968, None)}, (
        "a sensor that is off reads -256 and is left out"
    )
    assert (found.cpu.cores, found.cpu.stalled_share) == (2, 0.025)
    assert found.disks[0].written_bytes == 4096 * 512
    assert found.interfaces[0].errors == 1
    assert found.is_synchronised is True
    assert worries(found) == ()


def test_a_pi_tells_what_its_firmware_saw_now_and_since_the_boot(of):
    found = of("pi4")
    assert brakes(found) == {
        "under_voltage": (True, 1),
        "frequency_capped": (False, 0),
        "throttled": (True, 1),
        "temperature_limit": (False, 0),
        "supply_alarm": (True, None),
    }
    assert [(d.name, d.wear_share, d.reserve) for d in found.disks] == [("mmcblk0", 1.0, "warning")]
    assert found.has_route, "by IPv6"
    assert [i.name for i in found.interfaces] == ["wlan0"]
    assert worries(found) == (
        "slowed down now: supply_alarm, throttled, under_voltage",
        "mmcblk0 has used 100% of its life",
        "mmcblk0 says warning about its spare blocks",
        "the clock was not set in this boot",
    )


def test_a_nuc_counts_throttling_of_cores_and_of_the_package_once(of):
    found = of("nuc")
    assert brakes(found) == {
        "core_throttled": (None, 7),
        "package_throttled": (None, 11),
        "cooling_processor": (True, None),
    }
    assert found.hottest_celsius == 67.0
    names = [(a.name, a.frequency_hz, a.celsius) for a in found.accelerators]
    assert names == [("card0", 350_000_000, None), ("apex_0", None, 61.05)]
    assert found.cpu.busy_s / found.cpu.total_s == 0.5
    assert found.is_synchronised is None, "another program keeps its clock"
    assert worries(found) == (
        "slowed down now: cooling_processor",
        "the kernel ended 2 processes for want of memory since the boot",
    )


def test_a_pc_in_trouble_says_each_trouble_in_a_sentence(of):
    found = of("pc-hot")
    assert found.uptime_s == 0.0
    assert found.supplies[1].charge_share == 0.41
    assert worries(found) == (
        "k10temp is at 94 °C, its limit is 95 °C",
        "only 97 MiB of memory are available",
        "ext4 has counted 3 errors",
        "AC gives no power",
        "there is no route out of this network",
    )


def test_a_recorded_machine_is_read_as_it_was(of):
    found = of("debian-vm")
    assert found.memory.total_bytes == 24684084 * 1024
    assert found.memory.oom_kills == 1
    assert found.has_route
    assert found.temperatures == ()


def test_a_root_without_anything_tells_nothing_and_raises_nothing(tmp_path):
    found = vitals(str(tmp_path))
    assert (found.temperatures, found.disks, found.brakes, found.interfaces) == ((), (), (), ())
    assert worries(found) == ()


def test_this_very_machine_can_be_read():
    found = vitals("/")
    assert found.memory.total_bytes > 0
    assert found.cpu.cores > 0
    assert found.uptime_s > 0


@pytest.mark.parametrize("name", ["jetson-orin-nano", "pi4", "nuc", "pc-hot", "debian-vm"])
def test_what_is_found_goes_over_a_wire_as_it_is(of, name):
    value = of(name).to_json()
    assert canonical.decode(canonical.encode(value), name) == value
