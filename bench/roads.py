"""Sizes and times of the roads without SSH: `python bench/roads.py [--json FILE]`.

Two devices that are this machine under other prefixes, and the lab's site: one is brought up to date from a
stick's folder, one by pulling over HTTP from this machine; each first everything, then one changed setting.
Times are of whole commands, transaction and checks included; the medium is this machine's disk, so a real
stick's own speed comes on top.
"""

import argparse
import functools
import http.server
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.here import Here, a_site_here

EDGEFORM = str(Path(sys.executable).with_name("edgeform"))
STICK, PULL = "here-1", "here-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One command; `size_bytes` is what lies on the medium after it, where that is the question."""

    road: str
    what: str
    seconds: float
    size_bytes: int | None = None


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Plain files, and PUT below return/, as any web server with WebDAV's PUT gives."""

    def log_message(self, *_: object) -> None:
        """Nothing: the lines would stand between the results."""

    def do_PUT(self) -> None:
        if not self.path.startswith("/return/"):
            self.send_error(403)
            return
        path = Path(self.translate_path(self.path))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Bench:
    def __init__(self, here: Here) -> None:
        self._here = here
        self.found: list[Measured] = []

    def edgeform(self, *words: str) -> float:
        return _run((EDGEFORM, *words), self._here.site)

    def on(self, device: str, *words: str) -> float:
        return _run((str(self._here.prefix(device) / "bin/edgeform-device"), *words), Path("/"))

    def measure(self, road: str, what: str, seconds: float, folder: Path | None = None) -> None:
        size = None if folder is None else _size(folder)
        self.found.append(
            Measured(road=road, what=what, seconds=round(seconds, 2), size_bytes=size)
        )
        print(f"{road:6} {what:28} {seconds:7.1f} s" + (f"  {size:,} bytes" if size else ""))

    def set(self, name: str, old: str, new: str) -> None:
        file = self._here.site / name
        text = file.read_text()
        if old not in text:
            raise SystemExit(f"{file} does not say {old!r}")
        file.write_text(text.replace(old, new))

    def publish(self, device: str) -> None:
        plan = str(self._here.folder / "plan.json")
        self.edgeform("plan", "-l", device, "--out", plan)
        self.edgeform("publish", plan)

    def by_stick(self, what: str, stick: Path) -> None:
        self.publish(STICK)
        seconds = self.edgeform("bundle", "create", "-l", STICK, "--to", str(stick))
        self.measure("stick", f"create, {what}", seconds, stick)
        self.measure("stick", f"verify, {what}", self.edgeform("bundle", "verify", str(stick)))
        self.measure("stick", f"apply on the device, {what}", self.on(STICK, "bundle", str(stick)))
        self.measure("stick", f"ingest, {what}", self.edgeform("bundle", "ingest", str(stick)))

    def by_pull(self, what: str, store: Path, url: str) -> None:
        self.publish(PULL)
        seconds = self.edgeform("store", "push", str(store))
        self.measure("pull", f"store push, {what}", seconds, store)
        self.measure("pull", f"pull on the device, {what}", self.on(PULL, "pull", url))
        self.measure("pull", f"ingest, {what}", self.edgeform("bundle", "ingest", str(store)))


def measured(folder: Path) -> list[Measured]:
    here = a_site_here(folder, None, devices=2, port=_free_port())
    bench = Bench(here)
    stick, store = folder / "stick", folder / "store"
    stick.mkdir()
    store.mkdir()
    try:
        bench.set("devices.yaml", "    - {name: away, connect: {mode: offline}}\n", "")
        bench.edgeform("lock")
        for device in (STICK, PULL):
            bench.edgeform("enroll", device)
        bench.set("devices.yaml", "mode: local", "mode: offline")
        for device in (STICK, PULL):
            bench.on(device, "bundle", str(stick), "--report")
        bench.edgeform("bundle", "ingest", str(stick))
        with _serving(store) as url:
            bench.by_stick("everything", stick)
            bench.by_pull("everything", store, url)
            bench.set("pipelines.yaml", "interval_s: 0.5", "interval_s: 0.7")
            bench.by_stick("one setting", stick)
            bench.by_pull("one setting", store, url)
    finally:
        here.end()
    return bench.found


def _run(words: tuple[str, ...], folder: Path) -> float:
    """Seconds until it has ended well; a bench of a failure says so instead of a figure."""
    began = time.perf_counter()
    done = subprocess.run(
        words, cwd=folder, env=os.environ | {"NO_COLOR": "1"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(
            f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return seconds


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _machine() -> dict[str, object]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_1_min": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    chosen = parser.parse_args()
    machine = _machine()
    with tempfile.TemporaryDirectory(prefix="edgeform-roads-") as folder:
        found = measured(Path(folder))
    if chosen.json:
        document = {"machine": machine, "roads": [asdict(one) for one in found]}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
