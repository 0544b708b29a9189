"""Vendor roles: Ansible roles of the customer or the vendor, run over the provision lane.

They stand in `roles/` of the site's folder, as Ansible wants them.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeform.domain.drivers import VendorRole
from edgeform.errors import EdgeformError
from edgeform.shipped import shipped
from edgeform.transport.ansible import FirstLogin, play
from edgeform.transport.base import ProvisionStep, Target

_PLAYBOOK = """\
- hosts: all
  become: {become}
  roles:
    - role: {role}
"""
ROLE_S = 3600.0


@dataclass(frozen=True, slots=True)
class VendorRoles:
    """Plays the roles of one site."""

    site_dir: Path

    def __call__(
        self, target: Target, role: VendorRole, on_step: Callable[[ProvisionStep], None], /
    ) -> str:
        connect = target.connect
        login = FirstLogin(
            name=target.name,
            host=connect.host,
            port=connect.port,
            user=connect.user,
            key_file=connect.key_file,
            known_hosts=target.known_hosts or self.site_dir / "known_hosts",
        )
        become = "true" if connect.become == "sudo" else "false"
        with tempfile.TemporaryDirectory(prefix="edgeform-role-") as folder:
            playbook = Path(folder, "role.yaml")
            playbook.write_text(_PLAYBOOK.format(become=become, role=role.name))
            try:
                played = play(
                    playbook,
                    login,
                    dict(role.variables),
                    plugins=shipped("playbooks", "plugins"),
                    roles=self.site_dir / "roles",
                    on_step=on_step,
                    timeout_s=ROLE_S,
                )
            except EdgeformError as exc:
                return exc.detail
        if not played.reached:
            return "Ansible could not reach the device"
        return "; ".join(played.failures)
