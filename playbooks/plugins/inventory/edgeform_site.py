# The devices of a site spec as an Ansible inventory: one group per hardware class, one per label.
#
# The site is read by edgeform in a process of its own, so that Ansible's Python need not be edgeform's.
from __future__ import annotations

DOCUMENTATION = """
name: edgeform_site
plugin_type: inventory
short_description: the devices of an edgeform site
description: Reads a site.yaml through the edgeform command.
options:
  edgeform:
    description: the edgeform command
    type: str
    default: edgeform
    env: [{name: EDGEFORM_COMMAND}]
"""

import json
import os
import subprocess

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin


class InventoryModule(BaseInventoryPlugin):
    NAME = "edgeform_site"

    def verify_file(self, path):
        return super().verify_file(path) and os.path.basename(path) == "site.yaml"

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        command = os.environ.get("EDGEFORM_COMMAND", "edgeform")
        finished = subprocess.run(
            (command, "explain", "inventory", os.path.dirname(os.path.abspath(path)), "--json"),
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise AnsibleParserError(f"{command} could not read the site:\n{finished.stderr}")
        found = json.loads(finished.stdout)
        for host in found["hosts"]:
            inventory.add_host(host["name"])
            for name, value in host["variables"].items():
                inventory.set_variable(host["name"], name, value)
            for group in host["groups"]:
                inventory.add_group(group)
                inventory.add_child(group, host["name"])
