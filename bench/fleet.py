"""edgeform beside its peers on lab devices: `python bench/fleet.py [--quick]`.

Two pieces of work, a no-op plan and a model-only update, for 1, 20 and 50 systemd devices over links of 0,
50 and 200 ms round trip; interleaved, wall time and CPU time of the whole machine (controller and devices
share its cores). When time runs out, repeats are dropped before cells, and the report says which. The result
and its table are written after each run, so that one which is interrupted is not lost.
"""

import argparse
import datetime as dt
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fleet_report
from contenders import Contender, environment, hang_up, install_mitogen, planners, updaters
from fleet_lab import ROOT, BenchLab, say
from support.network import slow_line

from edgeform.lab.cgroup import ROOT_NAME, mountinfo, mounts_of
from edgeform.lab.doctor import doctor, why_not_nspawn

LONGEST_S = 400.0
ONCE_S = 60.0
REPEATED = ("limit", "edgeform", "OpenSSH", "pyinfra")
"""Repeated however long they take: the goals compare these with each other most closely."""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
Field = Callable[[BenchLab, int], tuple[Contender, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    work: str
    devices: int
    round_trip_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one contender.

    Attributes:
        cpu_s: of the whole machine, strangers included.
        own_cpu_s: of the contender's processes and of all devices; not of what it leaves running.
        load: of the machine just before.
    """

    wall_s: float
    cpu_s: float
    own_cpu_s: float
    load: float
    right: bool


def cpu_seconds() -> float:
    """Seconds that all cores worked since boot, without waiting and without guests counted twice."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _idle, _iowait, irq, softirq = (int(word) for word in words[1:8])
    return (user + nice + system + irq + softirq) * TICK_S


def own_cpu_seconds(bench: BenchLab) -> float:
    """Seconds of the children that have ended, and of the devices."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    group = Path(mounts_of(mountinfo()).unified, ROOT_NAME, bench.lab.network.lab_id, "cpu.stat")
    devices = dict(line.split() for line in group.read_text().splitlines())
    return children.ru_utime + children.ru_stime + int(devices["usage_usec"]) / 1e6


def finished(
    contender: Contender, stdin: bytes, settings: dict[str, str], folder: Path
) -> tuple[int, str]:
    """How it ended, and what it said; in a session of its own, so that no signal it sends comes here."""
    with subprocess.Popen(
        contender.argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=settings,
        cwd=folder,
        start_new_session=True,
    ) as process:
        try:
            out, _ = process.communicate(stdin, timeout=LONGEST_S)
        except BaseException as exc:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(exc, subprocess.TimeoutExpired):
                raise
            out, _ = process.communicate()
    return process.returncode, out.decode(errors="replace")


def measure(contender: Contender, bench: BenchLab) -> Measured:
    folder = bench.folder
    settings = environment(contender, folder)
    stdin = contender.stdin.read_bytes() if contender.stdin else b""
    load, own, cpu = os.getloadavg()[0], own_cpu_seconds(bench), cpu_seconds()
    began = time.monotonic()
    status, out = finished(contender, stdin, settings, folder)
    wall_s, cpu_s = time.monotonic() - began, cpu_seconds() - cpu
    own_cpu_s = own_cpu_seconds(bench) - own
    hang_up(settings)
    right = status == 0 and contender.is_right(out)
    if not right:
        say(f"{contender.name} failed ({status}):\n{out[-1500:]}")
    return Measured(
        wall_s=round(wall_s, 3),
        cpu_s=round(cpu_s, 2),
        own_cpu_s=round(own_cpu_s, 2),
        load=round(load, 2),
        right=right,
    )


class Race:
    """Runs cell after cell as long as there is time, and keeps what was measured after each run.

    Args:
        only: begins of the names of those who run; empty for all.
        once_s: a peer that took longer than this in a cell does not run there again.
    """

    def __init__(
        self,
        bench: BenchLab,
        save: Callable[[list[dict], list[str]], None],
        *,
        only: tuple[str, ...] = (),
        once_s: float = ONCE_S,
    ) -> None:
        self._bench = bench
        self._save = save
        self._only = only
        self._once_s = once_s
        self.rows: dict[tuple[Cell, str], list[Measured]] = {}
        self.dropped: list[str] = []

    def run(self, cells: list[Cell], field: Field, *, repeats: int, budget_s: float) -> None:
        until = time.monotonic() + budget_s
        for repeat in range(1, repeats + 1):
            for cell in cells:
                if time.monotonic() + self._expected_s(cell) > until:
                    self._drop(f"{_named(cell)}, repeat {repeat}")
                    continue
                self._repeat(cell, field, repeat, until)

    def _repeat(self, cell: Cell, field: Field, repeat: int, until: float) -> None:
        if cell.work == "update":
            self._bench.new_version()
        contenders = [c for c in field(self._bench, cell.devices) if self._runs(c)]
        # Each repeat begins with another contender: nobody always comes after the same one.
        turn = (repeat - 1) % len(contenders) if contenders else 0
        with link(self._bench, cell.round_trip_ms):
            for contender in (*contenders[turn:], *contenders[:turn]):
                if self._is_enough(cell, contender):
                    continue
                if time.monotonic() > until:
                    self._drop(f"{_named(cell)}, repeat {repeat}: {contender.name}")
                    continue
                self._one(cell, contender, repeat)
                self._save(self.table(), self.dropped)

    def _runs(self, contender: Contender) -> bool:
        return not self._only or contender.name.lower().startswith(self._only)

    def _is_enough(self, cell: Cell, contender: Contender) -> bool:
        """Of a slow peer one run has to do: what it costs in time goes from everybody's repeats."""
        before = self.rows.get((cell, contender.name), [])
        return not contender.name.startswith(REPEATED) and any(
            r.wall_s > self._once_s for r in before
        )

    def _drop(self, what: str) -> None:
        self.dropped.append(what)
        self._save(self.table(), self.dropped)

    def _expected_s(self, cell: Cell) -> float:
        """A repeat of a cell as it was before; one that never ran is begun as long as any time is left."""
        before = [runs for (known, _), runs in self.rows.items() if known == cell]
        longest = (max(run.wall_s for run in runs) for runs in before)
        return sum(wall_s for wall_s in longest if wall_s <= self._once_s)

    def _one(self, cell: Cell, contender: Contender, repeat: int) -> None:
        run = measure(contender, self._bench)
        self.rows.setdefault((cell, contender.name), []).append(run)
        say(
            f"{_named(cell)} #{repeat} {contender.name}: {run.wall_s:.2f} s,"
            f" CPU {run.own_cpu_s:.1f} of {run.cpu_s:.1f} s, load {run.load}{'' if run.right else ', WRONG'}"
        )

    def table(self) -> list[dict]:
        return [_row(cell, name, runs) for (cell, name), runs in self.rows.items()]


def _named(cell: Cell) -> str:
    return f"{cell.work}, {cell.devices} devices, {cell.round_trip_ms} ms"


def _row(cell: Cell, name: str, runs: list[Measured]) -> dict:
    right = [run for run in runs if run.right] or runs
    walls = [run.wall_s for run in right]
    return {
        "work": cell.work,
        "devices": cell.devices,
        "round_trip_ms": cell.round_trip_ms,
        "contender": name,
        "wall_s": statistics.median(walls),
        "wall_min_s": min(walls),
        "wall_max_s": max(walls),
        "cpu_s": statistics.median(run.cpu_s for run in right),
        "own_cpu_s": statistics.median(run.own_cpu_s for run in right),
        "load": statistics.median(run.load for run in right),
        "runs": len(runs),
        "failed": sum(not run.right for run in runs),
    }


@contextmanager
def link(bench: BenchLab, round_trip_ms: int) -> Iterator[None]:
    """A line of this round trip between the controller and all devices; 0 is the direct way."""
    if not round_trip_ms:
        yield
        return
    with slow_line(bench.lab.network) as line:
        line.set(delay_ms=round_trip_ms / 2)
        yield


def about(asked: argparse.Namespace) -> dict:
    cpu = next(
        (
            x.split(":")[1].strip()
            for x in Path("/proc/cpuinfo").read_text().splitlines()
            if x.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    tools = ("ansible-core", "pyinfra", "paramiko", "gevent")
    requirement = (ROOT / "bench/peers/requirements.txt").read_text().split(" ", 1)[0]
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "command": " ".join(("python bench/fleet.py", *sys.argv[1:])).split(" --out")[0],
        "machine": f"{cpu}, {os.cpu_count()} cores, {memory / 2**30:.0f} GiB, Linux {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in tools} | {"mitogen": requirement[9:]},
        "repeats_asked": asked.repeat,
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two sizes, two links, one repeat")
    parser.add_argument("--devices", type=int, nargs="+", default=[20, 50, 1], metavar="N")
    parser.add_argument(
        "--round-trip-ms", type=int, nargs="+", default=[50, 0, 200], metavar="MS",
        help="the most important one first",
    )  # fmt: skip
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--work", nargs="+", choices=("plan", "update"), default=["plan", "update"])
    parser.add_argument("--budget-minutes", type=float, default=20.0, help="of measuring")
    parser.add_argument(
        "-l", "--only", nargs="+", default=[], metavar="NAME",
        help="only contenders whose names begin so: limit edgeform openssh pyinfra ansible",
    )  # fmt: skip
    parser.add_argument(
        "--once-s", type=float, default=ONCE_S, metavar="S",
        help="Ansible that took longer in a cell is not repeated there",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/fleet.json")
    asked = parser.parse_args()
    if asked.quick:
        asked.devices, asked.round_trip_ms, asked.repeat = [1, 5], [0, 50], 1
        asked.budget_minutes = 2.0
        asked.out = ROOT / "build/bench-fleet-quick.json"
    return asked


def main() -> None:
    asked = options()
    if obstacles := why_not_nspawn(doctor(os.environ)):
        raise SystemExit(f"The bench needs systemd devices: {obstacles}")
    # Ended politely, by `timeout` for example: the lab goes, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    if not asked.only or any("ansible".startswith(n[:7].lower()) for n in asked.only):
        install_mitogen()
    described = about(asked)
    asked.out.parent.mkdir(parents=True, exist_ok=True)

    def save(rows: list[dict], dropped: list[str]) -> None:
        found = described | {"rows": rows, "dropped": dropped}
        for path, text in (
            (asked.out, json.dumps(found, indent=1) + "\n"),
            (asked.out.with_suffix(".md"), fleet_report.markdown(found) + "\n"),
        ):
            partial = path.with_suffix(path.suffix + ".tmp")
            partial.write_text(text)
            partial.replace(path)

    with tempfile.TemporaryDirectory(prefix="edgeform-bench-") as folder:
        bench = BenchLab(folder=Path(folder), sizes=tuple(asked.devices))
        only = tuple(name.lower() for name in asked.only)
        race = Race(bench, save, only=only, once_s=asked.once_s)
        try:
            bench.up()
            for work, field, share in (("plan", planners, 0.4), ("update", updaters, 0.6)):
                if work in asked.work:
                    cells = [
                        Cell(work=work, devices=n, round_trip_ms=ms)
                        for ms in asked.round_trip_ms
                        for n in asked.devices
                    ]
                    part = share if len(asked.work) > 1 else 1.0
                    budget_s = asked.budget_minutes * 60 * part
                    race.run(cells, field, repeats=asked.repeat, budget_s=budget_s)
        finally:
            bench.down()
    print(fleet_report.markdown(json.loads(asked.out.read_text())))
    print(f"written to {asked.out}", file=sys.stderr)
    if any(row["failed"] for row in race.table() if row["contender"].startswith("edgeform")):
        raise SystemExit("A run of edgeform failed; see above.")


if __name__ == "__main__":
    main()
