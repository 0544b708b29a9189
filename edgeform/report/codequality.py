"""Findings as GitLab's code quality report: a list of objects with the five fields it documents.

Source: docs.gitlab.com/ci/testing/code_quality, "Code quality report format": description, check_name,
fingerprint, severity (info, minor, major, critical, blocker), location.path and location.lines.begin.
"""

import json
from collections.abc import Sequence

from edgeform.report.findings import Finding, Weight
from edgeform.report.sarif import fingerprint

_SEVERITY = {Weight.ERROR: "blocker", Weight.WARNING: "major", Weight.NOTE: "info"}


def codequality(findings: Sequence[Finding], *, whole: str) -> str:
    """The report; a path is relative, without a leading `./`, or GitLab does not find the file."""
    report = []
    seen: dict[str, int] = {}
    for finding in findings:
        # GitLab shows the first of several findings with one fingerprint and drops the others.
        print_ = fingerprint(finding)
        seen[print_] = seen.get(print_, 0) + 1
        path = finding.position.file if finding.position else whole
        report.append(
            {
                "description": finding.text,
                "check_name": finding.rule,
                "fingerprint": print_ if seen[print_] == 1 else f"{print_}-{seen[print_]}",
                "severity": _SEVERITY[finding.weight],
                "location": {
                    "path": path.removeprefix("./"),
                    "lines": {"begin": finding.position.line if finding.position else 1},
                },
            }
        )
    return json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
