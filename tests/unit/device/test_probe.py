import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.device import old_interpreters, plant, sampled_interpreters

from edgeform_device import probe

CASES = Path(__file__).parents[2] / "cases" / "roots"
SOURCE = Path(probe.__file__).read_bytes()


def facts_of(name, tmp_path, **questions):
    root = plant(CASES / f"{name}.tree", tmp_path)
    return probe.probe(questions, str(root), str(tmp_path))


def seen(facts):
    return {
        a["kind"]: (a["bus_id"], a["driver"], a["node"], a["state"])
        for a in facts["accelerators"][1:]
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("debian-vm", {}),
        (
            "jetson-orin-nano",
            {"nvidia-jetson": ("platform", "gk20a", "/dev/nvgpu/igpu0/ctrl", "ready")},
        ),
        ("jetson-no-driver", {"nvidia-jetson": ("platform", "", "", "no-driver")}),
        (
            "pi5-hailo8",
            {
                "hailo-8": ("0001:01:00.0", "hailo", "/dev/hailo0", "ready"),
                "hailo-8l": ("0001:01:00.0", "hailo", "/dev/hailo0", "ready"),
            },
        ),
        ("pi4-coral-usb", {"coral-usb": ("2-1", "usb", "/dev/bus/usb/002/003", "ready")}),
        (
            "nuc-igpu-npu",
            {
                "intel-gpu": ("0000:00:02.0", "i915", "/dev/dri/renderD128", "ready"),
                "intel-npu": ("0000:00:0b.0", "", "", "no-driver"),
            },
        ),
        ("imx8mp", {"vsi-npu": ("platform", "galcore", "/dev/galcore", "ready")}),
        ("inferentia2", {"inferentia2": ("0000:00:1f.0", "neuron", "/dev/neuron0", "ready")}),
        ("pc-coral-pcie-no-node", {"coral-pcie": ("0000:01:00.0", "apex", "", "no-node")}),
    ],
)
def test_accelerators_are_seen_with_their_driver_and_node(name, expected, tmp_path):
    facts = facts_of(name, tmp_path)
    assert seen(facts) == expected
    assert facts["accelerators"][0]["kind"] == "cpu"


def test_a_stick_before_its_firmware_is_the_same_accelerator(tmp_path):
    root = plant(CASES / "pi4-coral-usb.tree", tmp_path)
    (root / "sys/bus/usb/devices/2-1/idVendor").write_text("1a6e\n")
    (root / "sys/bus/usb/devices/2-1/idProduct").write_text("089a\n")
    assert seen(probe.probe({}, str(root)))["coral-usb"][3] == "ready"


def test_the_machine_is_named_by_device_tree_or_by_firmware_tables(tmp_path):
    assert facts_of("pi5-hailo8", tmp_path / "a")["machine"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert facts_of("nuc-igpu-npu", tmp_path / "b")["machine"] == "Intel(R) Client Systems NUC14RVH"


def test_the_recorded_machine_is_read_right(tmp_path):
    facts = facts_of("debian-vm", tmp_path)
    assert facts["os_id"] == "debian"
    assert facts["os_version"] == "12"
    assert facts["kernel"] == "6.1.0-25-amd64"
    assert facts["cpus"] == 2
    assert facts["memory_bytes"] == 24684084 * 1024
    assert facts["has_systemd"] is True
    assert facts["boot_id"] == "6f1c0a4e-0000-4000-8000-000000000001"


def test_only_installed_packages_have_a_version(tmp_path):
    facts = facts_of(
        "debian-vm", tmp_path, packages=["bash", "gone", "libfoo", "held", "never", "as"]
    )
    assert facts["packages"] == {"bash": "5.2.15-2+b8", "libfoo": "1.2-3", "held": "2:7~rc1"}


def test_a_built_in_module_is_there_and_dashes_do_not_matter(tmp_path):
    asked = ["snd-hda-intel", "ext4", "usb_common", "apex", "../../etc"]
    facts = facts_of("debian-vm", tmp_path, modules=asked)
    assert facts["modules"] == ["snd-hda-intel", "ext4", "usb_common"]


def test_sysctl_reads_dots_and_slashes_as_sysctl_does_and_stays_in_its_folder(tmp_path):
    asked = ["vm.swappiness", "net.ipv4.conf.eth0/1.rp_filter", "no.such", "../../etc/group", ".."]
    facts = facts_of("debian-vm", tmp_path, sysctl=asked)
    assert facts["sysctl"] == {"vm.swappiness": "60", "net.ipv4.conf.eth0/1.rp_filter": "2"}


def test_groups_that_the_runtime_user_has_joined_are_named(tmp_path):
    assert facts_of("debian-vm", tmp_path, groups=["render", "apex"])["groups"] == ["render"]


def test_files_are_digests_absent_or_unreadable(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/rule").write_bytes(b"x")
    os.mkfifo(tmp_path / "etc/pipe")
    found = probe.probe({"files": ["/etc/rule", "/etc/none", "/etc/pipe", "/etc"]}, str(tmp_path))
    assert found["files"] == {
        "/etc/rule": "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "/etc/none": "",
        "/etc/pipe": "unreadable",
        "/etc": "unreadable",
    }


def test_an_empty_root_gives_facts_and_no_error(tmp_path):
    facts = probe.probe({"packages": ["bash"]}, str(tmp_path))
    assert facts["os_id"] == "unknown"
    assert facts["packages"] == {}
    assert facts["clock"] == "unknown"


def test_a_hardware_clock_that_agrees_vouches_for_the_time(tmp_path):
    rtc = tmp_path / "sys/class/rtc/rtc0"
    rtc.mkdir(parents=True)
    (rtc / "since_epoch").write_text("86400\n")
    assert probe.clock(probe.Root(str(tmp_path))) == "unknown"
    import time

    (rtc / "since_epoch").write_text(f"{int(time.time())}\n")
    assert probe.clock(probe.Root(str(tmp_path))) == "rtc"


@pytest.mark.parametrize(
    "asked",
    [
        [],
        {"packages": "bash"},
        {"files": [1]},
        {"exec": ["id"]},
        {"files": ["/a\0b"]},
        {"groups": ["x" * 600]},
    ],
)
def test_questions_of_another_form_are_refused(asked):
    with pytest.raises(ValueError):
        probe.checked_questions(asked)


@pytest.mark.parametrize("name", ["probe.py", "install.py", "__main__.py"])
def test_what_an_old_python_is_given_can_be_parsed_by_it(name):
    source = Path(probe.__file__).with_name(name).read_text()
    ast.parse(source, feature_version=(3, 5))


def run_source(python, *arguments):
    return subprocess.run(
        (str(python), "-I", "-S", "-B", "-", *arguments),
        input=SOURCE,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("python", old_interpreters(), ids=lambda p: p.parents[1].name)
def test_an_old_python_answers_with_a_sentence(python):
    done = run_source(python)
    answer = json.loads(done.stdout)
    assert done.returncode == 3
    assert answer["ok"] is False
    assert answer["error"]["code"] == "python"
    assert "too old" in answer["error"]["summary"]


@pytest.mark.parametrize("python", sampled_interpreters())
def test_the_source_on_standard_input_gives_the_facts_of_this_machine(python):
    asked = json.dumps({"groups": ["root"], "files": ["/etc/hostname"]})
    done = run_source(python, "--questions", asked)
    answer = json.loads(done.stdout)
    assert answer["ok"] is True
    assert answer["facts"]["groups"] == []
    assert answer["facts"]["memory_bytes"] > 0
    assert answer["facts"]["arch"] == os.uname().machine


def test_a_wrong_option_is_usage():
    done = run_source(sys.executable, "--exec", "id")
    assert done.returncode == 64
    assert json.loads(done.stdout)["error"]["code"] == "usage"
