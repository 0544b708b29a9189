"""Ansible's own command reads a site through the plugin."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeform.shipped import shipped

LAB = Path(__file__).resolve().parents[3] / "site" / "lab"


def test_the_lab_is_an_inventory(tmp_path):
    program = Path(sys.executable).with_name("ansible-inventory")
    if not program.exists():
        pytest.skip("the extra edgeform[ansible] is not installed")
    done = subprocess.run(
        (program, "-i", LAB / "site.yaml", "--list"),
        env=os.environ
        | {
            "ANSIBLE_INVENTORY_PLUGINS": str(shipped("playbooks", "plugins", "inventory")),
            "ANSIBLE_INVENTORY_ENABLED": "edgeform_site",
            "ANSIBLE_LOCAL_TEMP": str(tmp_path),
            "ANSIBLE_HOME": str(tmp_path),
            "EDGEFORM_COMMAND": str(Path(sys.executable).with_name("edgeform")),
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["line_press_1"]["hosts"] == ["dev1", "dev2"]
    assert found["class_lab_cpu"]["hosts"] == ["dev1", "dev2", "dev3"]
    variables = {
        # Ansible marks what comes from an inventory: it is never a template.
        name: value["__ansible_unsafe"] if isinstance(value, dict) else value
        for name, value in found["_meta"]["hostvars"]["dev3"].items()
    }
    assert variables["ansible_host"] == "10.77.0.13"
    assert variables["ansible_user"] == "edgeform"
    assert variables["ansible_ssh_private_key_file"] == str(LAB / "keys/id_ed25519")
