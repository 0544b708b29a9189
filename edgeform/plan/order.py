"""In which order changes are made, and which of them stand or fall together.

Drivers have no slots, so they come before the generation, in a transaction of their own; the tool
comes before both, because it is what does them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edgeform.plan import changes as c
from edgeform.plan.changes import Change, DriverChange, GenerationChange, ToolChange

_ORDER: tuple[type[Change], ...] = (
    c.InstallTool,
    c.UpdateTool,
    c.Enrol,
    c.InstallPackage,
    c.WriteUdevRule,
    c.LoadModule,
    c.JoinGroup,
    c.SetSysctl,
    c.RunVendorRole,
    c.Reboot,
    c.PutSecret,
    c.SwitchRuntime,
    c.InstallModel,
    c.ReplaceModel,
    c.AddPipeline,
    c.ChangePipeline,
    c.RemovePipeline,
    c.RestoreDrift,
    c.KeepGenerations,
    c.Retire,
    c.DropSecret,
)
_RANK = {kind: rank for rank, kind in enumerate(_ORDER)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Three transactions, each empty or done before the next begins."""

    tool: tuple[ToolChange, ...]
    drivers: tuple[DriverChange, ...]
    generation: tuple[GenerationChange, ...]


def in_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The changes as they are made; equal ones by address, so that a plan is the same every time."""
    return tuple(sorted(changes, key=lambda change: (_RANK[type(change)], change.address)))


def stages(changes: Iterable[Change]) -> Stages:
    """The changes by the transaction they belong to."""
    ordered = in_order(changes)
    return Stages(
        tool=tuple(x for x in ordered if isinstance(x, ToolChange)),
        drivers=tuple(x for x in ordered if isinstance(x, DriverChange)),
        generation=tuple(x for x in ordered if isinstance(x, GenerationChange)),
    )
