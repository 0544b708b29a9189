"""A site's device list for the devices of a lab: written beside the other files of a copied site."""

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from edgeform.lab.device import LabDevice, LabKind

SCENES = "/var/lib/edgeform-scenes"


def copy_site(source: Path, target: Path) -> None:
    """The site's files, without what a workspace keeps beside them."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".edgeform", "records"))


def write_devices(
    site_dir: Path, devices: Sequence[LabDevice], known_hosts: Path
) -> dict[str, int]:
    """Replace devices.yaml and known_hosts of a site by what the lab has; the server port of each device."""
    ports = {device.name: _port_of(device) for device in devices}
    lines = [
        "# Written for the lab that runs now.",
        "api_version: edgeform/v1",
        "kind: DeviceList",
        "metadata: {name: lab}",
        "spec:",
        "  common:",
        "    class: lab-cpu",
        "    labels: {plant: lab}",
        "  devices:",
    ]
    for number, device in enumerate(devices, 1):
        lines += [
            f"    - name: {device.name}",
            f"      labels: {{line: press-{(number + 1) // 2}}}",
            f"      prefix: {device.prefix}",
            "      connect:",
            f"        host: {device.host}",
            f"        port: {device.port}",
            f"        user: {device.user}",
            f"        key_file: {device.key_path}",
            "      pipelines:",
            "        - name: digits-gate",
            f"          vars: {{scenes: {scenes_of(device)}, port: {ports[device.name]}}}",
        ]
    (site_dir / "devices.yaml").write_text("\n".join(lines) + "\n")
    (site_dir / "known_hosts").write_bytes(known_hosts.read_bytes())
    return ports


def scenes_of(device: LabDevice) -> str:
    """Where the device's camera is: a folder of images."""
    if device.kind is LabKind.NSPAWN:
        return SCENES
    return f"{device.root}{SCENES}"


def _port_of(device: LabDevice) -> int:
    """Where its server listens; unprivileged devices share one machine and so need different ports."""
    if device.kind is LabKind.NSPAWN:
        return 8080
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
