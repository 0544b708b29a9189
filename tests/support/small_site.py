"""One site folder on unprivileged devices, and the installed command line."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from support.site import EDGEFORM, Completed, Started

from edgeform.lab.rootless_lab import RootlessLab
from edgeform.lab.site import write_devices


@dataclass
class SmallSite:
    """One site folder on the devices of a rootless lab."""

    folder: Path
    lab: RootlessLab
    interval_s: float = 0.5

    def want(self, pipeline: str) -> None:
        self.interval_s += 0.01
        write_devices(self.folder, self.lab.devices(), self.lab.known_hosts)
        file = self.folder / "devices.yaml"
        text = file.read_text().replace("vars: {", f"vars: {{interval_s: {self.interval_s:.2f}, ")
        use = f"- name: digits-gate\n          pipeline: {pipeline}"
        file.write_text(text.replace("- name: digits-gate", use))

    def run(self, verb: str, *arguments: str) -> Completed:
        return Started((EDGEFORM, verb, str(self.folder), *arguments), os.environ).end()

    def generations(self) -> dict[str, int]:
        said = self.run("status", "--json")
        assert said.exit_code == 0, said.text
        found = [json.loads(line) for line in said.out.splitlines()]
        return {d["device"]: d["committed"] for d in found}
