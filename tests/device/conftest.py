"""Lab devices for all device tests."""

from support.lab import device, fresh_device, lab, rootless_lab, ssh

__all__ = ["device", "fresh_device", "lab", "rootless_lab", "ssh"]
