"""`edgeform enroll`: from a machine that can be reached to a device that obeys one root."""

from dataclasses import dataclass

import click

from edgeform.apply.device import Refusal
from edgeform.apply.enrolment import Enrolled, enrol, install_tool
from edgeform.cli.asking import Missed, Roll, call_the_roll, missed, split_words, tell
from edgeform.cli.cmd_publish import open_artifacts
from edgeform.cli.device_keys import pin_device_key
from edgeform.cli.fleet import observe, side_by_side
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.pinning import known_hosts_of, pin_host_key
from edgeform.cli.talking import talk
from edgeform.cli.tooling import tool_artifact
from edgeform.cli.trusting import SiteTrust, open_site_trust
from edgeform.cli.workspace import stamp, who
from edgeform.domain.observed import Observed, Unobserved
from edgeform.domain.site import Device
from edgeform.errors import EdgeformError, Incomplete, UsageError, worst_of
from edgeform.events import Listener
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.transport.base import DeviceUnreachable, Transport

NO_PLAN = "enroll"
"""What the journal has in place of a plan's digest."""
COLUMNS = tuple(Column(title=t) for t in ("DEVICE", "CODE", "ROOT", "PROFILE", "KEY"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A device that is enrolled; `key` is new, known or none."""

    device: str
    enrolled: Enrolled
    key: str


@click.command("enroll")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@click.option("--fingerprint", metavar="SHA256:...", help="The host key of the one device named.")
@click.option(
    "--accept-new-host-key",
    is_flag=True,
    help="Believe unknown host keys once; the journal says so.",
)
@click.option("--replace-key", is_flag=True, help="The device was set up again: pin its new key.")
@output_option("text", "json")
def command(
    words: tuple[str, ...],
    selectors: tuple[str, ...],
    fingerprint: str | None,
    accept_new_host_key: bool,
    replace_key: bool,
    output: str,
) -> int:
    """Pin the host key, install the device tool and the root of trust, and pin the device's own key.

    The printed code stands for the root and the device's key together: keep it with the device's papers, for
    enrolling again changes nothing and prints the same. A root is never replaced.
    """
    site, named = split_words(words)
    with talk() as listener:
        roll = call_the_roll(site, (*named, *selectors), listener)
        if fingerprint is not None and len(roll.devices) != 1:
            raise UsageError("--fingerprint is for one device; name it.")
        with roll.workspace.journal() as journal:
            run = journal.begin(
                plan_digest=NO_PLAN, who=who(), now=stamp(), devices=[d.name for d in roll.devices]
            )
            refused, hosts = _pin_hosts(
                roll, fingerprint=fingerprint, accept_new=accept_new_host_key
            )
            left = [d for d in roll.devices if d.name not in {m.device for m in refused}]
            answers: list[Done | Missed] = []
            if left:
                # The file may be new: the targets are made anew, so that they name it.
                roll = call_the_roll(site, [d.name for d in left], listener)
                trust = open_site_trust(roll.workspace, roll.site.name, may_create=True)
                with open_fleet() as transport:
                    answers = _enrol_all(roll, transport, trust, listener, replace_key=replace_key)
            for answer in (*refused, *answers):
                state, detail = _noted(answer)
                detail = "; ".join((hosts.get(answer.device, "local"), detail))
                journal.noted(run, answer.device, state, detail, now=stamp())
            codes = tell([*refused, *(a for a in answers if isinstance(a, Missed))])
            journal.finish(run, exit_code=worst_of(codes), now=stamp())
    _show([a for a in answers if isinstance(a, Done)], output)
    return worst_of(codes)


def _pin_hosts(
    roll: Roll, *, fingerprint: str | None, accept_new: bool
) -> tuple[list[Missed], dict[str, str]]:
    """Who was refused, and a sentence on each host key; one after the other, for one file is written."""
    refused: list[Missed] = []
    hosts: dict[str, str] = {}
    for device in roll.devices:
        if device.connect.mode != "ssh":
            continue
        target = roll.targets[device.name]
        try:
            pinned = pin_host_key(
                target,
                known_hosts_of(roll.workspace, target),
                fingerprint=fingerprint,
                accept_new=accept_new,
            )
        except EdgeformError as exc:
            reason = str(exc.reason) if isinstance(exc, DeviceUnreachable) else "host-key"
            refused.append(
                Missed(
                    device=device.name,
                    reason=reason,
                    detail=exc.detail,
                    hint=exc.hint,
                    exit_code=exc.exit_code,
                )
            )
            hosts[device.name] = "host key not pinned"
            continue
        hosts[device.name] = f"host key {pinned.key.fingerprint} {pinned.how}"
        click.echo(f"{device.name}: {hosts[device.name]}", err=True)
    return refused, hosts


def _enrol_all(
    roll: Roll, transport: Transport, trust: SiteTrust, listener: Listener, *, replace_key: bool
) -> list[Done | Missed]:
    open_artifacts(roll.workspace)
    seen = observe(transport, roll.devices, roll.targets, listener)

    def one(device: Device) -> Done | Missed:
        observation = seen[device.name]
        if isinstance(observation, Unobserved):
            return Missed(
                device=device.name,
                reason=str(observation.reason),
                detail=observation.detail,
                hint=observation.hint,
                exit_code=Incomplete.exit_code,
            )
        try:
            return _enrol(roll, transport, trust, device, observation, replace_key=replace_key)
        except EdgeformError as exc:
            reason = str(exc.reason) if isinstance(exc, DeviceUnreachable) else exc.summary.lower()
            return Missed(
                device=device.name,
                reason=reason,
                detail=exc.detail,
                hint=exc.hint,
                exit_code=exc.exit_code,
            )

    return side_by_side(one, roll.devices)


def _enrol(
    roll: Roll,
    transport: Transport,
    trust: SiteTrust,
    device: Device,
    seen: Observed,
    *,
    replace_key: bool,
) -> Done | Missed:
    target = roll.targets[device.name]
    artifacts = open_artifacts(roll.workspace)
    if seen.tool is None:
        file = tool_artifact().files[0].digest
        refusal = install_tool(
            transport, target, device.prefix, artifacts.objects.verified(file), file
        )
        if refusal is not None:
            return missed(device.name, refusal)
    root = (trust.repository.metadata / "1.root.json").read_text("utf-8")
    answer = enrol(roll.client(transport, device), site=roll.site.name, root=root)
    if isinstance(answer, Refusal):
        return missed(device.name, answer)
    key = "none"
    if answer.device_key:
        is_new = pin_device_key(roll.workspace, device.name, answer.device_key, replace=replace_key)
        key = "new" if is_new else "known"
    return Done(device=device.name, enrolled=answer, key=key)


def _noted(answer: Done | Missed) -> tuple[str, str]:
    if isinstance(answer, Missed):
        return "refused", f"{answer.reason}: {answer.detail}"
    return "enrolled", f"code {answer.enrolled.code}, root {answer.enrolled.root_digest}"


def _show(done: list[Done], output: str) -> None:
    if output == "json":
        for one in done:
            click.echo(
                line(
                    {
                        "device": one.device,
                        "code": one.enrolled.code,
                        "root_digest": one.enrolled.root_digest,
                        "profile": one.enrolled.profile,
                        "key": one.key,
                    }
                )
            )
        return
    if done:
        rows = [
            (d.device, d.enrolled.code, d.enrolled.root_digest[:19], d.enrolled.profile, d.key)
            for d in done
        ]
        click.echo(table(COLUMNS, rows), nl=False)
