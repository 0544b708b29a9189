"""An x86_64 machine with its own kernel: real power cuts, real memory limits, sticks that come and go."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.site import PIPELINE, PREFIX
from support.vm import APPLY_TIMEOUT_S, a_site, closure_sizes, processor_s

from edgeform.lab.doctor import doctor, why_not_vm
from edgeform.lab.execution import run, wait_until
from edgeform.lab.failure import LabError
from edgeform.lab.leftovers import REGISTRY, machine_pid, sweep_dead
from edgeform.lab.network import lab_id_of
from edgeform.lab.vm_guest import X86_64

pytestmark = [
    pytest.mark.vm,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(why_not_vm(doctor(os.environ))), reason=why_not_vm(doctor(os.environ))),
]

MOUNT = """set -e
for i in $(seq 300); do [ -e /dev/disk/by-label/STICK ] && break; sleep 0.1; done
mkdir -p /media/stick
mount /dev/disk/by-label/STICK /media/stick
"""
UNPLUGGED = """for i in $(seq 300); do [ -e /dev/disk/by-label/STICK ] || break; sleep 0.1; done
umount /media/stick 2>/dev/null
[ ! -e /dev/disk/by-label/STICK ]
"""
HOG = """
import os, sys
group = sys.argv[1]
with open(group + "/cgroup.procs", "w") as handle:
    handle.write(str(os.getpid()))
print(len(bytearray(int(sys.argv[2]))))
"""
KILLED = """
import os, sys
from pathlib import Path
from edgeform.lab.vm_lab import VmLab
lab = VmLab(Path(sys.argv[1]), environment=os.environ, owner_pid=os.getpid())
lab.up(("one",))
"""


@pytest.fixture
def stick(tmp_path) -> Path:
    """A stick's image: vfat, labelled STICK."""
    image = tmp_path / "stick.img"
    with image.open("wb") as handle:
        handle.truncate(48 << 20)
    run(("mkfs.vfat", "-F", "32", "-n", "STICK", str(image)))
    return image


@pytest.fixture(scope="module")
def site(vm_lab, tmp_path_factory):
    """The machine's site, applied once: everything is installed and serves."""
    made = a_site(vm_lab, tmp_path_factory.mktemp("vm-site") / "lab", X86_64)
    before_s = processor_s(made.machine)
    done = made.start_apply().end(APPLY_TIMEOUT_S)
    assert done.exit_code == 0, done.text
    made.first_apply = f"{done.seconds:.1f} s, {processor_s(made.machine) - before_s:.1f} s of qemu"
    return made


def test_a_machine_has_a_kernel_and_a_boot_of_its_own(vm_lab, vm, measured):
    host = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert vm.exec(("uname", "-m")) == "x86_64\n"
    assert vm_lab.boot_id("one") not in {"", host}
    measured(f"x86_64 machine: {vm.exec(('systemd-analyze',)).splitlines()[0]}")


def test_a_stick_is_mounted_written_and_pulled(vm, stick):
    vm.plug(stick)
    vm.exec(("sh", "-c", f"{MOUNT} echo written-in-the-machine > /media/stick/note; sync"))
    vm.pull()
    vm.exec(("sh", "-c", UNPLUGGED))
    assert b"written-in-the-machine" in stick.read_bytes()


def test_a_stick_that_is_pulled_while_it_is_read_gives_an_error(vm, stick):
    vm.plug(stick)
    fill = f"{MOUNT} head -c 24M /dev/zero > /media/stick/long; sync; umount /media/stick"
    vm.exec(("sh", "-c", fill))
    vm.pull()
    vm.exec(("sh", "-c", UNPLUGGED))
    vm.plug(stick, name="slow", bytes_per_s=500_000)  # 48 s for the file
    vm.exec(("sh", "-c", MOUNT))
    reading = "echo begins; cat /media/stick/long > /dev/null; echo ended with $?"
    with subprocess.Popen(
        (*vm.ssh_command(), reading), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as reader:
        assert reader.stdout.readline() == "begins\n"
        vm.pull("slow")
        said = reader.stdout.read()
    assert "ended with 1" in said, said
    vm.exec(("sh", "-c", UNPLUGGED))


def test_a_read_only_stick_takes_no_bytes(vm, stick):
    before = stick.read_bytes()
    vm.plug(stick, writable=False)
    said = vm.exec(("sh", "-c", f"{MOUNT} echo no > /media/stick/note || echo refused"))
    vm.pull()
    vm.exec(("sh", "-c", UNPLUGGED))
    assert "refused" in said
    assert stick.read_bytes() == before


def test_a_machine_comes_back_to_a_saved_state(vm):
    vm.exec(("sh", "-c", "echo before > /var/lib/when; sync"))
    vm.save("before")
    vm.exec(("sh", "-c", "echo after > /var/lib/when; sync"))
    vm.restore("before")
    assert vm.exec(("cat", "/var/lib/when")) == "before\n"


def test_the_lab_s_site_is_installed_and_checked(site, measured):
    measured(f"x86_64 first apply: {site.first_apply}")
    for name, size in closure_sizes(site.folder).items():
        measured(f"closure {name}: {size / 1e6:.1f} MB")
    site.assert_serving("one", generation=1)
    site.assert_receipts_home("one")


def test_the_kernel_ends_a_pipeline_at_its_memory_limit(site):
    """In containers of the lab the limit is only written down: their cgroups have no controllers."""
    unit = f"edgeform-pipeline@{PIPELINE}.service"
    shown = site.on("one", "systemctl", "show", unit, "-p", "ControlGroup,MemoryMax,NRestarts")
    before = dict(line.split("=", 1) for line in shown.splitlines())
    group = f"/sys/fs/cgroup{before['ControlGroup']}"
    limit = int(site.on("one", "cat", f"{group}/memory.max"))
    assert limit == int(before["MemoryMax"]) == 320 << 20
    # What the hog asks for beside the runtime exceeds the limit, and not the machine's memory.
    hog = ("python3", "-c", HOG, group, str(limit))
    said = site.on("one", "sh", "-c", '"$@" || echo ended with $?', "sh", *hog, timeout_s=180)
    assert "ended with 137" in said, said
    journal = site.on("one", "journalctl", "--dmesg", "--no-pager", "-n", "200")
    assert "Memory cgroup out of memory" in journal
    wait_until(lambda: site.seen("one").healthy, what="the pipeline to serve again", timeout_s=240)
    site.assert_serving("one", generation=1)


def test_a_fat_stick_made_as_an_image_updates_the_machine_and_takes_its_receipts_home(
    site, tmp_path, measured
):
    """A real vfat, mounted by a real kernel from a real USB device; the machine's network is down meanwhile."""
    image, plan = tmp_path / "stick.img", str(tmp_path / "plan.json")
    before = site.seen("one")
    site.want("one", PIPELINE, connect={"mode": "offline"})
    inserted = MOUNT.replace("STICK", "EDGEFORM")
    unplugged = UNPLUGGED.replace("STICK", "EDGEFORM")
    tool = f"{PREFIX}/bin/edgeform-device bundle /media/stick"

    def visit(options=""):
        """Plug it in, have the device do the rest without a network, pull it out; what the tool said."""
        site.machine.plug(image, name="visit")
        script = f"sleep 2\n({inserted})\nmountpoint -q /media/stick || exit 1\n{AWAY}\n{tool} {options} > /run/saying\n{BACK}\n"
        script += "mv /run/saying /run/said\n"
        site.on("one", "systemd-run", "--unit=visit", "--collect", "sh", "-c", script)
        wait_until(lambda: _said(site), what="the stick to be applied", timeout_s=900)
        site.machine.pull("visit")
        site.on("one", "sh", "-c", unplugged)
        return json.loads(site.on("one", "sh", "-c", "cat /run/said; rm /run/said"))

    def edgeform(*words):
        done = site.edgeform(*words, timeout_s=600)
        assert done.exit_code == 0, done.text
        return done

    here = ("--site", str(site.folder))
    run(("mkfs.vfat", "-F", "32", "-n", "EDGEFORM", "-C", str(image), str(64 * 1024)))
    assert visit("--report")["returned"] == "written"
    edgeform("bundle", "ingest", str(image), *here)
    edgeform("plan", str(site.folder), "-l", "one", "--out", plan)
    edgeform("publish", plan, *here)
    created = edgeform("bundle", "create", *here, "-l", "one", "--to", str(image))
    measured(f"stick as an image: {created.out.splitlines()[0]}; made in {created.seconds:.1f} s")
    done = visit()
    assert (done.get("outcome"), done.get("returned")) == ("committed", "written"), done
    site.assert_serving("one", generation=before.current + 1)
    came = edgeform("bundle", "ingest", str(image), *here)
    assert "committed\tusb" in came.out, came.text
    assert site.plan("-l", "one", "--detailed-exitcode").exit_code == 0
    site.reconnect("one", mode="ssh")


AWAY = "ip link set eth0 down"
BACK = "ip link set eth0 up; ip route replace default via 10.0.2.2"


def _said(site):
    """What the visit left; nothing while the machine's network is down."""
    try:
        return site.on("one", "sh", "-c", "cat /run/said 2>/dev/null || true", timeout_s=30)
    except LabError:
        return ""


@pytest.mark.parametrize("moment", ["txn", "decided"])
def test_power_cut_in_the_middle_of_an_activation_leaves_the_old_or_the_new(site, moment, measured):
    before = site.seen("one")
    site.want("one", PIPELINE)
    parts = ("state", "txn") if moment == "txn" else ("state", "txn.commit")
    with site.watching(*parts) as appears:
        running = site.start_apply()
        appears()
        site.machine.cut()
    assert not site.machine.is_on
    site.machine.boot()
    measured(f"power cut at {moment}: next boot {processor_s(site.machine):.1f} s of qemu")
    done = running.end(APPLY_TIMEOUT_S)
    measured(f"power cut at {moment}: apply ended with {done.exit_code} after {done.seconds:.1f} s")
    wait_until(
        lambda: site.seen("one").healthy and not site.seen("one").transaction,
        what="it to serve",
        timeout_s=240,
    )
    after = site.seen("one")
    site.assert_serving("one", generation=after.current)
    if moment == "txn":
        assert (after.current, after.digest) == (before.current, before.digest)
        assert done.exit_code in (3, 5, 9), done.text
    else:  # the decision was flushed before it counts: nothing may undo it
        assert after.current > before.current
        assert done.exit_code in (0, 9), done.text
    status = site.edgeform("status", str(site.folder), "--json")
    assert json.loads(status.out.splitlines()[0])["committed"] == after.current, status.text


def test_a_machine_ends_with_the_run_that_was_killed(tmp_path):
    directory = tmp_path / "killed"
    machine = directory / "devices" / "one"
    with subprocess.Popen((sys.executable, "-c", KILLED, str(directory))) as owner:
        wait_until(lambda: bool(machine_pid(machine)), what="a machine", timeout_s=60)
        os.kill(owner.pid, signal.SIGKILL)
    wait_until(lambda: not machine_pid(machine), what="the machine to end", timeout_s=20)
    if os.geteuid() == 0:
        entry = REGISTRY / f"{lab_id_of(str(directory))}.json"
        assert entry.exists()
        sweep_dead(print)
        assert not entry.exists()
        assert not directory.exists()
