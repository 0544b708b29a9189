"""Cameras and lines of a kernel of their own: vivid's pictures through V4L2, and GPIO where the kernel simulates it."""

import json
import os
import subprocess
import tarfile

import pytest

from edgeform.build.closure import ClosureRequest, lock_of, make_tree
from edgeform.lab.doctor import doctor, why_not_vm

pytestmark = [
    pytest.mark.vm,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(why_not_vm(doctor(os.environ))), reason=why_not_vm(doctor(os.environ))),
]
PLACE = "/opt/edgeform-stages"

CAMERA = """
import json, sys, threading
from edgeform_runtime.pipeline.capture import V4l2
from edgeform_runtime.stages.capture.video import VideoSource
from edgeform_runtime.stages.content import pixels_of_ppm
from edgeform_runtime.stages.contract import Notices

path, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
stop, told = threading.Event(), []
stage = V4l2(path, width, height, "yuyv422", 0.0, 60.0)
notices = Notices(failed=told.append, lost=lambda r, s: (told.append([r, s]), stop.set()), found=lambda: None)
shapes = []
for frame in VideoSource(stage, "/", stop).frames(notices):
    pixels = pixels_of_ppm(frame.content)
    shapes.append([*pixels.shape, int(pixels.std())])
    if len(shapes) == 3:
        stop.set()
print(json.dumps({"shapes": shapes, "told": told}))
"""
LINE = """
import subprocess, sys, time
from pathlib import Path
from edgeform_runtime.pipeline.action import ALWAYS, Delivery, Gpio
from edgeform_runtime.stages.action.gpio import GpioSink

value = Path(sys.argv[2])
sink = GpioSink(Gpio(sys.argv[1], 3, 1, 0, False, 600.0, Delivery(60.0, 0, 1), ALWAYS))
sink.write(None)
held = value.read_text().strip()
sink.close()
time.sleep(5)
print(held, value.read_text().strip())
"""
SIMULATED = """set -e
modprobe gpio-sim
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
mkdir -p /sys/kernel/config/gpio-sim/edgeform/bank
echo 8 > /sys/kernel/config/gpio-sim/edgeform/bank/num_lines
echo 1 > /sys/kernel/config/gpio-sim/edgeform/live
cat /sys/kernel/config/gpio-sim/edgeform/dev_name /sys/kernel/config/gpio-sim/edgeform/bank/chip_name
"""


@pytest.fixture(scope="module")
def runtime(vm_lab, tmp_path_factory):
    """The packages of a closure with video and gpio, in the machine; gives its PYTHONPATH."""
    machine = vm_lab.machine("one")
    work = tmp_path_factory.mktemp("stages")
    request = ClosureRequest(
        engine="onnxruntime", arch="x86_64", glibc="2.36", python="3.11", extras=("gpio", "video")
    )
    make_tree(request, lock_of(request), work / "tree")
    with tarfile.open(work / "tree.tar", "w") as archive:
        archive.add(work / "tree" / "lib", PLACE.lstrip("/"), filter=_wanted)
    with (work / "tree.tar").open("rb") as stream:
        subprocess.run(
            (*machine.ssh_command(), "tar -x -C /"), stdin=stream, check=True, timeout=600
        )
    return PLACE


def _wanted(member):
    # The engine is large, and no stage asks for it.
    return None if "/onnxruntime" in member.name else member


def on(vm, runtime, script, *arguments):
    command = " ".join((f"PYTHONPATH={runtime}", "python3", "-", *arguments))
    done = subprocess.run(
        (*vm.ssh_command(), command),
        input=script,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def test_pictures_of_vivid_come_in_the_size_that_was_asked_for(vm, runtime):
    vm.exec(("modprobe", "vivid", "n_devs=1", "node_types=0x1"))
    found = vm.exec(("sh", "-c", "for i in $(seq 50); do ls /dev/video0 && break; sleep 0.2; done"))
    said = json.loads(on(vm, runtime, CAMERA, found.strip(), "640", "360"))
    assert [shape[:3] for shape in said["shapes"]] == [[360, 640, 3]] * 3, said
    assert all(shape[3] > 10 for shape in said["shapes"]), "a picture, not one colour"
    refused = json.loads(on(vm, runtime, CAMERA, found.strip(), "639", "481"))
    assert refused["shapes"] == []
    assert refused["told"], "another size is a loss that is told"


def test_a_line_of_the_kernel_s_own_simulator_is_held_at_its_fail_safe_level(vm, runtime):
    said = vm.exec(("sh", "-c", "modprobe -n gpio-sim 2>&1 && echo is-there || true"))
    if "is-there" not in said:
        pytest.skip("the machine's kernel (Debian 12) has no gpio-sim, and no gpio-mockup")
    device, chip = vm.exec(("sh", "-c", SIMULATED)).split()
    value = f"/sys/devices/platform/{device}/{chip}/sim_gpio3/value"
    assert on(vm, runtime, LINE, f"/dev/{chip}", value) == "1 0"
