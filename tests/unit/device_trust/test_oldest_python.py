"""The device's client on the oldest Python it promises, with nothing installed."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.tuf_repo import NOW_S, ARepository

RUNTIME = Path(__file__).parents[3] / "runtime"

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from edgeform_device import tuf
from edgeform_device.clock import Clock
from edgeform_device.errors import DeviceError
folder, stick, now_s = sys.argv[2], sys.argv[3], int(sys.argv[4])
clock = Clock(built_s=now_s - 86400, now_s=now_s, is_vouched=True)
try:
    with open(stick + "/1.root.json", "rb") as stream:
        tuf.install_root(folder, stream.read())
    trusted = tuf.refresh(folder, tuf.folder_fetch(stick), clock)
    paths = [target.path for _, target in trusted.every_target()]
    print(json.dumps({"versions": trusted.versions(), "paths": paths}))
except DeviceError as exc:
    print(json.dumps(exc.to_json()))
"""


def oldest_python():
    candidates = sorted(
        str(found) for found in Path.home().glob(".pyenv/versions/3.8.*/bin/python3")
    )
    candidates += [found for found in [shutil.which("python3.8")] if found]
    for python in candidates:
        # A version manager's shim exists also where its version does not.
        if subprocess.run((python, "-c", "pass"), capture_output=True, check=False).returncode == 0:
            return python
    return None


@pytest.fixture
def refresh_on_oldest(tmp_path):
    python = oldest_python()
    if python is None:
        pytest.skip("no Python 3.8 on this machine")

    def refresh(files):
        stick = tmp_path / "stick"
        stick.mkdir(exist_ok=True)
        for name, data in files.items():
            (stick / name).write_bytes(data)
        command = (python, "-I", "-S", "-c", SCRIPT, str(RUNTIME), str(tmp_path / "trust"))
        done = subprocess.run(
            (*command, str(stick), str(NOW_S)),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stderr == ""
        return json.loads(done.stdout)

    return refresh


def test_python_3_8_alone_follows_a_repository_with_delegations_and_bins(refresh_on_oldest):
    repository = ARepository()
    bins = repository.delegate("site-lab", ["sites/lab/*"], bins=2)
    path = "sites/lab/cam.json"
    repository.add(path, role=bins.get_role_for_target(path)).publish()

    assert refresh_on_oldest(repository.files)["paths"] == [path]


def test_python_3_8_alone_refuses_a_forged_timestamp(refresh_on_oldest):
    repository = ARepository().publish()
    repository.resign_timestamp(repository.keys["targets"])

    answer = refresh_on_oldest(repository.files)

    assert answer["code"] == "not_trusted"
    assert "timestamp carries 0 of the 1" in answer["summary"]
