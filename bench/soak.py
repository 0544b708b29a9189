"""The long tests, run by hand: `make soak`, or `python bench/soak.py --minutes 60 --out FILE`.

Repeats the property, fault and crash tests with other seeds and more examples until the time is over, and
writes what ran, how often, and every failure with the seed that shows it again. The result is committed.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROUNDS = (
    ("properties", ("tests/property", "tests/unit/spec", "tests/unit/wire")),
    ("crash model", ("tests/fault/test_crash_model.py",)),
    ("power cuts on a block device", ("tests/fault/test_crash_disk.py",)),
    (
        "kills and full disks",
        ("tests/fault/test_kill_steps.py", "tests/fault/test_real_transaction.py"),
    ),
    ("hostile metadata", ("tests/unit/device_trust",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    name: str
    seed: int
    seconds: float
    exit_code: int
    summary: str


def run(name: str, paths: tuple[str, ...], seed: int, left_s: float) -> Round:
    """One group of tests with one seed."""
    command = (
        str(Path(sys.executable).with_name("pytest")),
        *paths,
        "-q",
        "--no-header",
        f"--hypothesis-seed={seed}",
        "-p",
        "no:cacheprovider",
    )
    environment = os.environ | {"EDGEFORM_SOAK_SEED": str(seed)}
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=max(60.0, left_s),
            check=False,
        )
        lines = done.stdout.strip().splitlines()
        summary, code = (lines[-1] if lines else ""), done.returncode
    except subprocess.TimeoutExpired:
        summary, code = "stopped: the time was over", 0
    return Round(
        name=name,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
        exit_code=code,
        summary=summary,
    )


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=240.0)
    arguments.add_argument("--seed", type=int, default=random.randrange(2**31))
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
            done = run(name, paths, seeds.randrange(2**31), left_s)
            rounds.append(done)
            print(f"{name}: seed {done.seed}, {done.seconds} s: {done.summary}", flush=True)
            chosen.out.write_text(json.dumps(_result(chosen, rounds), indent=2) + "\n")
    return 1 if any(r.exit_code for r in rounds) else 0


def _result(chosen: argparse.Namespace, rounds: list[Round]) -> dict[str, object]:
    return {
        "command": f"python bench/soak.py --minutes {chosen.minutes:g} --seed {chosen.seed}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "rounds": [
            {
                "name": r.name,
                "seed": r.seed,
                "seconds": r.seconds,
                "exit_code": r.exit_code,
                "summary": r.summary,
            }
            for r in rounds
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
