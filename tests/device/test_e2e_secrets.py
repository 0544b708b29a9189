"""Secrets reach the service that needs them, and no other place: looked for wherever something is kept."""

import os
import secrets
import subprocess
import threading
from pathlib import Path
from typing import Self

import pytest
from support.site import EDGEFORM, PIPELINE, PREFIX

pytestmark = pytest.mark.device

REFERENCES = {"from-env": "env/E2E_CANARY", "from-file": "file/secrets.enc.json#camera"}


class ArgumentWatch:
    """Every command line seen on this host while it watches, for those who read other people's `ps`."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        self.seen.add(Path(entry.path, "cmdline").read_bytes())
                    except OSError:
                        continue


def test_a_secret_is_where_it_is_needed_and_nowhere_else(site):
    canaries = {name: f"canary-{secrets.token_hex(12)}" for name in REFERENCES}
    environment = {
        "E2E_CANARY": canaries["from-env"],
        "EDGEFORM_SECRETS_PASSPHRASE": "correct horse battery staple",
    }
    kept = subprocess.run(
        (EDGEFORM, "secret", "set", "camera", "--site", str(site.folder)),
        input=canaries["from-file"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert kept.returncode == 0, kept.stderr
    site.want("one", "secretive", secrets=REFERENCES)
    planned = site.plan("-l", "one", "--json", **environment)
    with ArgumentWatch() as watch:
        done = site.apply("-l", "one", **environment)
    assert done.exit_code == 0, done.text
    assert len(watch.seen) > 10
    site.assert_serving("one", generation=site.seen("one").current)
    service = main_pid(site)
    read = (
        "import os; d = dict(e.split('=', 1) for e in "
        f"open('/proc/{service}/environ').read().split(chr(0)) if '=' in e)['CREDENTIALS_DIRECTORY']; "
        f"print(*(open('/proc/{service}/root' + d + '/' + n).read() for n in {list(REFERENCES)!r}))"
    )
    assert site.on("one", "python3", "-c", read).split() == list(canaries.values())
    said = site.edgeform("receipts", str(site.folder), "one", **environment)
    everything = {
        "plan": planned.out + planned.err,
        "apply": done.out + done.err,
        "receipts": said.out + said.err,
        "command lines": repr(watch.seen),
        "the device's journal": site.on("one", "journalctl", "--no-pager", "-o", "export"),
        "the device's command lines": site.on("one", "ps", "axeww"),
        "units": site.on(
            "one", "sh", "-c", "cat /etc/systemd/system/edgeform* -r 2>/dev/null || true"
        ),
    }
    for where, text in everything.items():
        for canary in canaries.values():
            assert canary not in text, where
    for canary in canaries.values():
        assert found_in_files(site.folder, canary) == []
        assert found_on_device(site, canary) in ([], sealed_or_private(site))


def main_pid(site) -> str:
    unit = f"edgeform-pipeline@{PIPELINE}"
    return site.on("one", "systemctl", "show", "-p", "MainPID", "--value", unit).strip()


def found_in_files(folder: Path, canary: str) -> list[str]:
    """Files of the controller's folder that hold it: spec, lock, plan, store, journal, trust, records."""
    wanted = canary.encode()
    return [str(f) for f in folder.rglob("*") if f.is_file() and wanted in f.read_bytes()]


def found_on_device(site, canary: str) -> list[str]:
    listed = site.on(
        "one", "sh", "-c", f"grep -rl {canary} {PREFIX} /etc /run/systemd/system || true"
    )
    return sorted(listed.split())


def sealed_or_private(site) -> list[str]:
    """Where it may be in the clear: the 0600 file of root, where systemd cannot seal it to the machine."""
    listed = site.on(
        "one", "find", f"{PREFIX}/secrets", "-type", "f", "-perm", "600", "-user", "root"
    )
    return sorted(listed.split())
