"""Pipelines as systemd services: units, limits and credentials written from the manifest.

What depends on a generation lives in /run/systemd/system and is written anew at every boot, before the
first start, by recovery; so no unit of a generation that was turned back can survive. Only the recovery
unit is permanent, and it is the only one that is enabled: pipelines start after recovery or not at all.
"""

import os
from typing import Dict, List, Optional, Tuple

from edgeform_device import command, process, secrets, services
from edgeform_device.durable import Disk
from edgeform_device.errors import Refused
from edgeform_device.health import Health
from edgeform_device.layout import Layout, check_name
from edgeform_wire.errors import WireError
from edgeform_wire.generation import Generation, PipelineUse

VOLATILE_DIR = "/run/systemd/system"
PERMANENT_DIR = "/etc/systemd/system"
RECOVER_UNIT = "edgeform-recover.service"
TEMPLATE = "edgeform-pipeline@.service"
JOB_S = 200.0
START_S = 180
WATCHDOG_S = 30
UNPROVEN_S = 120
"""How long a tool that no boot has proven may take before the one before it recovers."""


class SystemdServices:
    """The systemd backend.

    Args:
        tool: how this tool is run, up to the verb.
        user: whom pipelines run as.
        folder: where units that last until the next boot are written.
    """

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        tool: Tuple[str, ...],
        user: str,
        folder: str = VOLATILE_DIR,
    ) -> None:
        self._disk = disk
        self._layout = layout
        self._tool = tool
        self._user = user
        self._folder = folder

    def define(self, generation: Generation) -> None:
        owner = self._owner()
        files = {TEMPLATE: pipeline_unit(self._layout, self._tool, self._user)}
        for use in generation.pipelines:
            services.make_results(self._disk, self._layout, use.name, owner)
            place = os.path.join(unit_of(use.name) + ".d", "edgeform.conf")
            lines = limits(use) + credentials(self._disk, self._layout, use)
            files[place] = "[Service]\n" + _lines(lines)
        if self._write_changed(files):
            command.run(("systemctl", "daemon-reload"))

    def start(self, names: Tuple[str, ...]) -> None:
        self._job("start", names)

    def restart(self, names: Tuple[str, ...]) -> None:
        self._job("restart", names)

    def stop(self, names: Tuple[str, ...]) -> None:
        self._job("stop", names)

    def known(self) -> Tuple[str, ...]:
        return self._units("edgeform-pipeline@")

    def health(self, name: str) -> Health:
        return self._health(name, unit_of(name), self._layout.socket(name))

    def glance(self, name: str) -> Health:
        """Without a process for `systemctl`, where the kernel says that the unit's own process answers."""
        unit = unit_of(name)
        seen = services.answering(self._layout.socket(name))
        if seen.phase == "ready" and services.is_of_unit(seen.pid, unit):
            return Health(
                name,
                is_active=True,
                pid=seen.pid,
                phase=seen.phase,
                detail=seen.detail,
                generation=seen.generation,
                content=seen.content,
            )
        return self.health(name)

    def start_shadow(self, number: int, use: PipelineUse) -> int:
        unit = shadow_unit(use.name)
        properties = (
            *hardening(self._layout, self._user),
            f"ReadWritePaths=-{self._layout.results(use.name)}",
            *limits(use),
            *credentials(self._disk, self._layout, use),
        )
        command.run(
            (
                "systemd-run",
                "--quiet",
                "--collect",
                f"--unit={unit}",
                "--property=Type=exec",
                *(f"--property={line}" for line in properties),
                *self._tool,
                "run",
                use.name,
                "--generation",
                str(number),
                "--shadow",
            )
        )
        return int(_show(unit, ("MainPID",)).get("MainPID") or 0)

    def shadow_health(self, name: str) -> Health:
        return self._health(name, shadow_unit(name), self._layout.socket(name, is_shadow=True))

    def stop_shadow(self, name: str) -> None:
        # It may have ended, and is then no unit any more.
        command.attempt(("systemctl", "stop", shadow_unit(name)), 30.0)

    def sweep_shadows(self) -> None:
        for name in self._units("edgeform-shadow@"):
            self.stop_shadow(name)

    def available_bytes(self) -> int:
        return services.available_bytes()

    def resident_bytes(self, name: str) -> Optional[int]:
        pid = int(_show(unit_of(name), ("MainPID",)).get("MainPID") or 0)
        return process.resident_bytes(pid) if pid else None

    def reboot(self) -> None:
        command.run(("systemctl", "reboot"))

    def _job(self, verb: str, names: Tuple[str, ...]) -> None:
        """Wait for the job's end; whether the service is well is for `health` to say."""
        if not names:
            return
        units = tuple(unit_of(name) for name in names)
        if verb != "stop":
            # A unit that failed too often would refuse to start, also when its cause is gone.
            command.attempt(("systemctl", "reset-failed", *units))
        command.attempt(("systemctl", verb, *units), JOB_S)

    def _units(self, start: str) -> Tuple[str, ...]:
        listed = command.run(
            ("systemctl", "list-units", "--all", "--plain", "--no-legend", start + "*.service")
        )
        found = []
        for line in listed.splitlines():
            fields = line.split()
            if len(fields) < 4 or fields[2] == "inactive":
                continue
            try:
                found.append(check_name(fields[0][len(start) : -len(".service")]))
            except WireError:
                continue
        return tuple(sorted(found))

    def _health(self, name: str, unit: str, socket: str) -> Health:
        wanted = ("ActiveState", "SubState", "MainPID", "Result", "NRestarts")
        found = _show(unit, wanted)
        pid = int(found.get("MainPID") or 0)
        failures = int(found.get("NRestarts") or 0)
        if found.get("ActiveState") not in ("active", "activating") or not pid:
            state = f"{found.get('ActiveState')} ({found.get('SubState')})"
            detail = f"systemd says {state}, result {found.get('Result')}"
            return Health(name, is_active=False, pid=0, phase="", detail=detail, failures=failures)
        seen = services.answering(socket)
        return Health(
            name,
            is_active=True,
            pid=pid,
            phase=seen.phase,
            detail=seen.detail,
            failures=failures,
            generation=seen.generation,
            content=seen.content,
        )

    def _owner(self) -> Tuple[int, int]:
        import pwd  # noqa: PLC0415 - only where units are written

        try:
            entry = pwd.getpwnam(self._user)
        except KeyError as exc:
            raise Refused(
                f"There is no user {self._user!r} on this device, and pipelines run as that user.",
                hint=f"Make it: useradd --system --no-create-home {self._user}",
            ) from exc
        return entry.pw_uid, entry.pw_gid

    def _write_changed(self, files: Dict[str, str]) -> bool:
        is_changed = False
        for place, text in files.items():
            path = os.path.join(self._folder, place)
            if self._disk.read(path) != text.encode():
                self._disk.mkdir(os.path.dirname(path))
                self._disk.write_file(path, text.encode())
                is_changed = True
        return is_changed


def install_recovery(
    disk: Disk,
    layout: Layout,
    tool: Tuple[str, ...],
    folder: str = PERMANENT_DIR,
    *,
    fallback: Optional[Tuple[str, ...]] = None,
) -> bool:
    """Make this tool the one that recovers at boot, by one rename; whether anything changed.

    Args:
        fallback: a tool that recovers where this one, not yet proven by a boot, fails or hangs.
    """
    path = os.path.join(folder, RECOVER_UNIT)
    wants = os.path.join(folder, "multi-user.target.wants")
    link = os.path.join(wants, RECOVER_UNIT)
    text = recover_unit(layout, tool, fallback).encode()
    is_changed = False
    if disk.read(path) != text:
        disk.write_file(path, text)
        is_changed = True
    if disk.read_link(link) != path:
        disk.mkdir(wants)
        disk.replace_link(link, path)
        is_changed = True
    return is_changed


def marks_shutdown(layout: Layout, folder: str = PERMANENT_DIR) -> bool:
    """Whether the recovery unit that is installed leaves the mark; one of an earlier tool does not."""
    try:
        with open(os.path.join(folder, RECOVER_UNIT), encoding="utf-8") as stream:
            return layout.shut_down in stream.read()
    except OSError:
        return False


def recover_unit(
    layout: Layout, tool: Tuple[str, ...], fallback: Optional[Tuple[str, ...]] = None
) -> str:
    """The unit that runs `recover` at boot.

    It is not ordered before the pipelines: it starts them itself and waits for them, and an ordering
    would make each wait for the other. Nothing else starts them.
    """
    return (
        "[Unit]\n"
        "Description=edgeform: put the state in order, then run what is committed\n"
        f"RequiresMountsFor={layout.prefix}\n"
        "After=systemd-tmpfiles-setup.service\n"
        "\n[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        f"ExecStart={_recover_command(tool, fallback)}\n"
        # An orderly shutdown stops this unit; a boot without the mark had none before it.
        f"ExecStop=/bin/touch {layout.shut_down}\n"
        "TimeoutStartSec=300\n"
        "OOMScoreAdjust=-900\n"
        "\n[Install]\n"
        "WantedBy=multi-user.target\n"
    )


def _recover_command(tool: Tuple[str, ...], fallback: Optional[Tuple[str, ...]]) -> str:
    wanted = f"{_command(tool)} recover"
    if fallback is None:
        return wanted
    import shutil  # noqa: PLC0415 - reads every compression library there is

    limit = shutil.which("timeout")
    first = f"{limit} {UNPROVEN_S} {wanted}" if limit else wanted
    return f"/bin/sh -c '{first} || {_command(fallback)} recover'"


def pipeline_unit(layout: Layout, tool: Tuple[str, ...], user: str) -> str:
    """The template of all pipelines; `%i` is the pipeline's name."""
    return (
        "[Unit]\n"
        "Description=edgeform pipeline %i\n"
        "StartLimitIntervalSec=300\n"
        "StartLimitBurst=20\n"
        "\n[Service]\n"
        "Type=notify\n"
        f"ExecStart={_command(tool)} run %i\n"
        + _lines(hardening(layout, user))
        + f"ReadWritePaths={layout.results_dir}/%i\n"
        + "NotifyAccess=main\n"
        "Restart=always\n"
        "RestartSec=1\n"
        f"TimeoutStartSec={START_S}\n"
        "TimeoutStopSec=15\n"
        f"WatchdogSec={WATCHDOG_S}\n"
    )


def hardening(layout: Layout, user: str) -> Tuple[str, ...]:
    """What a runtime may not do: all but read, and make its socket."""
    shared = os.path.dirname(layout.run_dir) == "/run"
    # Kept between services, because it holds the sockets of all of them.
    runtime = (
        f"RuntimeDirectory={os.path.basename(layout.run_dir)}",
        "RuntimeDirectoryPreserve=yes",
    )
    return (
        f"User={user}",
        *(runtime if shared else ()),
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "ProtectKernelTunables=yes",
        "ProtectControlGroups=yes",
        "RestrictSUIDSGID=yes",
        f"ReadWritePaths={layout.run_dir}",
    )


def limits(use: PipelineUse) -> Tuple[str, ...]:
    """What differs between pipelines: memory and CPU."""
    found: List[str] = []
    memory_bytes = use.limits.get("memory_bytes")
    cpu_percent = use.limits.get("cpu_percent")
    if isinstance(memory_bytes, int):
        found += [f"MemoryMax={memory_bytes}", "MemorySwapMax=0"]
    if isinstance(cpu_percent, (int, float)):
        found.append(f"CPUQuota={cpu_percent:g}%")
    return tuple(found)


def credentials(disk: Disk, layout: Layout, use: PipelineUse) -> Tuple[str, ...]:
    """The secrets a pipeline may read; those that are sealed to the machine are opened by systemd."""
    return tuple(
        f"LoadCredential{'Encrypted' if secrets.is_sealed(disk, layout, name) else ''}"
        f"={name}:{layout.secret(name)}"
        for name in use.secrets
    )


def unit_of(name: str) -> str:
    return f"edgeform-pipeline@{check_name(name)}.service"


def shadow_unit(name: str) -> str:
    return f"edgeform-shadow@{check_name(name)}.service"


def _show(unit: str, properties: Tuple[str, ...]) -> Dict[str, str]:
    out = command.run(("systemctl", "show", unit, "--property=" + ",".join(properties)))
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def _lines(properties: Tuple[str, ...]) -> str:
    return "".join(line + "\n" for line in properties)


def _command(tool: Tuple[str, ...]) -> str:
    """The command as a unit file wants it; enrolment lets no path with a space or % come this far.

    Raises:
        Refused: a part could be read differently by systemd.
    """
    for part in tool:
        if not part or set(part) & set(" %$\\\"';\n\t"):
            raise Refused(f"{part!r:.100} cannot stand in a unit file.")
    return " ".join(tool)
