"""`evaluate`: a model over a data set, in the runtime that devices have; answers, figures and times.

`reference` names the folder of an earlier evaluation to compare with.
"""

import json
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from edgeform_builder import scores
from edgeform_builder.job import Job, Refused, Result, note
from edgeform_builder.serving import opened, samples
from edgeform_builder.tensors import Array
from edgeform_runtime.engines.quantised import to_reals
from edgeform_runtime.errors import RuntimeFault
from edgeform_runtime.model import LoadedModel
from edgeform_runtime.stages.contract import Seen

WARM_RUNS = 5
LATENCY_RUNS = 200
"""At least so many timed runs; a small set is gone through again."""
NOTE_EVERY_S = 5.0


def run(job: Job) -> Result:
    began = time.perf_counter()
    model = opened(job)
    load_s = time.perf_counter() - began
    model.warm(WARM_RUNS)
    outputs, results, walls, feeds = _answers(job, model)
    said = scores.Answers(tuple(outputs), tuple(results))
    reference = job.extra.get("reference")
    labels = [sample.get("label") for sample in job.extra["samples"]]
    names = [sample["file"] for sample in job.extra["samples"]]
    found = scores.figures(
        job.extra["task"], labels, names, said, _read(job.folder / reference) if reference else None
    )
    walls += _more(model, feeds, LATENCY_RUNS - len(walls))
    effective = model.session.effective()
    found["latency"] = {
        "load_ms": round(load_s * 1000, 1),
        "p50_ms": round(float(np.median(walls)) * 1000, 4),
        "p95_ms": round(float(np.quantile(walls, 0.95)) * 1000, 4),
        "runs": len(walls),
        "threads": effective.threads,
        "provider": effective.provider,
    }
    found["engine_version"] = model.engine.version
    found["inputs"] = [_spec(spec) for spec in model.session.inputs]
    found["outputs"] = [_spec(spec) for spec in model.session.outputs]
    _write(job.out, said)
    model.close()
    return Result(figures=found)


def _answers(
    job: Job, model: LoadedModel
) -> Tuple[List[Array], List[Mapping[str, Any]], List[float], List[Seen]]:
    outputs: List[Array] = []
    results: List[Mapping[str, Any]] = []
    walls: List[float] = []
    few: List[Seen] = []
    told = time.monotonic()
    for number, (sample, seen) in enumerate(samples(job, model)):
        try:
            answer = model.infer(seen.feeds)
        except RuntimeFault as exc:
            raise Refused(f"{sample['file']}: the model fails: {exc.summary}") from exc
        outputs.append(_flat(model, answer.outputs))
        results.append(_result(model, answer, seen))
        walls.append(answer.wall_s)
        if len(few) < 8:
            few.append(seen)
        if time.monotonic() - told > NOTE_EVERY_S:
            told = time.monotonic()
            note(f"evaluated {number + 1} of {len(job.extra['samples'])} samples")
    return outputs, results, walls, few


def _result(model: LoadedModel, answer: Any, seen: Seen) -> Mapping[str, Any]:
    """The pipeline's result; outputs that cannot be right give one that says nothing."""
    try:
        return model.result(answer, seen)
    except RuntimeFault as exc:
        return {"kind": "failed", "error": exc.summary}


def _flat(model: LoadedModel, outputs: Mapping[str, Array]) -> Array:
    reals = to_reals(model.session.outputs, outputs)
    return np.concatenate([np.asarray(reals[name], np.float32).ravel() for name in sorted(reals)])


def _more(model: LoadedModel, feeds: Sequence[Seen], count: int) -> List[float]:
    return [model.infer(feeds[n % len(feeds)].feeds).wall_s for n in range(max(0, count))]


def _spec(spec: Any) -> Dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}


def _write(folder: Path, said: scores.Answers) -> None:
    np.save(folder / "sizes.npy", np.asarray([len(o) for o in said.outputs], np.int64))
    np.save(folder / "outputs.npy", np.concatenate(said.outputs))
    (folder / "results.json").write_text(json.dumps([dict(r) for r in said.results]))


def _read(folder: Path) -> scores.Answers:
    sizes, flat = np.load(folder / "sizes.npy"), np.load(folder / "outputs.npy")
    return scores.Answers(
        tuple(np.split(flat, np.cumsum(sizes)[:-1])),
        tuple(json.loads((folder / "results.json").read_text())),
    )
