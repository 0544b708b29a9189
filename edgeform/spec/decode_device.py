"""Hardware classes and connections out of merged, expanded and proven values."""

import os
from pathlib import Path

from edgeform.domain.drivers import (
    DriverTuple,
    Package,
    PackageSource,
    UdevRule,
    Undo,
    VendorRole,
)
from edgeform.domain.hardware import (
    Engine,
    HardwareClass,
    OperatingSystem,
    RuntimeChoice,
    usual_provider,
)
from edgeform.domain.names import ClassName
from edgeform.domain.site import Connect
from edgeform.spec.expand import text_of
from edgeform.spec.fields import (
    Mapping,
    block,
    blocks,
    boolean_or,
    integer_or,
    number_or,
    secret,
    text,
    text_or,
    texts,
)

NEEDED_OF_A_CLASS = ("arch", "os", "accelerator", "runtime")


def lacking(spec: Mapping) -> tuple[str, ...]:
    """What a merged hardware class still lacks, as paths below it."""
    found = [key for key in NEEDED_OF_A_CLASS if spec.get(key) is None]
    if "runtime" not in found and block(spec, "runtime").get("engine") is None:
        found.append("runtime.engine")
    return tuple(found)


def hardware(name: str, lineage: tuple[str, ...], spec: Mapping) -> HardwareClass:
    """The hardware class of its merged spec; nothing may be `lacking` in it."""
    system, runtime = block(spec, "os"), block(spec, "runtime")
    engine, accelerator = Engine(text_or(runtime, "engine", "")), text_or(spec, "accelerator", "")
    return HardwareClass(
        name=ClassName(name),
        lineage=lineage,
        arch=text_or(spec, "arch", ""),
        os=OperatingSystem(id=text_or(system, "id", ""), version=text(system, "version")),
        accelerator=accelerator,
        runtime=RuntimeChoice(
            engine=engine,
            version=text(runtime, "version"),
            provider=text(runtime, "provider") or usual_provider(engine, accelerator),
            precision=text_or(runtime, "precision", "f32"),
            threads=integer_or(runtime, "threads", 1),
            python=text_or(runtime, "python", "system"),
        ),
        glibc=text(spec, "glibc"),
        python=text(spec, "python"),
        drivers=_drivers(block(spec, "drivers")),
    )


def _drivers(spec: Mapping) -> DriverTuple:
    return DriverTuple(
        packages=tuple(_package(item) for item in blocks(spec, "packages")),
        modules=texts(spec, "modules"),
        udev_rules=tuple(
            UdevRule(name=text_or(item, "name", ""), content=text_or(item, "content", ""))
            for item in blocks(spec, "udev_rules")
        ),
        groups=texts(spec, "groups"),
        sysctl=_pairs(block(spec, "sysctl")),
        vendor_roles=tuple(
            VendorRole(name=text_or(item, "name", ""), variables=_pairs(block(item, "variables")))
            for item in blocks(spec, "vendor_roles")
        ),
        verify=texts(spec, "verify") or None,
        reboot=boolean_or(spec, "reboot", default=False),
        undo=Undo(text_or(spec, "undo", Undo.PACKAGES)),
        artifact=text(spec, "artifact"),
    )


def _package(spec: Mapping) -> Package:
    return Package(
        name=text_or(spec, "name", ""),
        version=text(spec, "version"),
        source=PackageSource(text_or(spec, "source", PackageSource.APT)),
        hold=boolean_or(spec, "hold", default=False),
    )


def _pairs(spec: Mapping) -> tuple[tuple[str, str], ...]:
    return tuple(
        (key, text_of(value)) for key, value in spec.items() if not isinstance(value, (dict, list))
    )


def connect(spec: Mapping, site_folder: Path) -> Connect:
    """How a device is reached; files are found relative to the site's folder, `~` stays."""
    return Connect(
        mode=text_or(spec, "mode", "ssh"),
        host=text_or(spec, "host", ""),
        port=integer_or(spec, "port", 22),
        user=text_or(spec, "user", ""),
        key_file=file(spec, "key_file", site_folder),
        use_agent=boolean_or(spec, "use_agent", default=False),
        become=text_or(spec, "become", "sudo"),
        sudo_password=secret(spec, "sudo_password"),
        host_key=text(spec, "host_key"),
        known_hosts=file(spec, "known_hosts", site_folder),
        proxy_jump=text(spec, "proxy_jump"),
        config_file=file(spec, "config_file", site_folder),
        connect_timeout_s=number_or(spec, "connect_timeout_s", 10.0),
    )


def file(spec: Mapping, key: str, site_folder: Path) -> str | None:
    """A file that the site names, found relative to its folder; `~` stays."""
    written = text(spec, key)
    if written is None or written.startswith("~"):
        return written
    return os.path.join(site_folder, written)  # noqa: PTH118 - ten thousand times; a Path costs 20 us
