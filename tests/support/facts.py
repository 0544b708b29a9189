"""Facts of a device, for tests that only care about a few of them."""

from edgeform.domain.observed import Facts


def facts(**known):
    return Facts(
        digest="sha256:" + "0" * 64, arch="x86_64", os_id="debian", os_version="12", kernel="6.1",
        python="3.11.2", glibc="2.36", machine="pc", hostname="d", boot_id="b", cpus=1,
        memory_bytes=1, disk_free_bytes=1, disk_total_bytes=1, has_systemd=True, is_root=True,
        clock="ntp", wall_time="t", **known,
    )  # fmt: skip
