"""How long planning takes as a site grows: `python bench/plan.py [--json FILE]`.

Planning proper, in memory, without reading a site: resolve, compare with virgin devices, group and
render, write and read the plan file. Limit to compare with: `bench-spec` allows 3 s for 10,000 devices
from the YAML on.
"""

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.plan import (
    NOW,
    a_class,
    a_context,
    a_device,
    a_lock,
    a_pipeline,
    a_site,
    a_tool,
    a_virgin,
)

from edgeform.plan import decode, encode, make_plan, render, resolve

T = TypeVar("T")
SIZES = (1_000, 10_000, 100_000)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began


def measured(devices: int) -> dict[str, float]:
    """Seconds of each part, for a site of this many devices of one class."""
    hardware, pipelines = a_class(), (a_pipeline(),)
    site = a_site(
        *(a_device(f"cam-{n:06}", hardware=hardware, pipelines=pipelines) for n in range(devices))
    )
    lock, tool = a_lock(), a_tool()
    seen = [a_virgin(device.name) for device in site.devices]
    resolution, resolve_s = timed(lambda: resolve(site, lock, tool))
    context = a_context(site, tool)
    plan, diff_s = timed(
        lambda: make_plan(
            site, lock, resolution, seen, context=context, created_at=NOW, made_by="bench"
        )
    )
    _, render_s = timed(lambda: render(plan))
    document, encode_s = timed(lambda: encode(plan))
    _, decode_s = timed(lambda: decode(document))
    return {
        "devices": devices,
        "resolve_s": round(resolve_s, 3),
        "diff_s": round(diff_s, 3),
        "render_s": round(render_s, 3),
        "encode_s": round(encode_s, 3),
        "decode_s": round(decode_s, 3),
        "file_bytes": len(document),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="write the figures here, too")
    options.add_argument("--at-most", type=int, default=SIZES[-1], help="leave larger sites out")
    asked = options.parse_args()
    rows = [measured(size) for size in SIZES if size <= asked.at_most]
    print("  ".join(f"{name:>14}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value:>14}" for value in row.values()))
    if asked.json is not None:
        about = {"python": platform.python_version(), "machine": platform.machine()}
        asked.json.write_text(json.dumps(about | {"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
