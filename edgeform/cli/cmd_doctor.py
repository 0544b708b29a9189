"""`edgeform doctor`: what is in the way, here or on devices, and what to do about each."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from edgeform.apply.device import DeviceClient, Refusal
from edgeform.cli.asking import Missed, Roll, ask_each, call_the_roll, split_words
from edgeform.cli.fleet import observe
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.cli.workspace import Workspace
from edgeform.diagnostics import has_errors
from edgeform.domain.observed import Observation, Observed, Unobserved, Unreachability
from edgeform.domain.quantities import show_bytes
from edgeform.domain.site import Device
from edgeform.errors import DeviceBlocked, Incomplete, NeedsHands, worst_of
from edgeform.lock.lockfile import read as read_lock
from edgeform.report.json_lines import line
from edgeform.report.tables import Finding, doctor_table
from edgeform.spec.load import load
from edgeform.transport.base import Transport
from edgeform.trust.create import REPOSITORY_FOLDER

OK, MISSING, WRONG, SKIPPED = "ok", "missing", "wrong", "skipped"
LOW_DISK_BYTES = 256 * 1024 * 1024
PROGRAMS = (
    ("ansible-playbook", "bootstrap only", "pip install 'edgeform[ansible]'"),
    ("sshpass", "bootstrap with a password only", "sudo apt-get install sshpass"),
    ("openssl", "a second opinion on signatures", "sudo apt-get install openssl"),
    ("git", "sites live in it", "sudo apt-get install git"),
)


@click.command("doctor")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@output_option("text", "json")
def command(words: tuple[str, ...], selectors: tuple[str, ...], output: str) -> int:
    """Look at this machine and the site; with -l, at the selected devices instead.

    Each line that is not ok says what to do. Exit 3 if something needed is missing or wrong, 9 if a device
    was not reached, 20 if one needs hands.
    """
    site, named = split_words(words)
    chosen = (*named, *selectors)
    if not chosen:
        return _show(list(here(Path(site or "."))), output)
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, chosen, listener)
        seen = observe(transport, roll.devices, roll.targets, listener)
        tested = _selftests(roll, seen, transport)
    findings = []
    codes = []
    for device in roll.devices:
        found = list(about(device, seen[device.name], tested.get(device.name)))
        findings += found
        codes.append(_code(seen[device.name]))
    return worst_of((_show(findings, output), *codes))


def here(folder: Path) -> Iterator[Finding]:
    """What is here: the programs of this machine, and the site in a folder."""
    version = platform.python_version()
    is_new = sys.version_info >= (3, 11)
    yield Finding(
        name="python",
        state=OK if is_new else WRONG,
        detail=version,
        hint="" if is_new else "Run edgeform with Python 3.11 or newer.",
    )
    beside = Path(sys.executable).parent
    for name, purpose, install in PROGRAMS:
        found = shutil.which(name, path=f"{beside}:{os.environ.get('PATH', '')}")
        # None of them is needed for every verb, so a missing one is told and not counted.
        yield Finding(
            name=name,
            state=OK if found else SKIPPED,
            detail=found or f"not here; {purpose}. Install: {install}",
        )
    yield from _site(folder)


def _site(folder: Path) -> Iterator[Finding]:
    workspace = Workspace(site_dir=folder if folder.is_dir() else folder.parent)
    if not (workspace.site_dir / "site.yaml").exists():
        yield Finding(name="site", state=SKIPPED, detail=f"{workspace.site_dir} holds no site.yaml")
        return
    loaded = load(workspace.site_dir)
    if has_errors(loaded.diagnostics):
        count = len(loaded.diagnostics)
        yield Finding(
            name="site", state=WRONG, detail=f"{count} problem(s)", hint="edgeform validate"
        )
    else:
        site = loaded.checked()
        yield Finding(name="site", state=OK, detail=f"{site.name}, {len(site.devices)} devices")
    if not workspace.lock_file.exists():
        yield Finding(name="lock", state=MISSING, detail="no edgeform.lock", hint="edgeform lock")
    else:
        lock = read_lock(workspace.lock_file).lock
        yield Finding(
            name="lock",
            state=OK if lock else WRONG,
            detail=f"{len(lock.artifacts)} artifacts" if lock else "it cannot be read",
            hint="" if lock else "edgeform lock",
        )
    has_trust = (workspace.trust_dir / REPOSITORY_FOLDER / "metadata" / "timestamp.json").exists()
    yield Finding(
        name="trust",
        state=OK if has_trust else SKIPPED,
        detail="published"
        if has_trust
        else "nothing published here yet; apply or store pull does it",
    )
    pinned = workspace.known_hosts.exists()
    yield Finding(
        name="known_hosts",
        state=OK if pinned else SKIPPED,
        detail=str(workspace.known_hosts)
        if pinned
        else "no host key is pinned yet; enroll does it",
    )


def _selftests(
    roll: Roll, seen: dict[str, Observation], transport: Transport
) -> dict[str, Missed | bool]:
    """What the device tool says of itself, where there is one."""
    has_tool = tuple(
        d for d in roll.devices if isinstance(o := seen[d.name], Observed) and o.tool is not None
    )

    def ask(_device: Device, client: DeviceClient) -> bool | Refusal:
        answer = client.ask("selftest")
        return answer if isinstance(answer, Refusal) else True

    answers = ask_each(roll.only(has_tool), transport, ask)
    return {device.name: answer for device, answer in answers}


def about(
    device: Device, observation: Observation, tested: Missed | bool | None
) -> Iterator[Finding]:
    """What one device's answer means, line by line."""
    name = device.name
    match observation:
        case Unobserved():
            yield from _unobserved(name, observation)
        case Observed():
            facts = observation.facts
            yield Finding(name=f"{name} reached", state=OK, detail=_way(device))
            yield Finding(name=f"{name} python", state=OK, detail=facts.python)
            is_admin = facts.is_root or device.connect.become == "none"
            yield Finding(
                name=f"{name} rights",
                state=OK if is_admin else WRONG,
                detail="root" if facts.is_root else "not root",
                hint="" if is_admin else "connect.become is sudo, and its sudo gives no root.",
            )
            yield _disk(name, observation)
            yield _clock(device, observation)
            yield from _tool(device, observation, tested)
            yield from _health(name, observation)


def _way(device: Device) -> str:
    connect = device.connect
    return "local" if connect.mode == "local" else f"{connect.user}@{connect.host}:{connect.port}"


def _unobserved(name: str, seen: Unobserved) -> Iterator[Finding]:
    """The first thing that stands in the way; what lies behind it nobody can see yet."""
    what = {
        Unreachability.CONNECT: "reached",
        Unreachability.TIMEOUT: "reached",
        Unreachability.OFFLINE: "reached",
        Unreachability.HOST_KEY: "host key",
        Unreachability.AUTHENTICATION: "login",
        Unreachability.SUDO: "rights",
        Unreachability.PYTHON: "python",
        Unreachability.PROTOCOL: "tool",
    }[seen.reason]
    hints = {
        Unreachability.HOST_KEY: f"edgeform enroll -l {name} --fingerprint SHA256:...",
        Unreachability.PYTHON: f"edgeform bootstrap -l {name}",
    }
    hint = "\n".join(part for part in (seen.hint, hints.get(seen.reason, "")) if part)
    yield Finding(name=f"{name} {what}", state=WRONG, detail=seen.detail, hint=hint)


def _disk(name: str, seen: Observed) -> Finding:
    free, total = seen.facts.disk_free_bytes, seen.facts.disk_total_bytes
    is_low = free < LOW_DISK_BYTES
    return Finding(
        name=f"{name} disk",
        state=WRONG if is_low else OK,
        detail=f"{show_bytes(free)} free of {show_bytes(total)}",
        hint=f"edgeform gc -l {name}" if is_low else "",
    )


def _clock(device: Device, seen: Observed) -> Finding:
    clock = seen.facts.clock
    if clock != "unknown":
        return Finding(
            name=f"{device.name} clock", state=OK, detail=f"{clock}, {seen.facts.wall_time}"
        )
    return Finding(
        name=f"{device.name} clock",
        state=WRONG if device.require_clock else SKIPPED,
        detail=f"nobody vouches for {seen.facts.wall_time}",
        hint="Give it NTP or a working RTC.",
    )


def _tool(device: Device, seen: Observed, tested: Missed | bool | None) -> Iterator[Finding]:
    if seen.tool is None:
        yield Finding(
            name=f"{device.name} tool",
            state=MISSING,
            detail="not enrolled yet",
            hint=f"edgeform enroll -l {device.name}",
        )
        return
    is_well = tested is True
    yield Finding(
        name=f"{device.name} tool",
        state=OK if is_well else WRONG,
        detail=seen.tool.version if is_well else getattr(tested, "detail", ""),
        hint="" if is_well else f"edgeform enroll -l {device.name}",
    )
    for entry in seen.drift:
        yield Finding(
            name=f"{device.name} {entry.kind}",
            state=WRONG,
            detail=f"{entry.path}: {entry.actual}",
            hint="edgeform apply puts it back",
        )


def _health(name: str, seen: Observed) -> Iterator[Finding]:
    if seen.needs_hands:
        hint = f"edgeform logs {name}\nedgeform rollback {name}"
        yield Finding(name=f"{name} state", state=WRONG, detail=seen.needs_hands, hint=hint)
    for pipeline in seen.health:
        is_well = pipeline.state in ("active", "starting")
        yield Finding(
            name=f"{name} {pipeline.name}",
            state=OK if is_well else WRONG,
            detail=f"{pipeline.state} {pipeline.detail}".strip(),
            hint="" if is_well else f"edgeform logs {name} -p {pipeline.name}",
        )


def _code(seen: Observation) -> int:
    if isinstance(seen, Unobserved):
        return (
            DeviceBlocked.exit_code
            if seen.reason is Unreachability.PYTHON
            else Incomplete.exit_code
        )
    return NeedsHands.exit_code if seen.needs_hands else 0


def _show(findings: list[Finding], output: str) -> int:
    if output == "json":
        for finding in findings:
            click.echo(line(asdict(finding)))
    else:
        click.echo(doctor_table(findings), nl=False)
    bad = any(f.state in (MISSING, WRONG) for f in findings)
    return DeviceBlocked.exit_code if bad else 0
