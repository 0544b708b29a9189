"""The real parts put together: what a verb of this tool works with on a real device."""

import os
from dataclasses import replace
from typing import Tuple

from edgeform_device import captures, checks, clock, receipts, signing
from edgeform_device.backend import services_of
from edgeform_device.boottime import BootClock
from edgeform_device.durable import Disk
from edgeform_device.found import named
from edgeform_device.identity import Identity
from edgeform_device.launch import DetachedLauncher, SystemdLauncher
from edgeform_device.layout import Layout
from edgeform_device.locks import FileLocks
from edgeform_device.models import RuntimeModels
from edgeform_device.ports import Environment, Launcher, Verdict
from edgeform_device.preparation import Prepare
from edgeform_device.selfupdate import ToolSlot
from edgeform_device.session import Session
from edgeform_device.subject import LIVE, Subject
from edgeform_device.toolfile import running_digest, tool_command
from edgeform_device.version import BUILT_S, VERSION
from edgeform_wire.companions import companions
from edgeform_wire.receipt import GENESIS, CheckResult, Receipt


def live_environment(session: Session) -> Environment:
    """The parts of an enrolled device.

    Raises:
        Refused: the device is not enrolled.
    """
    who = session.identity()
    layout, disk = session.layout, session.disk
    boot = BootClock(who.root)
    tool = tool_command(layout)
    launcher: Launcher = (
        SystemdLauncher(tool) if who.services == "systemd" else DetachedLauncher(tool, layout)
    )
    return Environment(
        layout=layout,
        disk=disk,
        clock=boot,
        locks=FileLocks(layout),
        services=services_of(session, who),
        models=RuntimeModels(layout, who.root),
        preparation=Prepare(disk, layout, who),
        checks=RealChecks(layout),
        receipts=ReceiptLog(disk, layout, who, boot),
        launcher=launcher,
        tool=ToolSlot(disk, layout, who, boot.boot_id(), running_digest()),
    )


class RealChecks:
    """The judge, told how much disk is free below the prefix."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def run(self, subject: Subject) -> Tuple[CheckResult, ...]:
        free = os.statvfs(self._layout.prefix)
        measured = replace(subject, free_disk_bytes=free.f_bavail * free.f_frsize)
        found = checks.run_checks(measured)
        for slot, digest in companions(subject.use.stages) if subject.slot == LIVE else ():
            beside = replace(
                subject,
                use=replace(subject.use, checks={"golden": subject.use.checks.get("golden", True)}),
                model_tree=self._layout.tree(digest),
                slot=slot,
                generation=None,  # it stays when only the model beside it is swapped
                previous=None,
            )
            found += tuple(named(slot, result) for result in checks.run_checks(beside))
        if not checks.is_acceptable(found):
            captures.on_failure(
                self._layout,
                subject.use.name,
                subject.socket_path,
                "gate_failure",
                checks.first_failure(found),
            )
        return found

    def is_acceptable(self, results: Tuple[CheckResult, ...]) -> bool:
        return checks.is_acceptable(results)


class ReceiptLog:
    """Receipts of this device: chained, and signed with what is there to sign."""

    def __init__(self, disk: Disk, layout: Layout, who: Identity, boot: BootClock) -> None:
        self._disk = disk
        self._layout = layout
        self._who = who
        self._boot = boot

    def record(self, verdict: Verdict) -> Receipt:
        now = clock.read_clock(built_s=BUILT_S)
        signer = signing.find_signer(self._disk, self._layout)
        receipt = Receipt(
            site=self._who.site,
            device=self._who.device,
            seq=1,
            prev=GENESIS,
            tool=VERSION,
            boot_id=self._boot.boot_id(),
            wall_time=self._boot.wall_time(),
            clock="ntp" if now.is_vouched else "unknown",
            signing=signer.kind,
            **vars(verdict),
        )
        return receipts.append(self._disk, self._layout, signer, receipt).receipt
