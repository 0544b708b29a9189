"""Every problem that a site can have: its code, one summary, the long text, the cause and an example.

`edgeform explain CODE` prints these; a diagnostic takes its summary from here, so that a code always
says the same thing. EF1xxx is about one file, EF2xxx about objects that do not fit together,
EF25xx about the lock.
"""

from dataclasses import dataclass

from edgeform.diagnostics import Diagnostic, Severity, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One kind of problem. `example` is a fragment of YAML that has it, then one that has not."""

    code: str
    summary: str
    text: str
    cause: str
    example: str
    severity: Severity = Severity.ERROR

    def at(
        self, source: Source | None, detail: str, *, address: str = "", hint: str = ""
    ) -> Diagnostic:
        """The problem at a place."""
        return Diagnostic(
            code=self.code,
            severity=self.severity,
            summary=self.summary,
            detail=detail,
            address=address,
            source=source,
            hint=hint,
        )
