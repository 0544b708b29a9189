"""The tables of a fleet bench, as Markdown: `python bench/fleet_report.py bench/results/fleet.json`."""

import json
import sys
from pathlib import Path

GOALS = {
    "plan": (("limit", 1.3, "at most"), ("Ansible default", 20, "faster"),
             ("Ansible pipelining", 20, "faster"), ("Ansible mitogen", 5, "faster"),
             ("pyinfra", 3, "faster")),
    "update": (("Ansible default", 10, "faster"), ("Ansible pipelining", 10, "faster"),
               ("Ansible mitogen", 10, "faster")),
}  # fmt: skip
GOAL_MS = 50


def markdown(found: dict) -> str:
    lines = []
    for work in dict.fromkeys(row["work"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["work"] == work]
        for count in sorted({row["devices"] for row in rows}):
            some = [row for row in rows if row["devices"] == count]
            lines += [*_table(work, count, some), ""]
        lines += [*_goals(work, rows), ""]
    if found["dropped"]:
        lines.append(f"Dropped for lack of time: {len(found['dropped'])} repeats:")
        lines += [f"- {what}" for what in found["dropped"]]
    return "\n".join(lines)


def _table(work: str, count: int, rows: list[dict]) -> list[str]:
    links = sorted({row["round_trip_ms"] for row in rows})
    head = f"{work}, {count} device{'s' if count > 1 else ''}"
    lines = [f"| {head} | " + " | ".join(f"{ms} ms" for ms in links) + " |"]
    lines.append("|---" * (len(links) + 1) + "|")
    for name in dict.fromkeys(row["contender"] for row in rows):
        mine = {row["round_trip_ms"]: row for row in rows if row["contender"] == name}
        lines.append(f"| {name} | " + " | ".join(_cell(mine.get(ms)) for ms in links) + " |")
    return lines


def _cell(row: dict | None) -> str:
    if row is None:
        return "not run"
    span = f" ({row['wall_min_s']:.1f} to {row['wall_max_s']:.1f})" if row["runs"] > 1 else ""
    failed = f" **{row['failed']} of {row['runs']} failed**" if row["failed"] else ""
    return f"{row['wall_s']:.1f}{span}, CPU {row['own_cpu_s']:.1f} of {row['cpu_s']:.1f}{failed}"


def _goals(work: str, rows: list[dict]) -> list[str]:
    """How far the goals are met, at the link they are set for."""
    lines = []
    for count in sorted({row["devices"] for row in rows}):
        here = {
            r["contender"]: r["wall_s"]
            for r in rows
            if (r["devices"], r["round_trip_ms"]) == (count, GOAL_MS)
        }
        ours = next((s for name, s in here.items() if name.startswith("edgeform")), None)
        for prefix, factor, sense in GOALS[work]:
            other = next((s for name, s in here.items() if name.startswith(prefix)), None)
            if ours is None or other is None:
                continue
            ratio = ours / other if sense == "at most" else other / ours
            met = ratio <= factor if sense == "at most" else ratio >= factor
            wanted = f"at most {factor} x" if sense == "at most" else f"{factor} x faster"
            lines.append(
                f"| {work} | {count} | {prefix} | {wanted} | {ratio:.2f} x | {'yes' if met else 'no'} |"
            )
    head = f"| goal at {GOAL_MS} ms | devices | against | wanted | measured | met |"
    return [head, "|---" * 6 + "|", *lines] if lines else []


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())))
