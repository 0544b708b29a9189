"""What building variants found out, as text and JSON; `build_page` makes the page of the same documents.

A document is one variant's: `{"variant", "state", "derivation", "artifact", "why", "error", "report"}`, its
report as `edgeform.build` writes it (schemas/build.schema.json).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeform.domain.names import short
from edgeform.domain.quantities import show_bytes
from edgeform.plan import Line, Meaning
from edgeform.report.build_page import build_page
from edgeform.report.clean import one_line
from edgeform.report.paint import paint

SCHEMA = "edgeform.build/1"
_MEANINGS = {
    "built": Meaning.ADD,
    "cached": Meaning.FAINT,
    "needed": Meaning.CHANGE,
    "refused": Meaning.PROBLEM,
    "failed": Meaning.PROBLEM,
}
_WORDS = {
    "built": "built",
    "cached": "as it was built before",
    "needed": "to be built",
    "refused": "refused by its gate",
    "failed": "failed",
}

Document = Mapping[str, Any]


def as_json(documents: Sequence[Document]) -> str:
    """All of them as one JSON document."""
    value = {"schema": SCHEMA, "variants": [dict(document) for document in documents]}
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def as_html(documents: Sequence[Document]) -> str:
    """All of them as one static page."""
    return build_page(documents)


def as_text(documents: Sequence[Document], *, colour: bool) -> str:
    """All of them for people."""
    if not documents:
        return "No variant of the site is built by a recipe.\n"
    return paint((line for document in documents for line in _lines(document)), colour=colour)


def _lines(document: Document) -> Iterator[Line]:
    state = str(document["state"])
    digest = f"  {short(str(document['artifact']))}" if document["artifact"] else ""
    yield Line(text=f"{document['variant']}: {_WORDS[state]}{digest}", meaning=_MEANINGS[state])
    for reason in document["why"]:
        yield Line(text=f"    because {one_line(str(reason))}", meaning=Meaning.FAINT)
    if document["report"]:
        yield from _report(document["report"])
    yield Line(text="")


def _report(report: Document) -> Iterator[Line]:
    reference = report["reference"]
    rows = [("", "accuracy", "agreement", "SQNR", "bytes", "p50 here", "")]
    rows.append(
        (
            "source",
            _share(reference["accuracy"]),
            "",
            "",
            show_bytes(report["reference_size_bytes"]),
            f"{reference['latency']['p50_ms']:.2f} ms",
            "",
        )
    )
    for rung in report["rungs"]:
        figures = rung["figures"]
        word = {"passed": "taken", "failed": "does not pass", "refused": "not possible"}
        rows.append(
            (
                rung["name"],
                _share(figures["accuracy"]) if figures else "",
                _share(figures["agreement"]) if figures else "",
                f"{figures['sqnr_db']:.1f} dB" if figures else "",
                show_bytes(rung["size_bytes"]) if figures else "",
                f"{figures['latency']['p50_ms']:.2f} ms" if figures else "",
                word[rung["state"]],
            )
        )
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = (f"{text:<{width}}" for text, width in zip(row, widths, strict=True))
        yield Line(text="    " + "  ".join(cells).rstrip())
    yield from _remarks(report)


def _remarks(report: Document) -> Iterator[Line]:
    gate = report["gate"]
    yield Line(
        text=f"    gate: drop at most {gate['accuracy_drop']:g}, agreement {gate['agreement']:g}, SQNR"
        f" {gate['sqnr_db']:g} dB, on {report['reference']['samples']} held-out samples"
        f" (they can prove a drop of {report['smallest_provable_drop']:.2g})",
        meaning=Meaning.FAINT,
    )
    for rung in report["rungs"]:
        for verdict in rung["verdicts"]:
            if not verdict["passed"]:
                said = f"{verdict['name']} {verdict['found']}, wanted {verdict['wanted']}"
                yield Line(text=f"    {rung['name']}: {said}", meaning=Meaning.PROBLEM)
        if rung["error"]:
            yield Line(
                text=f"    {rung['name']}: {one_line(rung['error'])}", meaning=Meaning.PROBLEM
            )
        if rung["state"] == "passed":
            for note in rung["notes"]:
                yield Line(text=f"    {one_line(note)}", meaning=Meaning.FAINT)
    if report["synthetic_calibration"]:
        yield Line(
            text="    calibrated with synthetic data, and the artifact says so",
            meaning=Meaning.PROBLEM,
        )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
