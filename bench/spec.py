"""How long a site takes: load (read, validate, merge, decode), resolve, plan; for 1,000 to 100,000 devices.

    python bench/spec.py                 # table, and build/bench-spec.json
    python bench/spec.py --devices 1000 10000 --repeat 5

Every size runs in a process of its own, so that peak memory is its own. The observations are made up (virgin
devices, so that each has a whole plan); making them is not measured. Goal: 10,000 devices load,
validate, resolve and plan in 3 s and 1 GB, linear from 1,000 to 100,000.
"""

import argparse
import datetime as dt
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
    """One site from its files to its plan in this process: seconds of each part, and peak memory in bytes."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    # The imports are not what is measured.
    from support.plan import (  # noqa: PLC0415 - only the measured child imports the tests' factories
        NOW,
        a_context,
        a_lock,
        a_model_artifact,
        a_runtime_artifact,
        a_tool,
        a_virgin,
        some_facts,
    )

    from edgeform.diagnostics import rendered  # noqa: PLC0415 - measured in the child, not here
    from edgeform.plan import make_plan, resolve  # noqa: PLC0415 - measured in the child, not here
    from edgeform.spec.load import load  # noqa: PLC0415 - measured in the child, not here
    from edgeform.spec.schema import validator  # noqa: PLC0415 - measured in the child, not here

    validator()
    cpu = -time.process_time()
    started = time.perf_counter()
    loaded = load(folder)
    load_s = time.perf_counter() - started
    cpu += time.process_time()
    site = loaded.site
    if site is None:
        raise SystemExit("\n".join(rendered(d) for d in loaded.diagnostics[:5]))
    model = a_model_artifact(name="detector", variant="f32")
    lock, tool = a_lock(model, a_runtime_artifact(arch="x86_64")), a_tool()
    facts = some_facts(arch="x86_64")
    seen = [a_virgin(device.name, facts=facts) for device in site.devices]
    cpu -= time.process_time()
    started = time.perf_counter()
    resolution = resolve(site, lock, tool)
    resolve_s = time.perf_counter() - started
    context = a_context(site, tool)
    started = time.perf_counter()
    plan = make_plan(site, lock, resolution, seen, context=context, created_at=NOW, made_by="bench")
    plan_s = time.perf_counter() - started
    cpu += time.process_time()
    if len(plan.changed) != len(site.devices):
        raise SystemExit(f"{len(plan.changed)} of {len(site.devices)} devices have a plan")
    return {
        "devices": len(site.devices),
        "load_s": round(load_s, 4),
        "resolve_s": round(resolve_s, 4),
        "plan_s": round(plan_s, 4),
        "total_s": round(load_s + resolve_s + plan_s, 4),
        "cpu_s": round(cpu, 4),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a site takes to load, resolve and plan.")
    parser.add_argument("--devices", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--repeat", type=int, default=3, help="runs of each size; the best counts")
    parser.add_argument("--out", type=Path, default=Path("build/bench-spec.json"))
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure is not None:
        print(json.dumps(measure(asked.measure)))
        return
    rows = [_best(count, asked.repeat) for count in asked.devices]
    print("| devices | YAML | load | resolve | plan | total | CPU time | CPU each | peak memory |")
    print("|---" * 9 + "|")
    for row in rows:
        print(
            f"| {row['devices']:,} | {row['bytes'] / 1e6:.1f} MB | {row['load_s']:.2f} s"
            f" | {row['resolve_s']:.2f} s | {row['plan_s']:.2f} s | {row['total_s']:.2f} s"
            f" | {row['cpu_s']:.2f} s | {row['cpu_s'] / row['devices'] * 1e6:.0f} us"
            f" | {row['peak_bytes'] / 2**20:.0f} MiB |"
        )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    asked.out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
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
        best = min(runs, key=lambda run: run["total_s"])
        return best | {"bytes": size}


if __name__ == "__main__":
    main()
