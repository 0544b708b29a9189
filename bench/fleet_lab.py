"""The devices and the site that `bench/fleet.py` measures on: set up once, outside every measurement."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edgeform.lab.device import LabDevice
from edgeform.lab.nspawn import NspawnLab

ROOT = Path(__file__).parents[1]
EDGEFORM = Path(sys.executable).with_name("edgeform")
PIPELINE = """\
api_version: edgeform/v1
kind: Pipeline
metadata: {name: digits-gate}
spec:
  capture: {http_push: {}}
  preprocess:
    - resize: {width: 64, height: 64, filter: area, mode: letterbox}
    - colour: {to: grey}
    - normalise: {scale: 0.00392156862745098, mean: [0.5], std: [0.25]}
    - layout: {order: nchw}
  infer: {model: digits, timeout_s: 2, queue: 2, when_full: drop_oldest}
  postprocess:
    classify: {top_k: 3, softmax: true, labels: labels.txt}
  serving: {address: 0.0.0.0, port: 8080}
  checks: {golden: true, p50_ms: 2000, rss_bytes: "400MiB", provider: CPUExecutionProvider}
  limits: {memory_bytes: "512MiB"}
"""
"""site/lab's, but idle until somebody sends a frame: devices share the controller's cores here."""


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


@dataclass(slots=True, kw_only=True)
class BenchLab:
    """Booted devices, each at generation 1 of the site in `folder`.

    Attributes:
        sizes: the first 1, 20, 50 ... of the devices, each selected by a label of its own.
    """

    folder: Path
    sizes: tuple[int, ...]
    lab: NspawnLab = field(init=False)
    _patch: int = 0

    @property
    def site(self) -> Path:
        return self.folder / "site"

    def first(self, count: int) -> tuple[LabDevice, ...]:
        return self.lab.devices()[:count]

    def model(self) -> Path:
        """The newest version's file."""
        return self.site / "model" / "digits" / f"1.0.{self._patch}" / "model.onnx"

    def up(self) -> None:
        self.lab = NspawnLab(
            self.folder / "lab", environment=os.environ, owner_pid=os.getpid(), progress=say
        )
        self.lab.up(tuple(f"dev-{n:02}" for n in range(1, max(self.sizes) + 1)))
        shutil.copytree(
            ROOT / "site" / "lab", self.site, ignore=shutil.ignore_patterns(".edgeform", "records")
        )
        (self.site / "pipelines.yaml").write_text(PIPELINE)
        (self.site / "devices.yaml").write_text(self._device_list())
        (self.site / "rollout.yaml").write_text(
            "api_version: edgeform/v1\nkind: Rollout\nmetadata: {name: default}\n"
            f"spec: {{max_parallel: {max(self.sizes)}}}\n"
        )
        shutil.copy(self.lab.known_hosts, self.site / "known_hosts")
        self._enrol()
        for count in self.sizes:
            self._write_inventories(count)

    def down(self) -> None:
        self.lab.down()

    def new_version(self) -> None:
        """A model that answers the same and is another file: one property of its metadata differs."""
        newest = self.model().parent
        self._patch += 1
        fresh = self.model().parent
        shutil.copytree(newest, fresh)
        note = _field(1, b"bench") + _field(2, str(self._patch).encode())
        original = self.site / "model" / "digits" / "1.0.0" / "model.onnx"
        # Concatenated protobuf messages merge: field 14 of an ONNX model is one metadata property.
        self.model().write_bytes(original.read_bytes() + _field(14, note))
        self._edgeform("lock", "--update", "digits", str(self.site))

    def _enrol(self) -> None:
        """The first device gets its generation over SSH; the others find the blobs in place already."""
        say("lock: building the runtime closure")
        self._edgeform("lock", str(self.site))
        first, *others = self.lab.devices()
        say(f"apply to {first.name}")
        self._edgeform("apply", "--yes", "-l", first.name, str(self.site))
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                blobs = self.lab.host_view(first.name) / "var/lib/edgeform/blobs"
                archive.add(blobs, "var/lib/edgeform/blobs")
            file.seek(0)
            seed = file.read()
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                archive.add(ROOT / "bench/peers/check.py", "opt/peer/check.py")
                archive.add(self.model(), "opt/peer/model.onnx")
                archive.add(self.model().parent / "golden", "opt/peer/golden")
            file.seek(0)
            peers = file.read()
        self._unpack(others, seed)
        self._unpack((first, *others), peers)
        if others:
            say(f"apply to {len(others)} more")
            self._edgeform("apply", "--yes", "--max-parallel", "4", str(self.site), timeout_s=1500)

    def _unpack(self, devices: Sequence[LabDevice], content: bytes) -> None:
        command = ("tar", "--no-same-owner", "-C", "/", "-xf", "-")
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(
                lambda d: self.lab.exec(d.name, command, stdin=content, timeout_s=180), devices
            ):
                pass

    def _edgeform(self, *arguments: str, timeout_s: float = 600) -> None:
        done = subprocess.run(
            (EDGEFORM, *arguments), capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode:
            raise SystemExit(f"edgeform {arguments[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}")

    def _device_list(self) -> str:
        lines = [
            "api_version: edgeform/v1\nkind: DeviceList\nmetadata: {name: lab}\nspec:",
            "  common: {class: lab-cpu, pipelines: [{name: digits-gate}]}\n  devices:",
        ]
        for number, device in enumerate(self.lab.devices(), 1):
            labels = ", ".join(f"of-{n}: yes-of-{n}" for n in self.sizes if number <= n)
            lines.append(
                f"    - name: {device.name}\n      labels: {{{labels}}}\n"
                f"      connect: {{host: {device.host}, port: {device.port}, user: {device.user},"
                f" key_file: {device.key_path}}}"
            )
        return "\n".join(lines) + "\n"

    def _write_inventories(self, count: int) -> None:
        """The same devices, keys and pinned host keys for everybody."""
        devices, known = self.first(count), str(self.lab.known_hosts)
        limit = {
            d.name: {"host": d.host, "port": d.port, "user": d.user, "key_file": d.key_path}
            for d in devices
        }
        self.file("limit", count).write_text(json.dumps({"known_hosts": known, "devices": limit}))
        ini = ["[devices]", *(f"{d.name} ansible_host={d.host}" for d in devices)]
        ini += [
            "[devices:vars]",
            f"ansible_user={devices[0].user}",
            f"ansible_ssh_private_key_file={devices[0].key_path}",
            "ansible_python_interpreter=/usr/bin/python3",
            f"ansible_ssh_common_args=-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes",
        ]
        self.file("ini", count).write_text("\n".join(ini) + "\n")
        hosts = [
            (
                d.name,
                {
                    "ssh_hostname": d.host,
                    "ssh_port": d.port,
                    "ssh_user": d.user,
                    "ssh_key": d.key_path,
                    "ssh_known_hosts_file": known,
                    "ssh_strict_host_key_checking": "yes",
                },
            )
            for d in devices
        ]
        self.file("py", count).write_text(f"devices = {hosts!r}\n")
        addresses = "".join(f"{d.user}@{d.host}\n" for d in devices)
        self.file("hosts", count).write_text(addresses)

    def file(self, kind: str, count: int) -> Path:
        return self.folder / f"inventory_{count}.{kind}"


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))
