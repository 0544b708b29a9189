"""The machine's health in metrics and reports, from trees that stand for machines."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.device import plant

from edgeform_runtime.device_metrics import DeviceMetrics
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.stages.report.device import device_health

CASES = Path(__file__).parents[2] / "cases" / "vitals"
TREES = ["jetson-orin-nano", "pi4", "nuc", "pc-hot", "debian-vm"]


def rendered(tree, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state/boots").write_text('{"boot_id":"b","boots":5,"unclean":2}')
    metrics = Metrics("gate")
    root = plant(CASES / f"{tree}.tree", tmp_path / "root")
    DeviceMetrics(str(tmp_path), str(root)).attach(metrics)
    return metrics.render()


def checked_by_promtool(text):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine: apt-get install prometheus")
    done = subprocess.run(
        (promtool, "check", "metrics"), input=text, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""


@pytest.mark.parametrize("tree", TREES)
def test_promtool_finds_nothing_wrong_with_the_metrics_of_any_machine(tree, tmp_path):
    checked_by_promtool(rendered(tree, tmp_path))


def test_promtool_finds_nothing_wrong_with_those_of_a_running_pipeline(shared):
    checked_by_promtool(shared.http().get("/metrics")[1])


def test_metrics_carry_what_the_machine_told_and_leave_out_what_it_did_not(tmp_path):
    text = rendered("jetson-orin-nano", tmp_path).decode()
    lines = set(text.splitlines())
    assert 'edgeform_device_power_watts{pipeline="gate",rail="VDD_IN"} 4.8' in lines
    sensor = 'edgeform_device_temperature_celsius{pipeline="gate",sensor="cpu-thermal"} 51.25'
    assert sensor in lines
    over = 'edgeform_device_slowdowns_total{pipeline="gate",cause="over_current_oc3"} 7'
    assert over in lines
    assert 'edgeform_device_unclean_boots_total{pipeline="gate"} 2' in lines
    assert "storage_wear_ratio{" not in text, "an NVMe disk's wear stands in no file"


def test_a_report_says_in_short_how_the_machine_is(tmp_path):
    root = plant(CASES / "pi4.tree", tmp_path)
    found = device_health(str(tmp_path), str(root))
    assert found["temperature_celsius"] == 83.273
    assert found["is_slowed"] is True
    assert found["storage_wear_share"] == 1.0
    assert found["unclean_boots"] is None
    assert "mmcblk0 has used 100% of its life" in found["worries"]
    assert len(json.dumps(found)) < 1024
