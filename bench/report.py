"""How large and how quick the page of a large fleet is: `python bench/report.py [DEVICES]`."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.fleet import a_fleet

from edgeform.report.fleet_page import fleet_page

GOAL_BYTES, GOAL_S = 5_000_000, 2.0


def main() -> int:
    devices = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    fleet = a_fleet(devices)
    seconds, text = [], ""
    for _ in range(5):
        began = time.perf_counter()
        text = fleet_page(fleet)
        seconds.append(time.perf_counter() - began)
    size, best = len(text.encode()), min(seconds)
    print(
        f"{devices} devices: {size / 1e6:.2f} MB, best of 5 {best:.2f} s, worst {max(seconds):.2f} s"
    )
    is_met = devices != 10_000 or (size < GOAL_BYTES and best < GOAL_S)
    print("goal for 10,000 devices: under 5 MB and 2 s:", "met" if is_met else "MISSED")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
