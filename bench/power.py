"""How many wrong models the checks catch, and how many right ones they turn down.

    python bench/power.py --out bench/results/power.json

Wrong files are made by drawn faults and judged on the real runtime by the device tool's own code. Whether
a file counts as *bad* is decided without any check: its accuracy on held-out inputs falls by 2 points or
more, or its label file names a class wrongly. Faults without such an effect are listed and do not count.
Good variants are checked again and again, half of the runs while other processes fight for cores and
memory, with several thread counts. The limits of the checks were fixed before the scored seed was first
used; the result carries them.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from power_faults import FAULTS, NoPlace
from power_judge import contention, serving
from power_networks import BAD_POINTS, NETWORKS, PRECISIONS_OF, Network, variant
from power_report import markdown, summary

from edgeform_device.goldens import LOOSE, TIGHT
from edgeform_device.subject import FAIL

SCORED_SEED = 20_261_128
LABEL_FILE = "label file"
THREADS = (1, 2, 4)
SLOPE_EVERY = 25
"""The memory slope takes hundreds of inferences, so it is asked in one run of so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One wrong file and what became of it.

    Attributes:
        lost: accuracy that it lost, 0 to 1. turned_down: the first reason of the checks, "" if accepted.
        own_goldens: whether its publisher recorded the variant's goldens from it.
    """

    network: str
    precision: str
    fault: str
    what: str
    seed: int
    own_goldens: bool
    lost: float
    turned_down: str

    @property
    def is_bad(self) -> bool:
        return self.lost >= BAD_POINTS or self.fault == LABEL_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """Runs of all checks on a good variant under one condition; an alarm is a failed check's sentence."""

    network: str
    precision: str
    threads: int
    is_busy: bool
    runs: int
    inconclusive: int
    alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one process does: all of one network in one precision."""

    network: str
    precision: str
    wrong: int
    good: int
    seed: int


def measured(work: Work) -> tuple[list[Wrong], list[Good]]:
    network = NETWORKS[work.network]()
    folder = Path(tempfile.mkdtemp(prefix="edgeform-power-"))
    try:
        right = variant(network, work.precision, folder / "right")
        prefix = folder / "wrong"
        with serving(right, network.stages, prefix, 1) as served:
            files = wrong_files(network, work, right, folder / "file")
            wrong = [judged(served, *made) for made in files]
        good = list(good_runs(network, work, right, folder)) if work.good else []
        return wrong, good
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judged(served: object, found: Wrong, directory: Path) -> Wrong:
    reason = served.turned_down(directory, own_goldens=found.own_goldens)
    return Wrong(**(asdict(found) | {"turned_down": reason[:200]}))


def wrong_files(
    network: Network, work: Work, right: Path, out: Path
) -> Iterator[tuple[Wrong, Path]]:
    """Wrong files, each in `out` until the next is asked for, until so many of them are bad."""
    full = network.accuracy(right / "model.onnx")
    kinds = (*FAULTS, *((LABEL_FILE,) if (right / "labels.txt").is_file() else ()))
    bad = 0
    for number in range(20 * work.wrong):
        if bad >= work.wrong:
            return
        seed = work.seed + number
        rng = np.random.default_rng([seed, *work.network.encode(), *work.precision.encode()])
        fault = kinds[number % len(kinds)]
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(right, out)
        try:
            what = broken(out, fault, rng)
        except NoPlace:
            continue
        found = Wrong(
            network=work.network,
            precision=work.precision,
            fault=fault,
            what=what,
            seed=seed,
            own_goldens=bool(rng.integers(2)) and fault != LABEL_FILE,
            lost=0.0 if fault == LABEL_FILE else full - network.accuracy(out / "model.onnx"),
            turned_down="",
        )
        bad += found.is_bad
        yield found, out


def broken(directory: Path, fault: str, rng: np.random.Generator) -> str:
    """Break the model directory; says how."""
    if fault == LABEL_FILE:
        labels = (directory / "labels.txt").read_text().splitlines()
        first, second = rng.choice(len(labels), 2, replace=False)
        labels[first], labels[second] = labels[second], labels[first]
        (directory / "labels.txt").write_text("\n".join(labels) + "\n")
        return f"names {first} and {second} swapped"
    model = onnx.load(directory / "model.onnx")
    what = FAULTS[fault](model, rng)
    onnx.save(model, directory / "model.onnx")
    return what


def good_runs(network: Network, work: Work, right: Path, folder: Path) -> Iterator[Good]:
    conditions = [(threads, busy) for busy in (False, True) for threads in THREADS]
    for number, (threads, is_busy) in enumerate(conditions):
        runs = work.good * (number + 1) // len(conditions) - work.good * number // len(conditions)
        with serving(right, network.stages, folder / f"good-{number}", threads) as served:
            first = {r.name: r.measured for r in served.checked({"p50_ms": 1e9, "rss_bytes": 1e12})}
            wanted = {
                "provider": "CPUExecutionProvider",
                "p50_ms": 2 * first["latency"]["wall_p50_ms"],
                "rss_bytes": int(1.5 * first["memory"]["rss_bytes"]),
            }
            alarms, inconclusive = [], 0
            with contention(is_busy=is_busy):
                for run in range(runs):
                    slope = {} if run % SLOPE_EVERY else {"rss_slope_bytes": 16 * 2**20}
                    results = served.checked(wanted | slope)
                    alarms += [f"{r.name}: {r.detail}"[:200] for r in results if r.verdict == FAIL][
                        :1
                    ]
                    inconclusive += any(r.verdict == "inconclusive" for r in results)
        yield Good(
            network=work.network,
            precision=work.precision,
            threads=threads,
            is_busy=is_busy,
            runs=runs,
            inconclusive=inconclusive,
            alarms=tuple(alarms),
        )


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bad", type=int, default=1200, help="bad models, over all networks")
    arguments.add_argument("--good", type=int, default=10_200, help="runs on good models")
    arguments.add_argument("--seed", type=int, default=SCORED_SEED)
    arguments.add_argument("--jobs", type=int, default=1)
    arguments.add_argument("--only", help="one network")
    arguments.add_argument("--out", type=Path, help="result as JSON; a table goes beside it")
    chosen = arguments.parse_args()
    subjects = [
        (name, precision)
        for name in NETWORKS
        for precision in PRECISIONS_OF[name]
        if chosen.only in (None, name)
    ]
    share = len(subjects)
    work = [
        Work(
            network=name,
            precision=precision,
            wrong=-(-chosen.bad // share),
            good=-(-chosen.good // share),
            seed=chosen.seed,
        )
        for name, precision in subjects
    ]
    wrong: list[Wrong] = []
    good: list[Good] = []
    began = time.monotonic()
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for some_wrong, some_good in pool.map(measured, work):
            wrong += some_wrong
            good += some_good
            print(summary(wrong, good).splitlines()[0], flush=True)
    result = {
        "command": " ".join(["python", "bench/power.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "onnxruntime": onnxruntime.__version__,
        "seconds": round(time.monotonic() - began),
        "limits": {"loose": LOOSE, "tight": TIGHT},
        "seed": chosen.seed,
        "wrong": [asdict(w) | {"is_bad": w.is_bad} for w in wrong],
        "good": [asdict(g) for g in good],
    }
    print(summary(wrong, good))
    if chosen.out:
        chosen.out.write_text(json.dumps(result, indent=1, default=float) + "\n")
        chosen.out.with_suffix(".md").write_text(markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
