"""The inference bench's result as goals and as a page."""

from typing import Any

MB = 1e6


def goals(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Every goal, what was measured, and whether it was met (None: nothing to compare with)."""
    rows = found["serving"]["contenders"]
    bare = rows["bare engine"]["p50"]
    own = rows["edgeform binary"]
    cold, swap = found["cold_start"], found["hot_swap"]
    made = [
        _goal(
            "pipeline throughput over a bare loop",
            ">= 0.97",
            found["throughput"]["ratio"],
            lambda v: v >= 0.97,
        ),
        _goal(
            "OIP above the bare engine at 4 KB, ms",
            "<= 0.15",
            round(own["p50"] - bare, 4),
            lambda v: v <= 0.15,
        ),
    ]
    for peer in ("MLServer", "KServe"):
        for form in ("binary", "json"):
            row, mine = rows.get(f"{peer} {form}", {}), rows[f"edgeform {form}"]
            if "p50" in row:
                made.append(
                    _goal(
                        f"OIP {form} p50 below {peer}, ms",
                        f"< {row['p50']}",
                        mine["p50"],
                        lambda v, row=row: v < row["p50"],
                    )
                )
            else:
                made.append(
                    {
                        "goal": f"OIP {form} p50 below {peer}, ms",
                        "wanted": "-",
                        "measured": mine["p50"],
                        "met": None,
                    }
                )
        memory = rows.get(f"{peer} binary", {}).get("memory")
        if memory:
            mine_bytes = own["memory"]["pss_bytes"]
            made.append(
                _goal(
                    f"memory (PSS) below {peer}, MB",
                    f"< {memory['pss_bytes'] / MB:.0f}",
                    round(mine_bytes / MB, 1),
                    lambda v, m=memory: v < m["pss_bytes"] / MB,
                )
            )
    extra_s = round(cold["edgeform_s"] - cold["bare_s"], 3)
    extra = round((cold["edgeform_rss_bytes"] - cold["bare_rss_bytes"]) / MB, 1)
    made += [
        _goal("cold start above the bare engine, s", "<= 0.3", extra_s, lambda v: v <= 0.3),
        _goal("RSS above engine and numpy, MB", "<= 30", extra, lambda v: v <= 30),
        _goal("failed requests in hot swaps under load", "0", swap["failed"], lambda v: v == 0),
    ]
    return made


def _goal(name: str, wanted: str, measured: float, is_met: Any) -> dict[str, Any]:
    return {"goal": name, "wanted": wanted, "measured": measured, "met": bool(is_met(measured))}


def markdown(found: dict[str, Any]) -> str:
    machine = found["machine"]
    peers = ", ".join(machine["peers"].values())
    lines = [
        "# bench-inference",
        "",
        (
            f"{found['date']}, `{found['command']}`: {machine['cpu']}, {machine['cores']} cores,"
            f" {machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}, Python"
            f" {machine['python']}, onnxruntime {machine['onnxruntime']}, numpy {machine['numpy']},"
            f" {peers}. Load before {machine['load_before']:.1f}, after {machine['load_after']:.1f}:"
            " what is far above the number of cores was measured beside other work."
        ),
        "",
        "| goal | wanted | measured | |",
        "|---|---|---|---|",
    ]
    words = {True: "met", False: "**missed**", None: "not comparable"}
    lines += [
        f"| {g['goal']} | {g['wanted']} | {g['measured']} | {words[g['met']]} |"
        for g in found["goals"]
    ]
    lines += [
        "",
        "| 4 KB request | p10 ms | p50 ms | p95 ms | RSS MB | PSS MB | |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in found["serving"]["contenders"].items():
        memory = row.get("memory", {})
        why = "; ".join(str(row[k]) for k in ("error", "binary_error", "json_error") if k in row)
        lines.append(
            f"| {name} | {row.get('p10', '-')} | {row.get('p50', '-')} | {row.get('p95', '-')}"
            f" | {_mb(memory.get('rss_bytes'))} | {_mb(memory.get('pss_bytes'))}"
            f" | {why[:120].replace('|', '/')} |"
        )
    through, cold, swap = found["throughput"], found["cold_start"], found["hot_swap"]
    lines += [
        "",
        (
            f"Pipeline {through['pipeline_fps']} and bare loop {through['bare_fps']} frames a second"
            f" ({through['frames']} JPEG frames of 640x480, a small CNN at 224x224, one thread)."
        ),
        (
            f"Cold start to the first answer {cold['edgeform_s']} s, the bare engine {cold['bare_s']} s;"
            f" RSS {_mb(cold['edgeform_rss_bytes'])} and {_mb(cold['bare_rss_bytes'])} MB."
        ),
        (
            f"Hot swap: {swap['swaps']} swaps under {swap['requests']} requests, {swap['failed']} failed;"
            f" the swap itself {swap['swap_p50_ms']} ms."
        ),
        "",
        "| preprocessing | p50 ms | p95 ms |",
        "|---|---|---|",
        *(f"| {s['step']} | {s['p50']} | {s['p95']} |" for s in found["preprocessing"]),
    ]
    if found["closures"]:
        lines += ["", "| closure | architecture | MB | |", "|---|---|---|---|"]
        lines += [
            f"| {c['engine']} | {c['arch']} | {_mb(c.get('size_bytes'))} | {c.get('why', '')} |"
            for c in found["closures"]
        ]
    return "\n".join(lines) + "\n"


def _mb(size: int | None) -> str:
    return "-" if size is None else f"{size / MB:.0f}"
