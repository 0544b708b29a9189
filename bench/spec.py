"""How long a site takes: read, validate, merge, decode; wall time and memory for 1,000 to 100,000 devices.

    python bench/spec.py                 # table, and build/bench-spec.json
    python bench/spec.py --devices 1000 10000 --repeat 5

Every size runs in a process of its own, so that peak memory is its own. Goal: 10,000 devices load,
validate, resolve and plan in 3 s and 1 GB, linear from 1,000 to 100,000.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PER_FILE = 10_000
"""Devices in one file; a plant's list, and below the limit of 8 MiB a file."""
CLASSES = ("builtin/linux-x86_64", "gate", "gate-fast")

SITE = """\
api_version: edgeform/v1
kind: Site
metadata: {name: bench}
spec:
  registries: [{name: local, kind: directory, path: models}]
  vars: {domain: example.net}
  defaults:
    connect: {user: edge, key_file: keys/id, connect_timeout_s: 5}
    transaction: {confirm: controller, confirm_s: 90}
  overlays:
    - {name: night, select: "line=line-3", patch: {vars: {threshold: 0.7}}}
    - {name: old, select: "plant=plant-1,class=gate", patch: {transaction: {soak_s: 10}}}
"""
OBJECTS = """\
api_version: edgeform/v1
kind: HardwareClass
metadata: {name: gate}
spec: {extends: builtin/linux-x86_64, runtime: {threads: 2}}
---
api_version: edgeform/v1
kind: HardwareClass
metadata: {name: gate-fast}
spec: {extends: gate, runtime: {threads: 4}}
---
api_version: edgeform/v1
kind: Model
metadata: {name: detector}
spec:
  source: {registry: local}
  version: {semver: "^1.0"}
  variants: [{name: f32, engine: onnxruntime, file: model.onnx}]
---
api_version: edgeform/v1
kind: Pipeline
metadata: {name: gate}
spec:
  vars:
    frames: {type: string}
    threshold: {type: number, default: 0.5, minimum: 0, maximum: 1}
  capture: {image_directory: {path: "${vars.frames}"}}
  preprocess: [{resize: {width: 224, height: 224}}, {normalise: {scale: 0.0039}}, {layout: {order: nchw}}]
  infer: {model: detector}
  postprocess: {classify: {top_k: 3, threshold: "${vars.threshold}"}}
  action: [{store: {directory: "results/${device.name}"}}]
  checks: {p50_ms: 50}
---
api_version: edgeform/v1
kind: Pipeline
metadata: {name: idle}
spec:
  capture: {http_push: {}}
  infer: {model: detector}
  postprocess: {classify: {}}
"""


def write_site(folder: Path, devices: int) -> int:
    """Write a site of so many devices; its size in bytes."""
    (folder / "devices").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "site.yaml").write_text(SITE)
    (folder / "objects.yaml").write_text(OBJECTS)
    for first in range(0, devices, PER_FILE):
        name = f"plant-{first // PER_FILE:04d}"
        numbers = range(first, min(first + PER_FILE, devices))
        text = "".join(_device_list(name, numbers))
        (folder / "devices" / f"{name}.yaml").write_text(text)
    return sum(f.stat().st_size for f in folder.rglob("*.yaml"))


def _device_list(name: str, numbers: range) -> Iterator[str]:
    yield f"api_version: edgeform/v1\nkind: DeviceList\nmetadata: {{name: {name}}}\nspec:\n"
    yield "  common: {labels: {ring: wide}, pipelines: [{name: idle}]}\n  devices:\n"
    for i in numbers:
        yield (
            f"    - name: cam-{i:06d}\n"
            f"      class: {CLASSES[i % 3]}\n"
            f"      labels: {{plant: plant-{i % 20}, line: line-{i % 200}}}\n"
            f"      connect: {{host: 10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}, port: 22}}\n"
            "      pipelines:\n"
            "        - name: gate\n"
            f"          vars: {{frames: /srv/frames/{i}, threshold: 0.{i % 9 + 1}}}\n"
        )


def measure(folder: Path) -> dict[str, float]:
    """One load in this process: seconds, and peak memory in bytes."""
    from edgeform.diagnostics import rendered  # noqa: PLC0415 - as below
    from edgeform.spec.load import load  # noqa: PLC0415 - the import is not what is measured
    from edgeform.spec.schema import validator  # noqa: PLC0415

    validator()
    before = time.perf_counter()
    loaded = load(folder)
    wall_s = time.perf_counter() - before
    if loaded.site is None:
        raise SystemExit("\n".join(rendered(d) for d in loaded.diagnostics[:5]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"devices": len(loaded.site.devices), "load_s": wall_s, "peak_bytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a site takes to load.")
    parser.add_argument("--devices", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--repeat", type=int, default=3, help="runs of each size; the best counts")
    parser.add_argument("--out", type=Path, default=Path("build/bench-spec.json"))
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure is not None:
        print(json.dumps(measure(asked.measure)))
        return
    rows = [_best(count, asked.repeat) for count in asked.devices]
    print(f"{'devices':>9} {'files':>9} {'load':>9} {'each':>9} {'peak memory':>12}")
    for row in rows:
        print(
            f"{row['devices']:>9,} {row['bytes'] / 1e6:>6.1f} MB {row['load_s']:>7.2f} s"
            f" {row['load_s'] / row['devices'] * 1e6:>6.0f} us {row['peak_bytes'] / 2**20:>8.0f} MiB"
        )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    asked.out.write_text(json.dumps({"rows": rows, **machine}, indent=1) + "\n")
    print(f"written to {asked.out}", file=sys.stderr)


def _best(count: int, repeat: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        size = write_site(Path(folder, "site"), count)
        runs = []
        for number in range(repeat):
            print(f"{count:,} devices, run {number + 1} of {repeat}", file=sys.stderr)
            command = (sys.executable, __file__, "--measure", str(Path(folder, "site")))
            found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(found.stdout))
        best = min(runs, key=lambda run: run["load_s"])
        return best | {"bytes": size}


if __name__ == "__main__":
    main()
