"""The worked pipelines of site/factory: their stages as a plan makes them, their models, and inputs with the
truth.
"""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from average_precision import Box
from samples import SAMPLES, Sample
from support.runtime import DIGEST, Prefix, RunningDaemon, a_pipeline_file, running

from edgeform.lock.lockfile import read as read_lock
from edgeform.plan.contents import PipelineWriter
from edgeform.spec.load import load
from edgeform_device.checks import run_checks
from edgeform_device.subject import Subject
from edgeform_wire import golden
from edgeform_wire.generation import PipelineUse
from edgeform_wire.pipeline import PipelineFile

REPOSITORY = Path(__file__).resolve().parents[2]
FACTORY = REPOSITORY / "site" / "factory"
TRAINING = FACTORY / "training"
DEVICE = "por-pc-01"
"""The device that runs them: a PC, on ONNX Runtime."""
PIPELINES = ("belt-anchors", "belt-yolo", "hum", "logbook", "scratch")
KINDS = {"belt-anchors": "belt", "belt-yolo": "belt"}
"""Whose samples a pipeline takes, where they are not called as it is."""
TRAINED_WITH = {
    "belt-anchors": TRAINING / "belt" / "anchors.json",
    "belt-yolo": TRAINING / "belt" / "yolo.json",
    "hum": TRAINING / "hum" / "stages.json",
    "logbook": TRAINING / "logbook" / "stages.json",
    "scratch": TRAINING / "scratch" / "stages.json",
}
FIGURES = {
    "belt-anchors": TRAINING / "belt" / "figures-anchors.json",
    "belt-yolo": TRAINING / "belt" / "figures-yolo.json",
    "hum": TRAINING / "hum" / "figures.json",
    "logbook": TRAINING / "logbook" / "figures.json",
    "scratch": TRAINING / "scratch" / "figures.json",
}
RESULTS_S = 240.0


@dataclass(frozen=True, kw_only=True)
class Worked:
    """A pipeline as the site has it, with its model and the checks that a device makes of it."""

    name: str
    engine: str
    stages: dict[str, Any]
    checks: dict[str, Any]
    model: Path
    model_ref: str


@lru_cache
def site_and_lock() -> tuple[Any, Any]:
    return load(FACTORY).checked(), read_lock(FACTORY / "edgeform.lock").checked()


def worked(name: str, device: str = DEVICE) -> Worked:
    """The pipeline on that device, as its generation would hold it."""
    site, lock = site_and_lock()
    found = next(d for d in site.devices if d.name == device)
    pipeline = next(p for p in found.pipelines if p.name == name)
    source = next(s for s in lock.sources if s.model == pipeline.infer.model)
    variants = [a for a in lock.artifacts if a.kind == "model" and a.name == source.model]
    artifact = next(a for a in variants if a.engine == found.hardware.runtime.engine)
    use = PipelineWriter().use(pipeline, found.hardware, runtime=artifact, model=artifact)
    return Worked(
        name=name,
        engine=use.engine,
        stages=json.loads(json.dumps(use.stages)),
        checks=dict(use.checks),
        model=FACTORY / "model" / source.source / source.version,
        model_ref=f"{source.model}@{source.version}/{artifact.variant}",
    )


def samples_of(name: str, count: int) -> tuple[Sample, ...]:
    return tuple(SAMPLES[KINDS.get(name, name)](count))


@contextlib.contextmanager
def a_prefix(pipeline: Worked, *, model: Path | None = None) -> Iterator[tuple[Prefix, str]]:
    """A prefix with the pipeline in it, its server on a free port of its own, and the pipeline's file."""
    path = Path(tempfile.mkdtemp(prefix="efp-"))  # socket addresses are at most 107 bytes
    try:
        prefix = Prefix(path)
        prefix.put_model(source=model or pipeline.model)
        stages = pipeline.stages | {"serving": {"address": "127.0.0.1", "port": 0}}
        file = _file(pipeline, stages)
        yield prefix, prefix.put_pipeline(file)
    finally:
        shutil.rmtree(path)


def _file(pipeline: Worked, stages: dict[str, Any]) -> PipelineFile:
    return a_pipeline_file(
        name=pipeline.name,
        engine=pipeline.engine,
        model_ref=pipeline.model_ref,
        stages=stages,
    )


def judged(pipeline: Worked, *, model: Path | None = None, **how: Any) -> tuple[Any, ...]:
    """What the device's checks say of it, served in shadow mode as before a switch; `how` as for `running`."""
    with (
        a_prefix(pipeline, model=model) as (prefix, file),
        running(prefix, file, name="one.shadow", is_shadow=True, **how) as daemon,
    ):
        use = PipelineUse(
            name=pipeline.name,
            runtime=DIGEST,
            model=DIGEST,
            engine=pipeline.engine,
            stages=pipeline.stages,
            checks=pipeline.checks | {"p50_ms": None},  # a busy machine is no wrong model
            limits={},
        )
        return run_checks(
            Subject(
                use=use,
                model_tree=str(prefix.path / "trees/model"),
                socket_path=daemon.socket_path,
                pid=daemon.process.pid,
                generation=1,
            )
        )


def told(pipeline: Worked, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """The stored records of the real process, one for each sample, in order: files in, results out."""
    with a_prefix(pipeline) as (prefix, _):
        directory = prefix.path / "in"
        directory.mkdir()
        capture = dict(pipeline.stages["capture"])
        if capture["kind"] == "image_directory":
            capture.update(path=str(directory), after="move", interval_s=0.0)
            for sample in samples:
                (directory / sample.name).write_bytes(sample.content)
        elif capture["kind"] == "text_lines":
            capture["path"] = str(directory / "logbook.txt")
            (directory / "logbook.txt").write_bytes(b"".join(s.content + b"\n" for s in samples))
        stages = pipeline.stages | {
            "capture": capture,
            "serving": {"address": "127.0.0.1", "port": 0},
        }
        file = _file(pipeline, stages)
        with running(prefix, prefix.put_pipeline(file), name="one") as daemon:
            if capture["kind"] == "http_push":
                _push(daemon, samples)
            first = next(a for a in stages["action"] if a.get("when") is None)
            return _records(prefix.path / first["directory"] / pipeline.name, len(samples))


def _push(daemon: RunningDaemon, samples: Sequence[Sample]) -> None:
    http = daemon.http()
    for number, sample in enumerate(samples, start=1):
        status, _, body = http.post("/v1/frames", sample.content)
        assert status == 202, body
        daemon.wait_for(lambda state, n=number: state["frames"]["inferred"] >= n)


def _records(folder: Path, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + RESULTS_S
    while True:
        files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
        lines = [line for file in files for line in file.read_text().splitlines()]
        if len(lines) >= count:
            return [json.loads(line) for line in lines]
        assert time.monotonic() < deadline, f"{len(lines)} of {count} results"
        time.sleep(0.05)


def lines_of(records: Sequence[dict[str, Any]]) -> list[str]:
    return [str(golden.answer_line(record["result"])) for record in records]


def boxes_told(records: Sequence[dict[str, Any]]) -> list[Box]:
    return [
        Box(picture=n, label=d["label"], edges=tuple(d["box"]), score=d["score"])
        for n, record in enumerate(records)
        for d in record["result"]["detections"]
    ]


def boxes_there(samples: Sequence[Sample]) -> list[Box]:
    return [
        Box(picture=n, label=label, edges=edges)
        for n, sample in enumerate(samples)
        for label, edges in sample.boxes
    ]
