"""What would be run for a device and its network, without running it."""

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edgeform.lab.cgroup import CgroupMounts, DeviceCgroup, mounts_of
from edgeform.lab.device import (
    Bind,
    DeviceOptions,
    DiskKind,
    SudoRule,
    checked_name,
    options_from_json,
    options_to_json,
)
from edgeform.lab.failure import LabMisused
from edgeform.lab.faults import Fault, read_fault, write_fault
from edgeform.lab.keys import ensure_key, known_hosts_line
from edgeform.lab.lab import device_names
from edgeform.lab.leftovers import mount_points_below
from edgeform.lab.network import LabNetwork, build_commands, lab_id_of, subnet_candidates
from edgeform.lab.nspawn_plan import (
    DevicePlan,
    device_script,
    inside_commands,
    nspawn_command,
    passwords,
    prepare_command,
    start_command,
    store_commands,
    upper_files,
)

HYBRID = CgroupMounts(
    unified="/sys/fs/cgroup/unified",
    legacy=(("cpu", "/sys/fs/cgroup/cpu"), ("memory", "/sys/fs/cgroup/memory")),
)
PURE = CgroupMounts(unified="/sys/fs/cgroup", legacy=())
NETWORK = LabNetwork(lab_id="0123abcd", subnet=7)


def plan_of(mounts: CgroupMounts = HYBRID, python_source: str = "", **options) -> DevicePlan:
    directory = Path("/labs/a b/devices/cam-1")
    return DevicePlan(
        index=3,
        name="cam-1",
        directory=directory,
        layers=directory,
        template=Path("/cache/t"),
        network=NETWORK,
        cgroup=DeviceCgroup(mounts=mounts, lab_id="0123abcd", key="d3"),
        options=DeviceOptions(**options),
        python_source=python_source,
    )


def files_of(plan: DevicePlan) -> dict[str, str]:
    return {path: text for path, text, _ in upper_files(plan, public_key="ssh-ed25519 AAAA me")}


class TestNetwork:
    def test_two_labs_share_no_name(self):
        assert lab_id_of("/a") != lab_id_of("/b")
        assert lab_id_of("/a") == lab_id_of("/a")

    def test_all_subnets_are_tried_the_favourite_first(self):
        candidates = subnet_candidates("00000105", ())
        assert candidates[0] == 5
        assert sorted(candidates) == list(range(256))

    def test_subnets_that_the_host_routes_are_left_alone(self):
        taken = ("default", "10.77.5.0/24", "10.78.6.0/30", "192.0.2.0/24", "10.77.200.1")
        left = subnet_candidates("00000005", taken)
        assert left[0] == 7
        assert set(range(256)) - set(left) == {5, 6, 200}

    def test_addresses_stay_within_the_subnet(self):
        assert NETWORK.address(1) == "10.77.7.11"
        assert NETWORK.address(240) == "10.77.7.250"
        for bad in (0, 241):
            with pytest.raises(ValueError, match=str(bad)):
                NETWORK.address(bad)

    def test_interface_names_fit_the_kernel(self):
        longest = LabNetwork(lab_id="0" * 8, subnet=255)
        assert len(longest.host_interface) <= 15

    def test_the_host_is_given_one_address_and_one_route_and_nothing_else(self):
        on_host = [
            command
            for command in build_commands(NETWORK)
            if command[0] == "ip" and command[1] != "-n"
        ]
        assert on_host == [
            ("ip", "addr", "add", "10.78.7.1/30", "dev", "eflab7"),
            ("ip", "link", "set", "eflab7", "up"),
            ("ip", "route", "add", "10.77.7.0/24", "via", "10.78.7.2"),
        ]


class TestScript:
    @pytest.mark.parametrize("mounts", [HYBRID, PURE])
    def test_it_is_a_script_that_sh_understands(self, mounts):
        script = device_script(plan_of(mounts, store_mb=8))
        subprocess.run(("sh", "-n"), input=script.encode(), check=True)

    def test_nspawn_sees_the_v2_tree_alone_and_a_run_of_its_own(self):
        script = device_script(plan_of())
        assert "mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup\n" in script
        assert "mount -t tmpfs -o mode=755 tmpfs /run\n" in script
        assert script.index("memory/edgeform-lab") < script.index("mount --bind")

    def test_on_a_pure_v2_host_nothing_is_bound(self):
        assert "mount --bind" not in device_script(plan_of(PURE))

    def test_the_device_is_started_again_after_a_reboot_only(self):
        script = device_script(plan_of())
        assert '[ "$status" = 133 ] || exit "$status"' in script

    def test_blanks_in_paths_are_quoted(self):
        script = device_script(plan_of(store_mb=8))
        assert "'/labs/a b/devices/cam-1/store'" in script
        assert shlex.split(script)

    def test_it_runs_in_the_labs_network_and_mounts_nothing_on_the_host(self):
        command = start_command(plan_of())
        assert command[:2] == ("nsenter", "--net=/run/netns/edgeform-lab-0123abcd")
        assert command[2:6] == ("unshare", "--mount", "--propagation", "private")
        assert prepare_command(plan_of())[:4] == ("unshare", "--mount", "--propagation", "private")


class TestDevice:
    def test_an_ordinary_one(self):
        plan = plan_of()
        files = files_of(plan)
        assert files["home/edge/.ssh/authorized_keys"] == "ssh-ed25519 AAAA me\n"
        assert files["root/.ssh/authorized_keys"] == "ssh-ed25519 AAAA me\n"
        assert "Address=10.77.7.13/24" in files["etc/systemd/network/10-lab.network"]
        assert files["etc/hostname"] == "cam-1\n"
        assert "etc/sudoers.d/edge" not in files
        assert passwords(plan) == ""
        assert store_commands(plan) == ()

    def test_a_machine_id_is_its_own_and_stays(self):
        one = files_of(plan_of())["etc/machine-id"]
        assert one == files_of(plan_of())["etc/machine-id"]
        assert one != files_of(replace(plan_of(), name="cam-2"))["etc/machine-id"]
        assert len(one) == 33

    def test_day_zero(self):
        plan = plan_of(day_zero=True, password="canary")
        files = files_of(plan)
        assert not [path for path in files if "authorized_keys" in path]
        assert "PermitRootLogin yes" in files["etc/ssh/sshd_config.d/00-day-zero.conf"]
        assert passwords(plan) == "root:canary\n"
        assert ("userdel", "edge") in inside_commands(plan)

    def test_sudo_by_password(self):
        plan = plan_of(sudo=SudoRule.PASSWORD, password="canary")
        assert files_of(plan)["etc/sudoers.d/edge"] == "edge ALL=(ALL) ALL\n"
        assert passwords(plan) == "edge:canary\n"

    def test_no_password_is_ever_in_a_command(self):
        plan = plan_of(day_zero=True, password="canary")
        everything = (*prepare_command(plan), *start_command(plan), *nspawn_command(plan))
        assert not [word for word in everything if "canary" in word]

    def test_a_password_is_demanded_where_it_is_used(self):
        for options in ({"day_zero": True}, {"sudo": SudoRule.PASSWORD}):
            with pytest.raises(LabMisused, match="needs one"):
                DeviceOptions(**options)

    def test_a_small_store(self):
        assert store_commands(plan_of(store_mb=8))[0][:3] == ("mount", "-o", "loop")
        tmpfs = store_commands(plan_of(store_mb=8, store_kind=DiskKind.TMPFS))[0]
        assert "size=8m,mode=755" in tmpfs
        bound = "--bind=/labs/a b/devices/cam-1/store:/var/lib/edgeform"
        assert bound in nspawn_command(plan_of(store_mb=8))

    def test_pythons(self):
        assert inside_commands(plan_of(python="none"))[-1][-1].startswith("rm -f /usr/bin/python3")
        old = plan_of(python="/opt/py38", python_source="/opt/py38")
        assert "--bind-ro=/opt/py38:/opt/python" in nspawn_command(old)

    def test_binds(self):
        binds = (
            Bind(source="/a", target="/b"),
            Bind(source="/c", target="/d", writable=False),
        )
        assert {"--bind=/a:/b", "--bind-ro=/c:/d"} <= set(nspawn_command(plan_of(binds=binds)))
        with pytest.raises(LabMisused, match="colon"):
            DeviceOptions(binds=(Bind(source="/a:b", target="/c"),))

    def test_options_survive_being_written_down(self):
        options = DeviceOptions(
            store_mb=3,
            store_kind=DiskKind.TMPFS,
            sudo=SudoRule.PASSWORD,
            password="p",
            binds=(Bind(source="/a", target="/b"),),
        )
        assert options_from_json(options_to_json(options)) == options

    @pytest.mark.parametrize("name", ["", "Cam", "a_b", "-a", "a-", "a/b", "..", "a" * 64])
    def test_a_name_is_a_host_name(self, name):
        with pytest.raises(LabMisused, match="lower-case"):
            checked_name(name)

    def test_devices_that_nobody_named(self):
        assert device_names(2) == ("device-1", "device-2")
        with pytest.raises(LabMisused, match="not 0"):
            device_names(0)


class TestCgroups:
    def test_trees_are_found_wherever_they_are(self):
        text = (
            "31 20 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
            "32 20 0:28 / /sys/fs/cgroup/memory rw shared:7 - cgroup cgroup rw,memory\n"
            "33 20 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
            "34 20 0:30 / /proc rw - proc proc rw\n"
        )
        assert mounts_of(text) == CgroupMounts(
            unified="/sys/fs/cgroup/unified",
            legacy=(("cpu", "/sys/fs/cgroup/cpu,cpuacct"), ("memory", "/sys/fs/cgroup/memory")),
        )

    @pytest.mark.parametrize(
        ("mounts", "mode"),
        [
            (PURE, "v2"),
            (HYBRID, "hybrid"),
            (replace(HYBRID, unified=""), "v1"),
            (replace(PURE, unified=""), "none"),
        ],
    )
    def test_the_mode(self, mounts, mode):
        assert mounts.mode == mode


def test_mounts_below_a_directory_are_undone_from_the_inside():
    text = (
        "1 0 0:1 / / rw - ext4 x rw\n"
        "2 1 0:2 / /lab rw - tmpfs x rw\n"
        "3 1 0:3 / /lab/a\\040b rw - tmpfs x rw\n"
        "4 1 0:4 / /laboratory rw - tmpfs x rw\n"
    )
    assert mount_points_below(text, Path("/lab")) == ("/lab/a b", "/lab")


def test_a_key_is_made_once_and_is_private(tmp_path):
    public = ensure_key(tmp_path / "deep" / "key", comment="me")
    assert public.startswith("ssh-ed25519 AAAA")
    assert public.endswith(" me")
    assert (tmp_path / "deep" / "key").stat().st_mode & 0o777 == 0o600
    assert ensure_key(tmp_path / "deep" / "key", comment="other") == public
    assert known_hosts_line("10.0.0.1", 22, public) == f"10.0.0.1 {public[:-3]}"
    assert known_hosts_line("h", 2222, public).startswith("[h]:2222 ssh-ed25519 ")


def test_a_fault_is_read_as_it_was_written(tmp_path):
    assert read_fault(tmp_path) == Fault()
    write_fault(tmp_path, Fault(delay_s=0.5, cut_after_bytes=9))
    assert read_fault(tmp_path) == Fault(delay_s=0.5, cut_after_bytes=9)
    assert read_fault(tmp_path).concerns_bytes
    assert not Fault(refuse=True).concerns_bytes
