"""A site whose devices are this very machine under other prefixes: real verbs, no network, no lock."""

import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeform.cli.main import run
from edgeform_device import receipts as device_receipts
from edgeform_device import signing
from edgeform_device.durable import Disk
from edgeform_device.layout import layout_for
from edgeform_wire import digest as digests
from edgeform_wire import receipt as wire

LAB = Path(__file__).resolve().parents[2] / "site" / "lab"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Here:
    """The lab's site with devices `here-1`, `here-2` ... in `mode: local`, and `away` in `mode: offline`."""

    folder: Path
    capsys: object

    @property
    def site(self) -> Path:
        return self.folder / "site"

    def prefix(self, device: str = "here-1") -> Path:
        return self.folder / device

    def run(self, *words: str, inside: str | None = None) -> Said:
        """`edgeform VERB ...` in the site's folder."""
        before = Path.cwd()
        os.chdir(self.folder / inside if inside else self.site)
        try:
            code = run(list(words))
        finally:
            os.chdir(before)
        said = self.capsys.readouterr()
        return Said(code, said.out, said.err)

    def end(self) -> None:
        """End every process that works for one of the prefixes."""
        mine = str(self.folder).encode()
        until = time.monotonic() + 20
        while found := [pid for pid in _processes() if mine in _command_line(pid)]:
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            assert time.monotonic() < until, f"processes do not end: {found}"
            time.sleep(0.02)


def a_site_here(folder: Path, capsys, *, devices: int = 1, port: int = 0) -> Here:
    made = Here(folder, capsys)
    made.site.mkdir()
    for name in ("site", "classes", "models", "pipelines", "rollout"):
        shutil.copy(LAB / f"{name}.yaml", made.site)
    shutil.copytree(LAB / "model", made.site / "model")
    shutil.copytree(LAB / "scenes", folder / "scenes")
    text = (made.site / "site.yaml").read_text()
    (made.site / "site.yaml").write_text(
        "\n".join(
            "    connect: {become: none}" if line.strip().startswith("connect:") else line
            for line in text.splitlines()
        )
        + "\n"
    )
    here = "\n".join(
        f"    - {{name: here-{n}, prefix: {folder}/here-{n}, connect: {{mode: local}},"
        f" pipelines: [{{name: digits-gate, vars: {{port: {port + n}}}}}]}}"
        for n in range(1, devices + 1)
    )
    (made.site / "devices.yaml").write_text(
        "api_version: edgeform/v1\nkind: DeviceList\nmetadata: {name: here}\nspec:\n"
        f"  common:\n    class: lab-cpu\n    pipelines: [{{name: digits-gate, vars: {{scenes: {folder}/scenes}}}}]\n"
        f"  devices:\n{here}\n"
        "    - {name: away, connect: {mode: offline}}\n"
    )
    return made


@pytest.fixture
def here(tmp_path, capsys, monkeypatch):
    """Such a site with one device; whatever works for it is ended."""
    monkeypatch.setenv("NO_COLOR", "1")
    made = a_site_here(tmp_path, capsys)
    yield made
    made.end()


def _processes() -> list[int]:
    return [int(n) for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid()]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def write_receipt(here: Here, transaction: str, **changed: object) -> None:
    """As here-1 does at the end of a transaction."""
    layout = layout_for(str(here.prefix()))
    fields = {
        "site": "lab", "device": "here-1", "seq": 1, "prev": wire.GENESIS,
        "transaction": transaction, "road": "usb", "deployment": 1,
        "plan_digest": digests.of_bytes(b"plan"), "from_generation": 0, "to_generation": 1,
        "digest": digests.of_bytes(b"manifest"), "result": "committed", "reason": "",
        "checks": (), "seconds": {}, "derived": {}, "tool": "0.1.0", "boot_id": "b",
        "wall_time": "2026-11-22T00:00:00Z", "clock": "ntp", "signing": "unsigned",
    }  # fmt: skip
    receipt = wire.Receipt(**(fields | changed))
    device_receipts.append(Disk(), layout, signing.find_signer(Disk(), layout), receipt)
