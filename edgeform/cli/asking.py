"""Asking selected devices one question each: what most verbs that look at devices have in common.

A device that is not reached, or that refuses, is an answer too (`Missed`), told on standard error and
counted in the exit code; it never hides what the others said.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click

from edgeform import events
from edgeform.apply.device import DeviceClient, Refusal
from edgeform.cli.fleet import side_by_side
from edgeform.cli.planning import load_site, open_resolver, targets_of
from edgeform.cli.workspace import Workspace, find_workspace
from edgeform.diagnostics import rendered
from edgeform.domain.site import Device, Site
from edgeform.errors import ConfirmationNeeded, Incomplete
from edgeform.secrets.resolver import Resolver
from edgeform.spec.selector import select
from edgeform.transport.base import DeviceUnreachable, Target, Transport

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """A site's selected devices, and how each of them is reached."""

    workspace: Workspace
    site: Site
    devices: tuple[Device, ...]
    targets: dict[str, Target]
    resolver: Resolver

    def only(self, devices: tuple[Device, ...]) -> "Roll":
        """The same with some of its devices."""
        return replace(self, devices=devices)

    def client(self, transport: Transport, device: Device) -> DeviceClient:
        return DeviceClient(transport, self.targets[device.name], device.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A device that gave no answer, or refused; `reason` is one word."""

    device: str
    reason: str
    detail: str
    hint: str
    exit_code: int

    def to_json(self) -> dict[str, str | bool]:
        return {
            "device": self.device,
            "answered": False,
            "reason": self.reason,
            "detail": self.detail,
            "hint": self.hint,
        }


def split_words(words: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """A site's folder, if the first word is one, and the other words as selectors."""
    if words and ((Path(words[0]) / "site.yaml").is_file() or words[0].endswith("site.yaml")):
        return words[0], tuple(words[1:])
    if words and ("/" in words[0] or words[0] == "."):
        return words[0], tuple(words[1:])  # meant as a folder: the error says what it lacks
    return None, tuple(words)


def call_the_roll(site: str | None, selectors: Sequence[str], listener: events.Listener) -> Roll:
    """The selected devices of a site. Reads files only, and needs no lock.

    Raises:
        SpecInvalid: the site has errors. UsageError: no such site, or a selector selects nothing.
    """
    workspace = find_workspace(site)
    found, warnings = load_site(workspace, listener)
    for warning in warnings:
        click.echo(rendered(warning), err=True)
    devices = select(found, selectors)
    resolver = open_resolver(workspace)
    return Roll(
        workspace=workspace,
        site=found,
        devices=devices,
        targets=targets_of(workspace, resolver, devices),
        resolver=resolver,
    )


def ask_each(
    roll: Roll, transport: Transport, question: Callable[[Device, DeviceClient], T | Refusal]
) -> list[tuple[Device, T | Missed]]:
    """Every device's answer, in the site's order, asked side by side."""

    def ask(device: Device) -> T | Missed:
        try:
            answer = question(device, roll.client(transport, device))
        except DeviceUnreachable as exc:
            return Missed(
                device=device.name,
                reason=str(exc.reason),
                detail=exc.detail,
                hint=exc.hint,
                exit_code=Incomplete.exit_code,
            )
        return missed(device.name, answer) if isinstance(answer, Refusal) else answer

    return list(zip(roll.devices, side_by_side(ask, roll.devices), strict=True))


def missed(device: str, refusal: Refusal) -> Missed:
    return Missed(
        device=device,
        reason=refusal.code,
        detail=str(refusal),
        hint=refusal.hint,
        exit_code=refusal.exit_code,
    )


def tell(unanswered: Iterable[Missed]) -> list[int]:
    """Say on standard error who did not answer and what to do; the exit codes that follow from it."""
    codes = []
    for one in unanswered:
        lines = [f"{one.device}: {one.reason}: {one.detail}"]
        lines += [f"  {line}" for line in one.hint.splitlines()]
        click.echo("\n".join(lines), err=True)
        codes.append(one.exit_code)
    return codes


def confirm(question: str, *, yes: bool, would: str, command: str) -> None:
    """Go on only after a yes.

    Args:
        would: what would happen, for the error. command: what to type without a terminal.

    Raises:
        ConfirmationNeeded: nobody is there to be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfirmationNeeded(
            f"{would}, and nobody is here to be asked.",
            hint=f"If that is what you want:\n    {command}",
        )
    click.confirm(question, abort=True, err=True)
