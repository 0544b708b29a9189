"""The result of bench/power.py in words: rates by kind of fault, with what chance alone allows."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

CAUGHT_GOAL, ALARM_GOAL = 0.99, 0.001


def bounds(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; (0, 1) where nothing was tried."""
    if not of:
        return 0.0, 1.0
    share, spread = hits / of, z * z / of
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def summary(wrong: Sequence[Any], good: Sequence[Any]) -> str:
    bad = [w for w in wrong if w.is_bad]
    caught = sum(bool(w.turned_down) for w in bad)
    runs, alarms = sum(g.runs for g in good), sum(len(g.alarms) for g in good)
    lines = [
        f"bad models caught: {caught} of {len(bad)}; false alarms: {alarms} of {runs} good runs",
    ]
    lines += [
        f"  missed: {w.network} {w.precision}, {w.fault} ({w.what}), lost {w.lost:.1%}, seed {w.seed}"
        + (", own goldens" if w.own_goldens else "")
        for w in bad
        if not w.turned_down
    ]
    lines += [f"  alarm: {g.network} {g.precision}: {a}" for g in good for a in g.alarms]
    return "\n".join(lines)


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of docs/benchmarks.md."""
    bad = [w for w in result["wrong"] if w["is_bad"]]
    harmless = [w for w in result["wrong"] if not w["is_bad"]]
    caught = sum(bool(w["turned_down"]) for w in bad)
    runs = sum(g["runs"] for g in result["good"])
    alarms = sum(len(g["alarms"]) for g in result["good"])
    low, _ = bounds(caught, len(bad))
    lines = [
        "# Power of the checks",
        "",
        (
            f"`{result['command']}`, {result['date']}, {result['machine']},"
            f" ONNX Runtime {result['onnxruntime']},"
            f" {result['seconds']} s, seed {result['seed']}."
        ),
        "",
        (
            f"- **{caught} of {len(bad)} bad models caught**, {caught / max(1, len(bad)):.2%}"
            f" (95 % interval from {low:.2%}); goal {CAUGHT_GOAL:.0%}."
        ),
        _false_alarms(alarms, runs),
        (
            f"- {len(harmless)} faults lost less than 2 points and do not count;"
            f" {sum(bool(w['turned_down']) for w in harmless)} of them were turned down all the same."
        ),
        "",
        *_table("fault", bad, lambda w: w["fault"]),
        "",
        *_table("network, precision", bad, lambda w: f"{w['network']} {w['precision']}"),
        "",
        *_table(
            "goldens",
            bad,
            lambda w: "its publisher's own" if w["own_goldens"] else "the good file's",
        ),
    ]
    if runs:
        header = ["", "| good runs | runs | inconclusive | alarms |", "|---|---|---|---|"]
        lines += [*header, *_good(result["good"])]
    missed = [w for w in bad if not w["turned_down"]]
    if missed:
        lines += ["", "Missed:", ""]
        lines += [
            f"- {w['network']} {w['precision']}: {w['fault']} ({w['what']}),"
            f" lost {w['lost']:.1%}, seed {w['seed']}"
            + (", with its publisher's own goldens" if w["own_goldens"] else "")
            for w in missed
        ]
    return "\n".join(lines) + "\n"


def _false_alarms(alarms: int, runs: int) -> str:
    if not runs:
        return "- False alarms were not measured in this run: it made no good runs."
    _, high = bounds(alarms, runs)
    return (
        f"- **{alarms} false alarms in {runs} good runs**, {alarms / runs:.3%}"
        f" (95 % interval to {high:.3%}); goal {ALARM_GOAL:.1%}."
    )


def _table(
    title: str, bad: Iterable[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], str]
) -> list[str]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for w in bad:
        groups[key(w)].append(bool(w["turned_down"]))
    rows = [
        f"| {name} | {len(found)} | {sum(found)} | {sum(found) / len(found):.1%} |"
        for name, found in sorted(groups.items())
    ]
    return [f"| {title} | bad | caught | share |", "|---|---|---|---|", *rows]


def _good(good: Iterable[Mapping[str, Any]]) -> list[str]:
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for g in good:
        state = "busy" if g["is_busy"] else "quiet"
        many = "1 thread" if g["threads"] == 1 else f"{g['threads']} threads"
        groups[f"{state}, {many}"].append(g)
    return [
        f"| {name} | {sum(g['runs'] for g in found)} | {sum(g['inconclusive'] for g in found)}"
        f" | {sum(len(g['alarms']) for g in found)} |"
        for name, found in groups.items()
    ]
