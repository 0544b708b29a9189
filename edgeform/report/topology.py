"""How a site is wired, as SVG: what devices see, the devices, what they act on; alike ones drawn once."""

from collections.abc import Iterable

from edgeform.plan.groups import devices_named
from edgeform.report.fleet import Lane
from edgeform.report.page import text

MOST_LANES = 40
WIDTH, BOX, GAP, LINE = 960, 250, 105, 16
TEXT_MAX = 36


def topology(lanes: tuple[Lane, ...]) -> str:
    """The drawing with its description; lanes with most devices first."""
    shown = sorted(lanes, key=lambda lane: (-len(lane.devices), lane.devices))[:MOST_LANES]
    if not shown:
        return "<p>The site has no device yet.</p>\n"
    parts, top = [], 24
    for lane in shown:
        drawn, height = _lane(lane, top)
        parts.append(drawn)
        top += height + 16
    heads = "".join(
        f'<text class="soft" x="{x}" y="14">{title}</text>'
        for x, title in zip(_columns(), ("sees", "device", "acts on"), strict=True)
    )
    left = len(lanes) - len(shown)
    more = f"<p>{left} more kinds of wiring are not drawn.</p>\n" if left > 0 else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="How devices are wired">'
        f'<svg role="img" aria-labelledby="topology-title" viewBox="0 0 {WIDTH} {top}"'
        f' width="{WIDTH}" height="{top}">'
        f'<title id="topology-title">{text(_described(shown))}</title>{heads}{"".join(parts)}'
        f"</svg></div>\n{more}"
    )


def _lane(lane: Lane, top: int) -> tuple[str, int]:
    count = len(lane.devices)
    named = devices_named(lane.devices)
    middle = (f"{count} of {lane.hardware_class}", named, *lane.pipelines)
    columns = (lane.sources or ("nothing",), middle, lane.sinks or ("nothing",))
    height = 18 + LINE * max(min(len(c), 6) for c in columns)
    lefts = _columns()
    boxes = "".join(_box(x, top, height, c) for x, c in zip(lefts, columns, strict=True))
    y = top + height // 2
    edges = "".join(
        f'<path class="edge" d="M{x + BOX} {y}h{GAP - 8}m-6 -5l6 5l-6 5"/>' for x in lefts[:2]
    )
    return boxes + edges, height


def _columns() -> tuple[int, int, int]:
    return (0, BOX + GAP, 2 * (BOX + GAP))


def _box(x: int, top: int, height: int, lines: Iterable[str]) -> str:
    lines = tuple(lines)
    if len(lines) > 6:
        lines = (*lines[:5], f"and {len(lines) - 5} more")
    words = "".join(
        f'<text x="{x + 10}" y="{top + 18 + n * LINE}">{text(_short(line))}</text>'
        for n, line in enumerate(lines)
    )
    return f'<rect class="box" x="{x + 1}" y="{top}" width="{BOX - 2}" height="{height}" rx="6"/>{words}'


def _short(line: str) -> str:
    return line if len(line) <= TEXT_MAX else line[: TEXT_MAX - 1] + "…"


def _described(lanes: Iterable[Lane]) -> str:
    return "; ".join(
        f"{len(lane.devices)} of class {lane.hardware_class} see {', '.join(lane.sources) or 'nothing'}"
        f" and act on {', '.join(lane.sinks) or 'nothing'}"
        for lane in lanes
    )[:2000]
