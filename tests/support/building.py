"""Building variants in tests: the lab's network and data sets, builders in the user's cache, jobs without one."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.plan import a_class, a_pipeline, a_runtime_artifact

from edgeform.build import datasets
from edgeform.build.builders import Builders, builder_of, cache_folder, evaluator_of
from edgeform.build.failure import BuilderUnavailable
from edgeform.build.jobs import JobLimits
from edgeform.build.recipes import Workshop
from edgeform.build.shadow import TREE, RuntimeProcess, shadow
from edgeform.build.variants import VariantRequest, build_variant
from edgeform.domain.artifacts import Variant
from edgeform.domain.builds import Build, Gate, Step
from edgeform.domain.hardware import Engine, RuntimeChoice
from edgeform.lock.resolve import locked
from edgeform.plan.contents import PipelineWriter
from edgeform_device.claims import configuration
from edgeform_device.control import Control
from edgeform_device.goldens import check_goldens
from edgeform_wire import digest

ROOT = Path(__file__).parents[2]
LAB = ROOT / "site" / "lab"
DIGITS = LAB / "model" / "digits" / "1.0.0"
CALIBRATION = LAB / "data" / "digits-calibration"
EVALUATION = LAB / "data" / "digits-evaluation"
STAGES = {
    "capture": {"kind": "http_push"},
    "preprocess": json.loads((LAB / "model" / "preprocess.json").read_text()),
    "infer": {},
    "postprocess": {"kind": "classify", "labels": "labels.txt", "top_k": 3, "softmax": True},
    "action": [],
    "report": [],
}


@functools.cache
def builders() -> Builders:
    return Builders(folder=cache_folder(os.environ))


@functools.cache
def why_not(*names: str, engine: str = "onnxruntime") -> str:
    """Why these builders, or the judges of that engine, cannot be had here; empty when they can."""
    try:
        for name in names:
            builders().python(builder_of(name))
        for judge in {"onnxruntime", engine}:
            builders().python(evaluator_of(judge))
    except BuilderUnavailable as exc:
        return exc.detail
    return ""


def need_builders(*names: str, engine: str = "onnxruntime") -> None:
    """Skip, with the reason, where the builders' packages are neither in uv's cache nor to be had."""
    reason = why_not(*names, engine=engine)
    if reason:
        pytest.skip(reason)


def a_build(*steps, gate=None, **more) -> Build:
    recipe = tuple(s if isinstance(s, Step) else Step(name=s) for s in steps)
    given = {
        "source": "model.onnx",
        "calibration": "data/digits-calibration",
        "evaluation": "data/digits-evaluation",
        "include": ("labels.txt",),
    }
    return Build(recipe=recipe, gate=gate or Gate(), **(given | more))


@functools.cache
def evaluation():
    return datasets.read(EVALUATION)


@functools.cache
def calibration():
    return datasets.read(CALIBRATION)


def a_request(build: Build, **more) -> VariantRequest:
    given = {
        "model": "digits",
        "version": "1.0.0",
        "epoch": 0,
        "variant": Variant(name="v", engine="onnxruntime", build=build),
        "build": build,
        "folder": DIGITS,
        "source_digest": "sha256:" + "1" * 64,
        "stages": STAGES,
        "evaluation": evaluation(),
        "calibration": calibration(),
    }
    return VariantRequest(**(given | more))


def a_shop(folder: Path, tell=lambda _: None, **limits) -> Workshop:
    folder.mkdir(parents=True, exist_ok=True)
    return Workshop(builders=builders(), limits=JobLimits(**limits), folder=folder, tell=tell)


def built_by(engine: str, where: Path, *steps, gate=None, source="model.onnx", **more):
    """(what was built, the folder with its files): a variant of the lab's network, for that engine."""
    build = a_build(*steps, gate=gate, source=source)
    sink = Kept(where / "sink")
    variant = Variant(name="v", engine=engine, build=build)
    request = a_request(build, variant=variant, **more)
    found = build_variant(request, a_shop(where / "work"), sink)
    return found, sink.tree(found.artifact, where / "tree")


def judged_as_planned(engine: Engine, provider: str, found, tree: Path, work: Path):
    """(what a plan asks of the engine, verdicts by check): the artifact in a class that says FP32."""
    hardware = a_class(runtime=RuntimeChoice(engine=engine, provider=provider))
    model = locked(found.artifact, engine)
    use = PipelineWriter().use(a_pipeline(), hardware, runtime=a_runtime_artifact(), model=model)
    shutil.copytree(tree, work / TREE)
    stages = STAGES | {"runtime": use.stages["runtime"]}
    runtime = RuntimeProcess(python=str(builders().python(evaluator_of(engine))))
    with (
        shadow(work, engine=engine, stages=stages, runtime=runtime) as subject,
        Control(subject.socket_path) as control,
    ):
        results = [configuration(control, subject), *check_goldens(control, subject)[0]]
    return use.stages["runtime"]["precision"], {r.name: r.verdict for r in results}


class Kept:
    """A sink that keeps a copy of every file, by digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, path):
        found = digest.of_file(str(path))
        shutil.copyfile(path, self.folder / digest.hex_of(found))
        return found

    def tree(self, artifact, folder: Path) -> Path:
        for file in artifact.files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / digest.hex_of(file.digest), target)
        return folder


def a_dataset(folder: Path, samples, *, task="classification", level="encoded", **more) -> Path:
    """A data set of (name, bytes, label)."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for name, content, label in samples:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        listed.append({"file": name} | ({} if label is None else {"label": label}))
    head = {"schema": datasets.SCHEMA, "task": task, "level": level, "samples": listed}
    (folder / datasets.MANIFEST).write_text(json.dumps(head | more))
    return folder


def some_samples(count: int, classes: int = 2, prefix: str = "s"):
    return [(f"{prefix}{n}.bin", f"{prefix}{n}".encode(), str(n % classes)) for n in range(count)]


def a_site(folder: Path, *variants: str) -> Path:
    """The lab's site with more variants, as the text of their list entries."""
    shutil.copytree(LAB, folder, ignore=shutil.ignore_patterns("broken"))
    models = folder / "models.yaml"
    models.write_text(models.read_text() + "".join(variants))
    return folder


def a_variant_text(name: str, recipe: str, gate: str = "{}", evaluation="digits-evaluation") -> str:
    return (
        f"    - name: {name}\n      engine: onnxruntime\n      build:\n        source: model.onnx\n"
        f"        recipe: {recipe}\n        calibration: data/digits-calibration\n"
        f"        evaluation: data/{evaluation}\n        include: [labels.txt]\n        gate: {gate}\n"
    )


def a_builder_that(source: str) -> Path:
    """An interpreter whose `-m edgeform_builder FOLDER` runs this text, with `folder` and `job` at hand."""
    home = Path(tempfile.mkdtemp(prefix="builder-"))
    program = (
        "import json, os, sys, time, pathlib, subprocess\n"
        "folder = pathlib.Path(sys.argv[-1])\njob = json.loads((folder / 'job.json').read_text())\n"
        "def done(**value):\n"
        "    base = {'schema': 'edgeform.job_result/1', 'entry': None, 'notes': [], 'figures': {}, 'error': None}\n"
        "    (folder / 'result.json').write_text(json.dumps({**base, **value}))\n"
    )
    (home / "program.py").write_text(program + source)
    python = home / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {home}/program.py "$@"\n')
    python.chmod(0o755)
    return python


def run_edgeform(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "edgeform", *arguments)
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=dict(os.environ) | environment,
    )
