"""Lab devices for all device tests."""

from support.lab import device, fresh_device, lab, rootless_lab, ssh
from support.site import first_apply, installed, locked_site, site, site_lab, site_with
from support.vm import measured, vm, vm_lab

__all__ = [
    "device",
    "first_apply",
    "fresh_device",
    "installed",
    "lab",
    "locked_site",
    "measured",
    "rootless_lab",
    "site",
    "site_lab",
    "site_with",
    "ssh",
    "vm",
    "vm_lab",
]
