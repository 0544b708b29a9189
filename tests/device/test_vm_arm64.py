"""An arm64 machine that says it is a Raspberry Pi: the aarch64 closures run, on their own processor's code.

Golden inferences of each engine that runs on a CPU, from an image that holds the closures; and a site that
applies ONNX Runtime's. Nothing here is about speed.
"""

import json
import os

import pytest
from support.arm_closures import AT, PROVIDERS, image
from support.vm import APPLY_TIMEOUT_S, a_machine, a_site, closure_sizes, processor_s

from edgeform.build.failure import BuildFailed, ClosureUnavailable
from edgeform.lab.doctor import NEEDED_FOR_ARM_VM, doctor, why_not_vm
from edgeform.lab.vm_guest import AARCH64, RASPBERRY_PI_5

GOLDEN_TIMEOUT_S = 900.0
OBSTACLES = why_not_vm(doctor(os.environ), NEEDED_FOR_ARM_VM)
pytestmark = [
    pytest.mark.vm,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(OBSTACLES), reason=OBSTACLES),
]


@pytest.fixture(scope="module")
def pi(tmp_path_factory):
    """The machine and its site: nothing is installed yet."""
    try:
        closures = image(tmp_path_factory.mktemp("vm-arm-closures"))
    except (BuildFailed, ClosureUnavailable) as exc:
        pytest.skip(f"the aarch64 closures cannot be built here: {exc.summary} {exc.detail}")
    lab = a_machine(tmp_path_factory.mktemp("vm-arm") / "lab", AARCH64, closures)
    try:
        lab.exec("one", ("mount", "-o", "ro", "/dev/vdb", AT))
        yield a_site(lab, tmp_path_factory.mktemp("vm-arm-site") / "lab", AARCH64)
    finally:
        lab.down()


def test_the_machine_says_it_is_a_raspberry_pi(pi, measured):
    said = pi.on("one", "cat", "/proc/device-tree/model")
    assert said.rstrip("\0") == RASPBERRY_PI_5.model
    assert pi.on("one", "uname", "-m") == "aarch64\n"
    measured(f"aarch64 machine: {pi.on('one', 'systemd-analyze').splitlines()[0]}")


@pytest.mark.parametrize("engine", PROVIDERS)
def test_the_aarch64_closure_gives_the_golden_answers(pi, measured, engine):
    """The daemon from the closure, judged by the device tool's checks, as on a device."""
    asked = {
        "own": f"{AT}/own",
        "lib": f"{AT}/{engine}/lib",
        "model": f"{AT}/models/{engine}",
        "engine": engine,
        "provider": PROVIDERS[engine],
    }
    before_s = processor_s(pi.machine)
    said = pi.lab.exec(
        "one",
        ("python3", "-s", f"{AT}/golden_inference.py", json.dumps(asked)),
        timeout_s=GOLDEN_TIMEOUT_S,
    )
    used_s = processor_s(pi.machine) - before_s
    found = json.loads(said.splitlines()[-1])
    assert "checks" in found, found
    assert found["checks"].pop("golden") == ["pass", "2 of 2 goldens"], found
    assert {verdict for verdict, _ in found["checks"].values()} == {"pass"}, found
    effective = found["effective"]
    assert effective["probe"] == f"right on {PROVIDERS[engine]}"
    assert effective["precision"] == "f32"
    measured(f"aarch64 {engine}: ready after {found['ready_s']:.1f} s, {used_s:.1f} s of qemu")


def test_a_site_applies_onnxruntime_s_aarch64_closure_and_the_goldens_pass(pi, measured):
    before_s = processor_s(pi.machine)
    done = pi.start_apply().end(APPLY_TIMEOUT_S)
    assert done.exit_code == 0, done.text
    used_s = processor_s(pi.machine) - before_s
    measured(f"aarch64 first apply: {done.seconds:.1f} s, {used_s:.1f} s of qemu")
    sizes = closure_sizes(pi.folder)
    assert [name.split("-")[0] for name in sizes] == ["onnxruntime aarch64"]
    for name, size in sizes.items():
        measured(f"closure {name}: {size / 1e6:.1f} MB")
    assert "check digits-gate golden: pass" in done.err, done.err
    found = pi.assert_serving("one", generation=1)  # asks for the goldens once more
    assert found.receipts == 1
    receipt = pi.assert_receipts_home("one")[0]
    assert receipt["result"] == "committed", receipt


def test_status_and_check_are_green(pi):
    said = pi.edgeform("status", str(pi.folder), "--json")
    assert said.exit_code == 0, said.text
    assert json.loads(said.out.splitlines()[0])["committed"] == 1, said.text
    checked = pi.edgeform("check", str(pi.folder), "one", "--json")
    assert checked.exit_code == 0, checked.text
