"""The page of a build: what each variant gives up and gains, as pictures with their numbers beside them.

No script and nothing loaded; the pictures are SVG whose colours follow the page's light and dark.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeform.domain.names import short
from edgeform.domain.quantities import show_bytes
from edgeform.report.page import badge, cell, page, table, text, tiles

Document = Mapping[str, Any]
_TONES = {"built": "good", "cached": "good", "needed": "warn", "refused": "bad", "failed": "bad"}
_RUNGS = {"passed": "good", "failed": "bad", "refused": "idle"}
_RUNG_WORDS = {"passed": "taken", "failed": "does not pass", "refused": "not possible"}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 380, 220, 56, 36, 14


def build_page(documents: Sequence[Document]) -> str:
    """The page; a variant that was not built says why."""
    states = [str(document["state"]) for document in documents]
    counts = [(state, states.count(state), tone) for state, tone in _TONES.items()]
    summary = tiles(c for c in counts if c[1]) + _overview(documents) + _compared(documents)
    parts = [("summary", "Summary", summary)]
    for document in documents:
        name = str(document["variant"])
        parts.append((name.replace("/", "-"), name, "".join(_variant(document))))
    return page(
        title="Variants",
        subtitle=f"{len(documents)} variants, built by recipes and judged on held-out data",
        parts=parts,
        footer="Times are of the machine that built, not of a device. A file by itself, made by edgeform:"
        " it loads nothing and runs nothing.",
    )


def _overview(documents: Sequence[Document]) -> str:
    rows = []
    for document in documents:
        taken = _taken(document["report"])
        figures = taken["figures"] if taken else {}
        rows.append(
            [
                f'<th scope="row">{text(document["variant"])}</th>',
                cell(badge(str(document["state"]), _TONES[str(document["state"])])),
                cell(text(taken["name"]) if taken else "-"),
                cell(text(taken["precision"]) if taken else "-"),
                cell(_share(figures.get("accuracy")), "n"),
                cell(_share(figures.get("agreement")), "n"),
                cell(f"{figures['sqnr_db']:.1f}" if figures else "-", "n"),
                cell(show_bytes(taken["size_bytes"]) if taken else "-", "n"),
                cell(f"{figures['latency']['p50_ms']:.2f}" if figures else "-", "n"),
                cell(f"<code>{text(short(str(document['artifact'] or '')))}</code>"),
            ]
        )
    titles = ("variant", "state", "rung", "precision", "accuracy", "agreement", "SQNR dB")
    return table(
        "What was taken",
        (*titles, "bytes", "p50 ms", "artifact"),
        rows,
        numbers=("accuracy", "agreement", "SQNR dB", "bytes", "p50 ms"),
    )


def _compared(documents: Sequence[Document]) -> str:
    """The variants of each model side by side, with what they were built from."""
    found: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        taken, model = _taken(document["report"]), str(document["variant"]).partition("/")[0]
        if taken is None:
            continue
        if model not in found:
            found[model] = list(_points(document["report"]))[:1]
        name = str(document["variant"]).partition("/")[2]
        found[model].append(_point(name, taken, "good"))
    return "".join(
        '<div class="wide plots">'
        + _scatter(f"{model}: accuracy against bytes", points, "size_bytes", "kB", 1 / 1000)
        + _scatter(f"{model}: accuracy against latency", points, "p50_ms", "ms, p50 here", 1.0)
        + "</div>\n"
        for model, points in found.items()
        if len(points) > 2
    )


def _variant(document: Document) -> Iterator[str]:
    for reason in document["why"]:
        yield f'<p class="soft">because {text(reason)}</p>\n'
    if document["error"]:
        lines = "".join(f"<p>{text(line)}</p>" for line in str(document["error"]).splitlines())
        yield f'<div class="bad alarm">{lines}</div>\n'
    report = document["report"]
    if not report:
        return
    if report["synthetic_calibration"]:
        yield f"<p>{badge('calibrated with synthetic data', 'bad')}</p>\n"
    yield _verdicts(report)
    points = list(_points(report))
    yield '<div class="wide plots">'
    yield _scatter("Accuracy against bytes", points, "size_bytes", "kB", 1 / 1000)
    yield _scatter("Accuracy against latency", points, "p50_ms", "ms, p50 here", 1.0)
    shown = _taken(report) or next((r for r in reversed(report["rungs"]) if r["figures"]), None)
    if shown is not None:
        yield _histogram(shown)
        yield _classes(shown)
    yield "</div>\n"
    if shown is not None:
        yield _class_table(shown)
        for note in shown["notes"]:
            yield f'<p class="soft">{text(note)}</p>\n'


def _verdicts(report: Document) -> str:
    rows = []
    for rung in report["rungs"]:
        recipe = " &gt; ".join(text(step["step"]) for step in rung["recipe"])
        head = f'<th scope="row">{text(rung["name"])}</th>'
        state = cell(badge(_RUNG_WORDS[rung["state"]], _RUNGS[rung["state"]]))
        if not rung["verdicts"]:
            said = f'<td class="say" colspan="3">{text(rung["error"])}</td>'
            rows.append([head, cell(recipe), state, said])
        for verdict in rung["verdicts"]:
            tone = "good" if verdict["passed"] else "bad"
            word = badge("holds" if verdict["passed"] else "does not hold", tone)
            found = f'<td class="say">{text(verdict["name"])} {text(verdict["found"])}</td>'
            rows.append(
                [head, cell(recipe), state, found, cell(text(verdict["wanted"])), cell(word)]
            )
    gate = (
        f"The gate on {report['reference']['samples']} held-out samples, which can prove a drop of"
        f" {report['smallest_provable_drop']:.2g}"
    )
    return table(gate, ("tried", "recipe", "", "found", "wanted", ""), rows)


def _points(report: Document) -> Iterator[dict[str, Any]]:
    """What the scatter plots show: the source, and every rung that was judged."""
    reference = report["reference"]
    yield {
        "name": "source",
        "y": _height(reference, 1.0),
        "size_bytes": report["reference_size_bytes"],
        "p50_ms": reference["latency"]["p50_ms"],
        "tone": "idle",
    }
    for rung in report["rungs"]:
        if rung["figures"]:
            yield _point(rung["name"], rung, _RUNGS[rung["state"]])


def _point(name: str, rung: Document, tone: str) -> dict[str, Any]:
    return {
        "name": name,
        "y": _height(rung["figures"], rung["figures"]["agreement"]),
        "size_bytes": rung["size_bytes"],
        "p50_ms": rung["figures"]["latency"]["p50_ms"],
        "tone": tone,
    }


def _height(figures: Document, agreement: float) -> float:
    """Accuracy; without a task, agreement with the source."""
    accuracy = figures.get("accuracy")
    return float(agreement if accuracy is None else accuracy)


def _scatter(
    title: str, points: Sequence[Mapping[str, Any]], key: str, unit: str, scale: float
) -> str:
    across = [float(point[key]) * scale for point in points]
    up = [float(point["y"]) for point in points]
    right = _ceiling(max(across))
    low, high = _range(up)
    marks, legend = [], []
    for number, (point, x, y) in enumerate(zip(points, across, up, strict=True), 1):
        px, py = _x(x / right), _y((y - low) / (high - low))
        name = f"{point['name']}: {y:.4f}, {x:.4g} {unit}"
        legend.append(f"<b>{number}</b> {text(point['name'])}")
        marks.append(
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="8" class="f-{point["tone"]}"><title>'
            f'{text(name)}</title></circle><text x="{px:.1f}" y="{py + 4:.1f}" text-anchor="middle"'
            f' class="f-card">{number}</text>'
        )
    ticks = "".join(_tick_y(low + (high - low) * n / 4, low, high) for n in range(5))
    ticks += "".join(_tick_x(right * n / 4, right) for n in range(5))
    said = "; ".join(
        f"{p['name']} {y:.4f} at {x:.4g} {unit}" for p, x, y in zip(points, across, up, strict=True)
    )
    return _svg(title, said, f"{ticks}{''.join(marks)}", unit, " · ".join(legend))


def _histogram(rung: Document) -> str:
    """How far samples deviate from the source: largest deviation over the range of the outputs."""
    edges, counts = rung["figures"]["histogram"]["edges"], rung["figures"]["histogram"]["counts"]
    top = max(1, *counts)
    width = (WIDTH - LEFT - 10) / len(counts)
    bars = []
    for number, (edge, count) in enumerate(zip(edges, counts, strict=True)):
        height = (HEIGHT - BOTTOM - TOP) * count / top
        x, y = LEFT + number * width, HEIGHT - BOTTOM - height
        if count:
            bars.append(
                f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{height:.1f}"'
                f' class="f-link"><title>{count} up to {edge:g}</title></rect>'
                f'<text x="{x + width / 2:.1f}" y="{y - 3:.1f}" text-anchor="middle">{count}</text>'
            )
        if number % 4 == 2:
            label = f"{round(math.log10(edge)):d}"
            bars.append(
                f'<text class="soft" x="{x + width:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
                f'10<tspan dy="-4" font-size="9">{label}</tspan></text>'
            )
    said = "; ".join(f"{c} up to {e:g}" for e, c in zip(edges, counts, strict=True) if c)
    return _svg("Error histogram", said, "".join(bars), "largest deviation over the range")


def _classes(rung: Document) -> str:
    """Agreement class by class, from its worst value to one."""
    per_class = rung["figures"]["per_class"][:20]
    if not per_class:
        return ""
    low = min(0.9, *(float(one["agreement"]) for one in per_class))
    low = math.floor(low * 10) / 10
    width = (WIDTH - LEFT - 10) / len(per_class)
    bars = []
    for number, one in enumerate(per_class):
        share = (float(one["agreement"]) - low) / (1.0 - low) if low < 1.0 else 1.0
        height = (HEIGHT - BOTTOM - TOP) * share
        x, y = LEFT + number * width, HEIGHT - BOTTOM - height
        label = str(one["label"])
        bars.append(
            f'<rect x="{x + 2:.1f}" y="{y:.1f}" width="{width - 4:.1f}" height="{height:.1f}"'
            f' class="f-good"><title>{text(label)}: {one["agreement"]:.4f}</title></rect>'
            f'<text class="soft" x="{x + width / 2:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{text(label[:5])}</text>"
        )
    ticks = "".join(_tick_y(low + (1.0 - low) * n / 4, low, 1.0) for n in range(5))
    said = "; ".join(f"{one['label']} {one['agreement']:.4f}" for one in per_class)
    return _svg("Agreement by class", said, ticks + "".join(bars), "class")


def _class_table(rung: Document) -> str:
    rows = [
        [
            f'<th scope="row">{text(one["label"])}</th>',
            cell(text(one["samples"]), "n"),
            cell(_share(one["reference_accuracy"]), "n"),
            cell(_share(one["accuracy"]), "n"),
            cell(_share(one["agreement"]), "n"),
        ]
        for one in rung["figures"]["per_class"]
    ]
    titles = ("class", "samples", "accuracy of the source", "accuracy", "agreement")
    return table(f"By class: {rung['name']}", titles, rows, numbers=titles[1:]) if rows else ""


def _svg(title: str, said: str, inner: str, unit: str, legend: str = "") -> str:
    """A picture with a title, a frame and words for those who do not see it; the legend is HTML."""
    axis = f'<path class="edge" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - 8}"/>'
    return (
        f"<figure><figcaption><b>{text(title)}</b></figcaption>"
        f'<svg role="img" aria-label="{text(title)}: {text(said)}" width="{WIDTH}" height="{HEIGHT}"'
        f' viewBox="0 0 {WIDTH} {HEIGHT}">{axis}{inner}<text class="soft" x="{(WIDTH + LEFT) / 2:.0f}"'
        f' y="{HEIGHT - 4}" text-anchor="middle">{text(unit)}</text></svg>'
        f'<p class="soft">{legend}</p></figure>\n'
    )


def _tick_y(value: float, low: float, high: float) -> str:
    y = _y((value - low) / (high - low))
    return (
        f'<text class="soft" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3f}</text>'
        f'<path class="edge" d="M{LEFT - 3} {y:.1f}h3"/>'
    )


def _tick_x(value: float, right: float) -> str:
    x = _x(value / right)
    y = HEIGHT - BOTTOM + 16
    return f'<text class="soft" x="{x:.1f}" y="{y}" text-anchor="middle">{value:.3g}</text>'


def _x(share: float) -> float:
    return LEFT + (WIDTH - LEFT - 20) * share


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share


def _ceiling(value: float) -> float:
    """The next round number above: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(step * power) for step in (1, 2, 2.5, 5, 10) if step * power >= value)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A range of hundredths that holds the values with some air; a share never exceeds one."""
    low = math.floor(min(values) * 100 - 1) / 100
    high = min(1.0, math.ceil(max(values) * 100 + 1) / 100)
    return (max(0.0, low), high) if high > low else (max(0.0, high - 0.01), high)


def _taken(report: Document | None) -> Document | None:
    if not report:
        return None
    return next((r for r in report["rungs"] if r["state"] == "passed"), None)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
