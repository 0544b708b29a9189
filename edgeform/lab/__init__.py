"""Devices to try a site on without hardware: rootless, or real systemd in namespaces."""
