"""The long tests, run by hand: `make soak`, or `python bench/soak.py --minutes 60 --out FILE`.

Repeats the property, fault and crash tests with other seeds, deeper than `make test` does, until the time is
over, and writes what ran, how often, how many power cuts it tried, and every failure with the seed that shows
it again. The result is committed.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROUNDS = (
    ("crash model", ("tests/fault/test_crash_model.py",)),
    ("power cuts on a recorded disk", ("tests/fault/test_crash_disk.py",)),
    (
        "kills and full disks",
        (
            "tests/fault/test_kill_steps.py",
            "tests/fault/test_failing_disk.py",
            "tests/fault/test_real_transaction.py",
        ),
    ),
    ("hostile metadata", ("tests/unit/device_trust", "tests/unit/bundle")),
    ("malformed HTTP requests", ("tests/fault/test_fuzz_http.py",)),
    ("properties", ("tests/property", "tests/unit/spec", "tests/unit/wire")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One group of tests with one seed; `outcome` is passed, failed, or cut (the time was over)."""

    name: str
    seed: int
    seconds: float
    outcome: str
    tests: int
    failed: tuple[str, ...]
    power_cuts: int


def run(name: str, paths: tuple[str, ...], *, seed: int, depth: int, left_s: float) -> Round:
    """Run one group once; what does not end in time is ended and called cut, never passed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = (
            str(Path(sys.executable).with_name("pytest")),
            *paths,
            "-q",
            "--no-header",
            "--timeout=3600",  # deeper takes longer, and a slow test is not a failed one
            f"--junitxml={report}",
            "-o",
            "junit_family=xunit1",
            f"--hypothesis-seed={seed}",
            "-p",
            "no:cacheprovider",
        )
        environment = os.environ | {
            "EDGEFORM_SOAK_SEED": str(seed),
            "EDGEFORM_SOAK_DEPTH": str(depth),
            "EDGEFORM_FUZZ_S": "600",
        }
        began = time.monotonic()
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                timeout=max(60.0, left_s),
                check=False,
            )
            outcome = "failed" if done.returncode else "passed"
        except subprocess.TimeoutExpired:
            outcome = "cut"
        tests, failed, cuts = _counted(report)
    return Round(
        name=name,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
        outcome=outcome,
        tests=tests,
        failed=failed,
        power_cuts=cuts,
    )


def _counted(report: Path) -> tuple[int, tuple[str, ...], int]:
    """Tests that ran, names of those that failed, and the power cuts they say they tried."""
    if not report.exists():
        return 0, (), 0
    cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it a moment ago
    ran = [c for c in cases if c.find("skipped") is None]
    failed = tuple(
        f"{c.get('classname')}.{c.get('name')}: {said.get('message', '')[:300]}"
        for c in ran
        for said in (*c.findall("failure"), *c.findall("error"))
    )
    properties = (p for c in ran for p in c.iter("property"))
    cuts = sum(int(p.get("value", "0")) for p in properties if p.get("name") == "power_cuts")
    return len(ran), failed, cuts


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=240.0)
    arguments.add_argument("--seed", type=int, default=random.randrange(2**31))
    arguments.add_argument("--depth", type=int, default=10, help="times the examples of make test")
    arguments.add_argument("--out", type=Path, required=True)
    chosen = arguments.parse_args()
    seeds = random.Random(chosen.seed)
    until = time.monotonic() + 60 * chosen.minutes
    rounds: list[Round] = []
    while time.monotonic() < until:
        for name, paths in ROUNDS:
            left_s = until - time.monotonic()
            if left_s <= 0:
                break
            seed = seeds.randrange(2**31)
            print(f"{name}: seed {seed} ...", flush=True)
            done = run(name, paths, seed=seed, depth=chosen.depth, left_s=left_s)
            rounds.append(done)
            print(
                f"{name}: {done.outcome}, {done.tests} tests, {done.power_cuts} power cuts,"
                f" {done.seconds} s {' '.join(done.failed)}",
                flush=True,
            )
            chosen.out.write_text(json.dumps(_result(chosen, rounds), indent=2) + "\n")
    return 1 if any(r.outcome == "failed" for r in rounds) else 0


def _result(chosen: argparse.Namespace, rounds: list[Round]) -> dict[str, object]:
    return {
        "command": (
            f"python bench/soak.py --minutes {chosen.minutes:g} --seed {chosen.seed}"
            f" --depth {chosen.depth}"
        ),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "power_cuts": sum(r.power_cuts for r in rounds),
        "tests": sum(r.tests for r in rounds),
        "failed": sorted({f for r in rounds for f in r.failed}),
        "rounds": [asdict(r) for r in rounds],
    }


if __name__ == "__main__":
    sys.exit(main())
