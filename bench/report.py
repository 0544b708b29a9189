"""How large and how quick the page of a large fleet is: `python bench/report.py [DEVICES]`.

First the page alone (drawing), then the verbs on a site of that size with three receipts for each device:
`edgeform report --offline`, and `edgeform serve --offline` from its start to the first page.
"""

import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import spec
from support.fleet import a_fleet
from support.written import a_receipt, an_unsigned_chain

from edgeform.report.fleet_page import fleet_page
from edgeform.rollout.journal import Journal
from edgeform.spec.load import load

GOAL_BYTES, GOAL_S = 5_000_000, 2.0
EDGEFORM = str(Path(sys.executable).with_name("edgeform"))


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
    with tempfile.TemporaryDirectory() as name:
        site = Path(name) / "site"
        site.mkdir()
        made = spec.write_site(site, devices)
        write_journal(site)
        verb = report(site, Path(name) / "fleet.html")
        size = max(size, (Path(name) / "fleet.html").stat().st_size)
        print(
            f"edgeform report --offline: {verb:.1f} s ({made} bytes of site, {3 * devices} receipts)"
        )
        print(
            "edgeform serve --offline, start to first page: {:.1f} s, page again: {:.2f} s".format(
                *serve(site)
            )
        )
    is_met = devices != 10_000 or (size < GOAL_BYTES and best < GOAL_S)
    print(
        "goal for 10,000 devices: a page under 5 MB, drawn in 2 s:", "met" if is_met else "MISSED"
    )
    return 0 if is_met else 1


def write_journal(site: Path) -> None:
    loaded = load(site).checked()
    with Journal(site / ".edgeform" / "journal.db") as journal:
        journal._db.execute("BEGIN")  # noqa: SLF001 - one transaction, or making it would take minutes
        for device in loaded.devices:
            chain = an_unsigned_chain(*(a_receipt(f"t{n}", device=device.name) for n in range(3)))
            journal.keep_receipts(loaded.name, device.name, chain, now="2026-11-28T00:00:00Z")
        journal._db.execute("COMMIT")  # noqa: SLF001 - see BEGIN


def report(site: Path, to: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        (EDGEFORM, "report", str(site), "--offline", "--out", str(to)),
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def serve(site: Path) -> tuple[float, float]:
    """Seconds to the first page, and for the page once it is there."""
    began = time.perf_counter()
    command = (EDGEFORM, "serve", str(site), "--offline", "--port", "0")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            address = (server.stdout.readline() if server.stdout else "").strip()
            if not re.fullmatch(r"http://127\.0\.0\.1:\d+/", address):
                raise SystemExit(f"it did not start: {address!r}")
            fetch(address)
            first = time.perf_counter() - began
            began = time.perf_counter()
            fetch(address)
            return first, time.perf_counter() - began
        finally:
            server.terminate()


def fetch(address: str) -> None:
    asked = urllib.request.Request(address, headers={"Accept-Encoding": "gzip"})  # noqa: S310 - loopback
    with urllib.request.urlopen(asked) as answer:  # noqa: S310 - loopback
        answer.read()


if __name__ == "__main__":
    sys.exit(main())
