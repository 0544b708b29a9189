"""Everything edgeform raises on purpose, and the exit code that goes with it.

    EdgeformError                     1   our bug, or an internal error
    ├── UsageError                   64   the command line is wrong
    ├── SpecInvalid                   3   the site has errors (carries its diagnostics)
    ├── DeviceBlocked                 3   a device cannot be planned
    ├── PolicyDenied                  4
    ├── RolledBack                    5   everything healthy on the old generation
    ├── Stale                         6   plan, bundle or metadata is older than the world
    ├── Locked                        7   by whom, since when, until when
    ├── NotTrusted                    8   signature, role, downgrade
    ├── Incomplete                    9   some devices unreachable, pending or dark
    ├── ConfirmationNeeded           10   no terminal and no --yes
    ├── RolloutStopped               11   by its gate
    ├── Corrupt                      12   bytes do not match their digest
    ├── OutsideFailed                13   registry, Vault, broker, package server
    └── NeedsHands                   20   healthy neither on the old nor on the new

Any other exception is a bug in edgeform and is reported as one.
"""

from collections.abc import Iterable
from typing import ClassVar

from edgeform.diagnostics import Diagnostic, Severity, in_order, rendered

CHANGES_PRESENT = 2
"""Exit code of `plan --detailed-exitcode` with changes and of `drift` with drift: not an error."""

WORST_FIRST = (20, 8, 12, 11, 5, 3, 6, 7, 13, 9, 2)
"""Where several exit codes apply, the one that most needs a person wins."""


def worst_of(codes: Iterable[int]) -> int:
    """The exit code to report when several apply; 0 for none, 1 before all that are not listed."""
    seen = {code for code in codes if code}
    unlisted = sorted(seen - set(WORST_FIRST))
    if unlisted:
        return unlisted[0]
    return next((code for code in WORST_FIRST if code in seen), 0)


class EdgeformError(Exception):
    """A failure with its sentence, its place and its remedy.

    Args:
        detail: what is wrong and why.
        address: file:line:column, or device and step.
        hint: what to do; a command stands alone on an indented line.
    """

    summary: ClassVar[str] = "Internal error"
    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str, *, address: str = "", hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.address = address
        self.hint = hint

    def rendered(self) -> str:
        """The error as plain text, several lines, without a trailing newline."""
        lines = [f"error: {self.summary}"]
        if self.address:
            lines.append(f"  {self.address}")
        lines += [f"  {line}" for line in self.detail.splitlines()]
        lines += [f"  {line}" for line in self.hint.splitlines()]
        return "\n".join(lines)


class UsageError(EdgeformError):
    summary = "Wrong usage"
    exit_code = 64


class SpecInvalid(EdgeformError):
    """The site has errors; `diagnostics` holds all of them, in order."""

    summary = "Site invalid"
    exit_code = 3

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__(f"problems in the site: {len(diagnostics)}")
        self.diagnostics = in_order(diagnostics)

    def rendered_diagnostics(self) -> str:
        """All problems, one after the other, and how many there are."""
        found = self.diagnostics
        errors = sum(d.severity is Severity.ERROR for d in found)
        count = f"errors: {errors}, warnings: {len(found) - errors}"
        return "\n\n".join((*(rendered(d) for d in found), count))


class DeviceBlocked(EdgeformError):
    summary = "Device blocked"
    exit_code = 3


class PolicyDenied(EdgeformError):
    summary = "Denied by policy"
    exit_code = 4


class RolledBack(EdgeformError):
    summary = "Rolled back"
    exit_code = 5


class Stale(EdgeformError):
    summary = "Stale"
    exit_code = 6


class Locked(EdgeformError):
    summary = "Locked by someone else"
    exit_code = 7


class NotTrusted(EdgeformError):
    summary = "Not trusted"
    exit_code = 8


class Incomplete(EdgeformError):
    summary = "Incomplete"
    exit_code = 9


class ConfirmationNeeded(EdgeformError):
    summary = "Confirmation needed"
    exit_code = 10


class RolloutStopped(EdgeformError):
    summary = "Rollout stopped"
    exit_code = 11


class Corrupt(EdgeformError):
    summary = "Corrupt"
    exit_code = 12


class OutsideFailed(EdgeformError):
    summary = "Something outside failed"
    exit_code = 13


class NeedsHands(EdgeformError):
    summary = "Needs hands"
    exit_code = 20
