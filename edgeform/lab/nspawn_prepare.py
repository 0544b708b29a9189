"""What is made on the host before a systemd device can be switched on: its network, its layers."""

import json
from pathlib import Path

from edgeform.lab.device import DiskKind
from edgeform.lab.execution import run, run_all
from edgeform.lab.failure import CommandFailed, LabError
from edgeform.lab.keys import ensure_key
from edgeform.lab.network import LabNetwork, build_commands, claim_commands, subnet_candidates
from edgeform.lab.nspawn_plan import DevicePlan, passwords, prepare_command, upper_files

INOTIFY_INSTANCES = 8192


def raise_inotify_limit() -> None:
    """Let many systemds run: under the kernel's default of 128 they stop silently at about 20."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if int(limit.read_text()) < INOTIFY_INSTANCES:
        limit.write_text(str(INOTIFY_INSTANCES))


def make_network(lab_id: str) -> LabNetwork:
    """The lab's own network, on a subnet that nobody on this host uses.

    Raises:
        LabError: none of the 256 subnets is free.
    """
    run(("ip", "netns", "add", LabNetwork(lab_id=lab_id, subnet=0).namespace))
    taken = tuple(route["dst"] for route in json.loads(run(("ip", "-j", "-4", "route"))))
    for subnet in subnet_candidates(lab_id, taken):
        network = LabNetwork(lab_id=lab_id, subnet=subnet)
        try:
            run_all(claim_commands(network))
        except CommandFailed as exc:
            if "exists" not in exc.said.lower():
                raise
            continue
        run_all(build_commands(network))
        return network
    raise LabError("No network is left for a lab between 10.77.0.0 and 10.77.255.255.")


def prepare(plan: DevicePlan, user_key: str) -> None:
    """Make the device's layers, host key, store and control groups; nothing of it runs yet.

    Args:
        user_key: the public half of the lab's key.
    """
    for path in (plan.upper, plan.layers / "work", plan.merged, plan.store):
        path.mkdir(parents=True, exist_ok=True)
    for relative, text, mode in upper_files(plan, public_key=user_key):
        path = plan.upper / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    # The overlay shows the upper directory's mode, also where the template has the directory.
    for private in ("root", "root/.ssh", "home/edge/.ssh"):
        if (plan.upper / private).is_dir():
            (plan.upper / private).chmod(0o700)
    ensure_key(plan.upper / "etc/ssh/ssh_host_ed25519_key", comment=plan.name)
    if plan.options.store_mb and plan.options.store_kind is DiskKind.EXT4:
        run(("truncate", f"--size={plan.options.store_mb}M", str(plan.store_image)))
        run(("mkfs.ext4", "-q", "-F", "-m", "0", str(plan.store_image)))
    plan.cgroup.create(memory_mb=plan.options.memory_mb, cpu_percent=plan.options.cpu_percent)
    run(prepare_command(plan), stdin=passwords(plan).encode())
