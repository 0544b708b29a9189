"""Each recipe on the lab's network: accuracy, agreement, SQNR, size, latency, as builders measure them.

    python bench/recipes.py                    # table, and build/bench-recipes.json
    python bench/recipes.py --only int8 nncf_int8

Each recipe is built once without a ladder, from the same weights (`site/lab/model/to_tflite.py` turned them
into TFLite), calibrated and judged with the lab's two sets. A recipe that gate or goldens refuse is a
row like any other. Latency is one inference on one thread of this CPU, without the stages around it:
it compares rows; on the chip that counts it has to be measured again.
"""

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgeform.build import datasets
from edgeform.build.builders import Builders, cache_folder
from edgeform.build.failure import VariantRefused
from edgeform.build.figures import RungReport
from edgeform.build.jobs import JobLimits
from edgeform.build.recipes import Workshop
from edgeform.build.variants import VariantRequest, build_variant
from edgeform.domain.artifacts import Variant
from edgeform.domain.builds import Build, Gate, Step
from edgeform.errors import EdgeformError

ROOT = Path(__file__).parent.parent
LAB = ROOT / "site" / "lab"
NETWORK = LAB / "model" / "digits" / "1.0.0"
TFLITE = ROOT / "tests" / "cases" / "models" / "digits.tflite"
GATE = Gate(accuracy_drop=0.02, agreement=0.95, sqnr_db=15, ladder=())
STAGES = {
    "capture": {"kind": "http_push"},
    "preprocess": json.loads((LAB / "model" / "preprocess.json").read_text()),
    "infer": {},
    "postprocess": {"kind": "classify", "labels": "labels.txt", "top_k": 3, "softmax": True},
    "action": [],
    "report": [],
}


def step(name: str, **parameters: bool | int | str) -> Step:
    return Step(name=name, parameters=tuple(sorted(parameters.items())))


RECIPES: dict[str, tuple[str, tuple[Step, ...]]] = {
    "clean": ("onnxruntime", (step("clean"),)),
    "fp16": ("onnxruntime", (step("fp16"),)),
    "clean, int8": ("onnxruntime", (step("clean"), step("int8"))),
    "clean, int8 (symmetric)": ("onnxruntime", (step("clean"), step("int8", symmetric=True))),
    "clean, trt_int8": ("onnxruntime", (step("clean"), step("trt_int8"))),
    "clean, int8 (mixed)": ("onnxruntime", (step("clean"), step("int8", mixed=True))),
    "clean, int8_dynamic": ("onnxruntime", (step("clean"), step("int8_dynamic"))),
    "clean, int4": ("onnxruntime", (step("clean"), step("int4"))),
    "ir_fp16": ("openvino", (step("ir_fp16"),)),
    "nncf_int8": ("openvino", (step("nncf_int8"),)),
    "nncf_int8 (mixed)": ("openvino", (step("nncf_int8", mixed=True, samples=0),)),
    "nncf_int4": ("openvino", (step("nncf_int4"),)),
    "litert_fp16": ("litert", (step("litert_fp16"),)),
    "litert_int8_dynamic": ("litert", (step("litert_int8_dynamic"),)),
    "litert_int8": ("litert", (step("litert_int8"),)),
    "litert_int8 (integer edges)": ("litert", (step("litert_int8", integer_edges=True),)),
}


def measured(name: str, folder: Path) -> dict[str, Any]:
    """A row of the table."""
    engine, recipe = RECIPES[name]
    source = TFLITE if engine == "litert" else NETWORK / "model.onnx"
    version = folder / "version"
    version.mkdir(parents=True)
    shutil.copyfile(source, version / f"model{source.suffix}")
    shutil.copyfile(NETWORK / "labels.txt", version / "labels.txt")
    build = Build(
        source=f"model{source.suffix}",
        recipe=recipe,
        calibration="data/digits-calibration",
        evaluation="data/digits-evaluation",
        include=("labels.txt",),
        gate=GATE,
    )
    request = VariantRequest(
        model="digits",
        version="1.0.0",
        epoch=0,
        variant=Variant(name="bench", engine=engine, build=build),
        build=build,
        folder=version,
        source_digest="sha256:" + "0" * 64,
        stages=STAGES,
        evaluation=datasets.read(LAB / "data" / "digits-evaluation"),
        calibration=datasets.read(LAB / "data" / "digits-calibration"),
    )
    builders = Builders(folder=cache_folder(os.environ))
    shop = Workshop(builders=builders, limits=JobLimits(), folder=folder)
    refused = ""
    try:
        report = build_variant(request, shop, None).report
    except VariantRefused as exc:
        if exc.report is None:
            raise
        report, refused = exc.report, exc.detail.splitlines()[-1]
    return {
        "recipe": name,
        "engine": f"{report.engine} {report.engine_version}",
        "refused": refused,
        **row_of(report.rungs[0]),
        "source_accuracy": report.reference["accuracy"],
        "source_p50_ms": report.reference["latency"]["p50_ms"],
        "source_bytes": source.stat().st_size,
    }


def row_of(rung: RungReport) -> dict[str, Any]:
    if not rung.figures:
        return {"error": rung.error}
    figures = rung.figures
    return {
        "precision": rung.precision,
        "accuracy": figures["accuracy"],
        "agreement": figures["agreement"],
        "sqnr_db": round(figures["sqnr_db"], 1),
        "size_bytes": rung.size_bytes,
        "p50_ms": figures["latency"]["p50_ms"],
        "notes": list(rung.notes),
    }


def table(found: dict[str, Any]) -> str:
    lines = [
        "| recipe | engine | accuracy | agreement | SQNR dB | kB | p50 ms | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    seen = set()
    for row in found["rows"]:
        if "accuracy" not in row:
            lines.append(f"| {row['recipe']} | - | | | | | | {row['error']} |")
            continue
        source = "ONNX" if "litert" not in row["engine"] else "TFLite"
        if source not in seen:
            seen.add(source)
            lines.append(
                f"| the source, {source}, FP32 | | {row['source_accuracy']:.4f} | | |"
                f" {row['source_bytes'] / 1000:.0f} | {row['source_p50_ms']:.3f} | |"
            )
        lines.append(
            f"| {row['recipe']} | {row['engine']} | {row['accuracy']:.4f} | {row['agreement']:.4f} |"
            f" {row['sqnr_db']:.1f} | {row['size_bytes'] / 1000:.0f} | {row['p50_ms']:.3f} |"
            f" {row['refused'] and 'refused: ' + row['refused']} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench-recipes.json")
    given = parser.parse_args()
    rows = []
    for name in given.only:
        print(f"==> {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-recipes-") as work:
            try:
                rows.append(measured(name, Path(work)))
            except EdgeformError as exc:
                rows.append({"recipe": name, "error": exc.detail or exc.summary})
        found = {
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "rows": rows,
        }
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
