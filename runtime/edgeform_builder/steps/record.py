"""`record`: raw answers of samples, for goldens; tensors as files, told in `index.json`.

The inputs are kept too, unless the job's `is_outputs_only` says that nobody needs them.
"""

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping

import numpy as np

from edgeform_builder.job import Job, Refused, Result
from edgeform_builder.serving import opened, samples
from edgeform_builder.tensors import Array
from edgeform_runtime.errors import RuntimeFault


def run(job: Job) -> Result:
    model = opened(job)
    is_outputs_only = bool(job.extra.get("is_outputs_only"))
    index = []
    for number, (sample, seen) in enumerate(samples(job, model)):
        try:
            answer = model.infer(seen.feeds)
        except RuntimeFault as exc:
            raise Refused(f"{sample['file']}: the model fails: {exc.summary}") from exc
        index.append(
            {
                "file": sample["file"],
                "inputs": _tensors(job.out, f"{number}.in", {} if is_outputs_only else seen.feeds),
                "outputs": _tensors(job.out, f"{number}.out", answer.outputs),
            }
        )
    model.close()
    (job.out / "index.json").write_text(json.dumps(index))
    return Result(entry="index.json")


def _tensors(folder: Path, stem: str, arrays: Mapping[str, Array]) -> List[Dict[str, Any]]:
    found = []
    for number, (name, array) in enumerate(arrays.items()):
        path = f"{stem}.{number}.bin"
        (folder / path).write_bytes(np.ascontiguousarray(array).tobytes())
        spec = {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
        found.append({**spec, "path": path})
    return found
