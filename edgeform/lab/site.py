"""A copy of site/lab for the devices of a lab that runs: their list, their host keys, their cameras."""

import io
import shutil
import socket
import tarfile
from collections.abc import Sequence
from pathlib import Path

from edgeform.lab.device import LabDevice, LabKind
from edgeform.lab.failure import LabMisused
from edgeform.lab.lab import Lab

SCENES = "/var/lib/edgeform-scenes"


def copy_site(source: Path, target: Path) -> None:
    """The site's files, without what a workspace keeps beside them."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".edgeform", "records"))


def join(lab: Lab, site_dir: Path) -> None:
    """Make the running lab's devices those of a copied site, each with the site's scenes for a camera.

    Raises:
        LabMisused: the folder holds no copy of site/lab.
    """
    scenes = site_dir / "scenes"
    if not (site_dir / "site.yaml").is_file() or not scenes.is_dir():
        raise LabMisused(
            f"{site_dir} is no copy of site/lab: it has no site.yaml or no scenes.",
            hint="Make one:\n    cp -r site/lab my-site",
        )
    devices = lab.devices()
    write_devices(site_dir, devices, lab.known_hosts)
    for device in devices:
        place_scenes(lab, device, scenes)


def place_scenes(lab: Lab, device: LabDevice, scenes: Path) -> None:
    """Copy the images of a folder to where the device's camera writes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for image in sorted(scenes.glob("*.png")):
            archive.add(image, arcname=image.name)
    unpack = 'mkdir -p "$1" && tar -x --no-same-owner -C "$1"'
    lab.exec(
        device.name, ("sh", "-c", unpack, "scenes", scenes_of(device)), stdin=packed.getvalue()
    )


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
            *(["        become: none"] if device.kind is LabKind.ROOTLESS else []),
            "      pipelines:",
            "        - name: digits-gate",
            f"          vars: {{scenes: {scenes_of(device)}, port: {ports[device.name]}}}",
        ]
    (site_dir / "devices.yaml").write_text("\n".join(lines) + "\n")
    (site_dir / "known_hosts").write_bytes(known_hosts.read_bytes())
    return ports


def scenes_of(device: LabDevice) -> str:
    """Where the device's camera is: a folder of images."""
    if device.kind is LabKind.ROOTLESS:
        return f"{device.root}{SCENES}"
    return SCENES


def _port_of(device: LabDevice) -> int:
    """Where its server listens; unprivileged devices share one machine and so need different ports."""
    if device.kind is not LabKind.ROOTLESS:
        return 8080
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
