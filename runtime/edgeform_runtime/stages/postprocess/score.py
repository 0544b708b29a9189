"""One number out of a model: judged against limits, or as a measure of how unusual the input was."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import InferenceFailed
from edgeform_runtime.pipeline.postprocess import Anomaly, Threshold
from edgeform_runtime.stages.contract import Seen
from edgeform_runtime.stages.postprocess.boxes import finite


@dataclass(frozen=True)
class ThresholdJudge:
    stage: Threshold

    def result(self, outputs: Mapping[str, Array], seen: Seen) -> Dict[str, Any]:
        """`{"kind": "threshold", "value", "is_over"}`.

        Raises:
            InferenceFailed: numbers that are not finite, or none.
        """
        del seen
        values = finite(next(iter(outputs.values())), "outputs").ravel()
        if not values.size:
            raise InferenceFailed("the model's output is empty")
        value = float(_REDUCE[self.stage.reduce](values))
        above, below = self.stage.above, self.stage.below
        is_over = (above is not None and value > above) or (below is not None and value < below)
        return {"kind": "threshold", "value": round(value, 6), "is_over": is_over}


@dataclass(frozen=True)
class AnomalyScore:
    stage: Anomaly

    def result(self, outputs: Mapping[str, Array], seen: Seen) -> Dict[str, Any]:
        """`{"kind": "anomaly", "score", "is_anomaly"}`.

        Raises:
            InferenceFailed: numbers that are not finite, or a reconstruction of another size.
        """
        found = finite(next(iter(outputs.values())), "outputs")
        if self.stage.method == "score":
            if found.size != 1:
                raise InferenceFailed(f"the score of an anomaly is one number, not {found.size}")
            score = float(found.ravel()[0])
        else:
            given = finite(next(iter(seen.feeds.values())), "inputs")
            if given.size != found.size:
                raise InferenceFailed(
                    f"a reconstruction of {found.size} numbers for an input of {given.size}"
                )
            score = float(np.mean((found.ravel() - given.ravel()) ** 2))
        return {
            "kind": "anomaly",
            "score": round(score, 9),
            "is_anomaly": score > self.stage.threshold,
        }


_REDUCE: Dict[str, Callable[[Array], Any]] = {
    "max": np.max,
    "min": np.min,
    "mean": np.mean,
    "first": lambda values: values[0],
}
