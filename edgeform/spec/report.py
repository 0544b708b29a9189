"""Collects problems; what many devices share is told once, with how many more have it."""

from dataclasses import dataclass, field, replace

from edgeform.diagnostics import Diagnostic, Severity, in_order

MAX_AT_ONE_PLACE = 8
"""A range of ten thousand devices has ten thousand problems at one place; a few tell enough."""


@dataclass(slots=True)
class Report:
    """The problems of a site so far; `errors` counts every error, also the repeated ones."""

    errors: int = 0
    _found: dict[Diagnostic, tuple[Diagnostic, int]] = field(default_factory=dict)
    _at_place: dict[tuple[str, str], list[Diagnostic]] = field(default_factory=dict)
    _left_out: dict[Diagnostic, int] = field(default_factory=dict)

    def add(self, problem: Diagnostic) -> None:
        """Take a problem in; one that differs only in its address is counted, not repeated."""
        if problem.severity is Severity.ERROR:
            self.errors += 1
        key = replace(problem, address="") if problem.source is not None else problem
        if key in self._found:
            first, count = self._found[key]
            self._found[key] = (first, count + 1)
            return
        if problem.source is not None:
            place = (problem.code, str(problem.source.position))
            there = self._at_place.setdefault(place, [])
            if len(there) == MAX_AT_ONE_PLACE:
                self._left_out[there[-1]] = self._left_out.get(there[-1], 0) + 1
                return
            there.append(key)
        self._found[key] = (problem, 1)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Every problem once, in order."""
        return in_order(self._told(key) for key in self._found)

    def _told(self, key: Diagnostic) -> Diagnostic:
        problem, count = self._found[key]
        detail = problem.detail
        if count > 1:
            detail += f" ({count:,} times)"
        if key in self._left_out:
            detail += f" (And {self._left_out[key]:,} more of this kind here.)"
        return replace(problem, detail=detail)
