"""Collects problems; what many devices share is told once, with how many more have it."""

from dataclasses import dataclass, field, replace

from edgeform.diagnostics import Diagnostic, Severity, in_order


@dataclass(slots=True)
class Report:
    """The problems of a site so far; `errors` counts every error, also the repeated ones."""

    errors: int = 0
    _found: dict[Diagnostic, tuple[Diagnostic, int]] = field(default_factory=dict)

    def add(self, problem: Diagnostic) -> None:
        """Take a problem in; one that differs only in its address is counted, not repeated."""
        if problem.severity is Severity.ERROR:
            self.errors += 1
        key = replace(problem, address="") if problem.source is not None else problem
        first, count = self._found.get(key, (problem, 0))
        self._found[key] = (first, count + 1)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Every problem once, in order."""
        return in_order(
            first if count == 1 else replace(first, detail=f"{first.detail} ({count} times)")
            for first, count in self._found.values()
        )
