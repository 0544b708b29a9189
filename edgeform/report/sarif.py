"""Findings as SARIF 2.1.0, so that a code host shows them beside the lines they are about.

Fields after OASIS "Static Analysis Results Interchange Format (SARIF) Version 2.1.0"; what a code host
needs beyond it (a location for every result, a fingerprint) after GitHub's "SARIF support for code scanning".
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from edgeform.diagnostics import Diagnostic
from edgeform.report.findings import Finding, rule_text
from edgeform.version import VERSION

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST_RESULTS = 5000
"""GitHub shows no more of one run; the rest is counted, not lost without a word."""


def sarif(
    findings: Sequence[Finding], *, whole: str, diagnostics: Sequence[Diagnostic] = ()
) -> str:
    """The findings as one run.

    Args:
        whole: the file to point at where nobody can name a line, as `site/site.yaml`.
        diagnostics: where the words of the codes come from.
    """
    shown = findings[:MOST_RESULTS]
    rules = sorted({f.rule for f in shown})
    texts = {f.rule: rule_text(f, diagnostics) for f in shown}
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "edgeform",
                "semanticVersion": VERSION,
                "rules": [{"id": r, "shortDescription": {"text": texts[r]}} for r in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(f, rules.index(f.rule), whole) for f in shown],
    }
    if len(findings) > len(shown):
        run["properties"] = {"left_out": len(findings) - len(shown)}
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def fingerprint(finding: Finding) -> str:
    """The same for the same finding in the next run, also when lines above it moved."""
    said = f"{finding.rule}\n{finding.address}\n{finding.text}"
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()


def _result(finding: Finding, index: int, whole: str) -> dict[str, Any]:
    place = finding.position
    region = {"startLine": place.line, "startColumn": place.column} if place else {"startLine": 1}
    text = f"{finding.text} ({finding.hint})" if finding.hint else finding.text
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": place.file if place else whole},
            "region": region,
        }
    }
    if finding.address:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.address}]
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": str(finding.weight),
        "message": {"text": text},
        "locations": [location],
        "partialFingerprints": {"edgeform/v1": fingerprint(finding)},
    }
