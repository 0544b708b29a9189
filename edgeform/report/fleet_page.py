"""A fleet as one static page: matrix, what needs somebody, timeline, latency, rollouts, receipts, topology.

Long lists are cut and say so; the matrix is whole, since a device that is not in it would be taken for well.
"""

from collections import Counter
from collections.abc import Iterator

from edgeform.domain.names import short
from edgeform.domain.quantities import show_count
from edgeform.report.fleet import DeviceRow, Fleet, Health, Latency, Moment, RunRow
from edgeform.report.page import badge, cell, page, table, text, tiles
from edgeform.report.sparkline import sparkline
from edgeform.report.topology import topology

MOST_MOMENTS = 300
MOST_LISTED = 500
MOST_LATENCIES = 200

_HEALTH = {
    Health.HEALTHY: "good",
    Health.UNHEALTHY: "bad",
    Health.NEEDS_HANDS: "bad",
    Health.BUSY: "warn",
    Health.NEW: "idle",
    Health.EMPTY: "idle",
    Health.UNREACHABLE: "warn",
    Health.UNSEEN: "idle",
}
_WORDS = {"clean": "good", "drift": "bad", "held": "bad", "pending": "warn", "unknown": "warn"}
_RESULTS = {"committed": "good", "rolled_back": "warn"}


FOOTER = "A file by itself, made by edgeform: it loads nothing and runs nothing."


def fleet_page(fleet: Fleet) -> str:
    """The page."""
    return page(
        title=title_of(fleet), subtitle=subtitle_of(fleet), parts=sections(fleet), footer=FOOTER
    )


def title_of(fleet: Fleet) -> str:
    return f"Fleet of {fleet.site}"


def subtitle_of(fleet: Fleet) -> str:
    looked = f"devices looked at {fleet.looked_at}" if fleet.looked_at else "no device was asked"
    return f"{show_count(len(fleet.rows), 'device')} · made {fleet.made_at} · {looked}"


def sections(fleet: Fleet) -> tuple[tuple[str, str, str], ...]:
    """(anchor, heading, HTML) of each section, in order; none of them says when it was made."""
    return (
        ("summary", "Summary", _summary(fleet)),
        ("attention", "Needs somebody", _attention(fleet)),
        ("matrix", "Devices", _matrix(fleet)),
        ("rollout", "Rollouts", _rollouts(fleet.runs)),
        ("timeline", "Generations", _timeline(fleet.moments)),
        ("latency", "Latency against budget", _latency(fleet)),
        ("receipts", "Receipts", _receipts(fleet)),
        ("topology", "Topology", topology(fleet.lanes)),
    )


def _summary(fleet: Fleet) -> str:
    health = Counter(row.health for row in fleet.rows)
    words = Counter(word for row in fleet.rows for word in row.words)
    counts = [(str(h), health[h], _HEALTH[h]) for h in Health if health[h]]
    counts += [(w, words[w], tone) for w, tone in _WORDS.items() if words[w] and w != "clean"]
    models = Counter((m, row.hardware_class) for row in fleet.rows for m in row.models)
    classes = sorted({row.hardware_class for row in fleet.rows})[:12]
    rows = (
        [
            f'<th scope="row">{text(model)}</th>',
            *(cell(str(models[model, c] or "-"), "n") for c in classes),
        ]
        for model in sorted({m for m, _ in models})[:60]
    )
    return tiles(counts) + table(
        "Devices by model and class", ("model", *classes), rows, numbers=classes
    )


def _is_matter(row: DeviceRow) -> bool:
    loud = {"drift", "held", "unknown"} & set(row.words)
    ill = row.health in (Health.UNHEALTHY, Health.NEEDS_HANDS, Health.UNREACHABLE)
    return bool(loud or ill or row.chain)


def _attention(fleet: Fleet) -> str:
    urgent = {Health.NEEDS_HANDS: 0, Health.UNHEALTHY: 1, Health.UNREACHABLE: 3}
    rows = sorted(filter(_is_matter, fleet.rows), key=lambda r: (urgent.get(r.health, 2), r.device))
    if not rows:
        said = "Nothing was found." if fleet.looked_at else "Nothing is known; no device was asked."
        return f"<p>{said}</p>\n"
    lines = (
        [
            f'<th scope="row">{text(row.device)}</th>',
            cell(badge(row.health, _HEALTH[row.health])),
            cell(" ".join(_badges(row))),
            cell(text("; ".join((*row.notes, *((row.chain,) if row.chain else ())))[:400]), "say"),
        ]
        for row in rows[:MOST_LISTED]
    )
    shown = table(
        "Drifted, held, unknown and unhealthy devices", ("device", "health", "drift", "why"), lines
    )
    return shown + _cut(len(rows), MOST_LISTED)


def _badges(row: DeviceRow) -> Iterator[str]:
    """The words of the drift check, and that a chain of receipts does not hold."""
    yield from (badge(word, _WORDS.get(word, "idle")) for word in row.words)
    if row.chain:
        yield badge("chain broken", "bad")


def _matrix(fleet: Fleet) -> str:
    return table(
        "Every device",
        ("device", "class", "models", "generation", "digest", "health", "drift", "last receipt"),
        (tuple(_matrix_row(row)) for row in fleet.rows),
        numbers=("generation",),
    )


def _matrix_row(row: DeviceRow) -> Iterator[str]:
    yield f'<th scope="row">{text(row.device)}</th>'
    yield cell(text(row.hardware_class))
    yield cell(text(", ".join(row.models)))
    yield cell(str(row.generation or "-"), "n")
    yield cell(text(short(row.digest)))
    yield cell(badge(row.health, _HEALTH[row.health]))
    yield cell(" ".join(_badges(row)) or "-")
    yield cell(text(f"{row.last_result} {row.last_time}".strip()) or "-")


def _rollouts(runs: tuple[RunRow, ...]) -> str:
    if not runs:
        return "<p>Nothing was applied from this machine.</p>\n"
    rows = (
        [
            f'<th scope="row">{run.number}</th>',
            cell(text(run.who)),
            cell(text(run.started)),
            cell(text(run.finished) or badge("going on, or ended by force", "warn")),
            cell("-" if run.exit_code is None else str(run.exit_code), "n"),
            cell(text(", ".join(f"{count} {state}" for state, count in run.counts))),
        ]
        for run in runs
    )
    titles = ("run", "who", "started", "finished", "exit", "devices")
    return table("Applies from this machine, newest first", titles, rows, numbers=("exit",))


def _timeline(moments: tuple[Moment, ...]) -> str:
    if not moments:
        return "<p>No receipt is archived here yet.</p>\n"
    rows = (
        [
            cell(text(m.time)),
            cell(text(m.device)),
            cell(badge(m.result, _RESULTS.get(m.result, "bad"))),
            cell(f"{m.from_generation} → {m.to_generation}"),
            cell(text(short(m.digest))),
            cell(text(m.road)),
            cell(
                "-" if m.commit is None else f"{text(m.commit.digest[:10])} {text(m.commit.author)}"
            ),
            cell(text((m.reason or (m.commit.subject if m.commit else ""))[:160]), "say"),
        ]
        for m in moments[:MOST_MOMENTS]
    )
    titles = ("when", "device", "result", "generation", "digest", "road", "site was at", "what")
    caption = "What devices reported, newest first; the site's last commit before it, by the clocks of both"
    return table(caption, titles, rows) + _cut(len(moments), MOST_MOMENTS)


def _latency(fleet: Fleet) -> str:
    found = [(row, latency) for row in fleet.rows for latency in row.latencies]
    if not found:
        return "<p>No receipt holds a measured latency yet.</p>\n"

    def tightness(entry: tuple[DeviceRow, Latency]) -> float:
        latency = entry[1]
        return -(latency.p50_ms[-1] / latency.budget_ms) if latency.budget_ms else 0.0

    found.sort(key=tightness)
    rows = (
        [
            f'<th scope="row">{text(row.device)}</th>',
            cell(text(latency.pipeline)),
            cell(f"{latency.p50_ms[-1]:.1f}", "n"),
            cell("-" if latency.budget_ms is None else f"{latency.budget_ms:g}", "n"),
            cell(sparkline(latency.p50_ms, latency.budget_ms)),
            cell(str(len(latency.p50_ms)), "n"),
        ]
        for row, latency in found[:MOST_LATENCIES]
    )
    titles = ("device", "pipeline", "last p50, ms", "budget, ms", "at each commit", "commits")
    numbers = (titles[2], titles[3], titles[5])
    shown = table("Tightest first; the dashed line is the budget", titles, rows, numbers=numbers)
    return shown + _cut(len(found), MOST_LATENCIES)


def _receipts(fleet: Fleet) -> str:
    with_some = [row for row in fleet.rows if row.receipts]
    broken = [row for row in with_some if row.chain]
    signed = sum(row.is_signed for row in with_some)
    counts = (
        ("receipts", sum(row.receipts for row in with_some), "idle"),
        ("unbroken chains", len(with_some) - len(broken), "good"),
        ("broken chains", len(broken), "bad" if broken else "idle"),
        ("signed by a known key", signed, "good" if signed else "idle"),
        ("devices without any", len(fleet.rows) - len(with_some), "idle"),
    )
    if not broken:
        return tiles(counts)
    rows = (
        [
            f'<th scope="row">{text(row.device)}</th>',
            cell(str(row.receipts), "n"),
            cell(text(row.chain), "say"),
        ]
        for row in broken[:MOST_LISTED]
    )
    titles = ("device", "receipts", "what is wrong")
    shown = table("Chains that do not hold", titles, rows, numbers=("receipts",))
    return tiles(counts) + shown + _cut(len(broken), MOST_LISTED)


def _cut(count: int, most: int) -> str:
    return f"<p>{count - most} more are not shown here.</p>\n" if count > most else ""
