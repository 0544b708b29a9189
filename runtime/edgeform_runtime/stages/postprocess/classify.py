"""From a model's outputs to a result that people and rules understand."""

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import InferenceFailed
from edgeform_runtime.pipeline.postprocess import Classify
from edgeform_runtime.stages.contract import Seen
from edgeform_runtime.stages.postprocess.labels import read_labels


@dataclass(frozen=True)
class Classifier:
    """The k best classes of the first output, each with index, label and score."""

    stage: Classify
    labels: Tuple[str, ...]

    def result(self, outputs: Mapping[str, Array], seen: Seen) -> Dict[str, Any]:
        """`{"kind": "classify", "classes": [{"index", "label", "score"}...]}`, best first.

        Raises:
            InferenceFailed: scores that are not finite, or more classes than labels.
        """
        del seen
        scores = np.asarray(next(iter(outputs.values())), np.float64).ravel()
        if not np.isfinite(scores).all():
            raise InferenceFailed("the model's scores are not finite")
        if self.labels and len(self.labels) != len(scores):
            raise InferenceFailed(f"{len(scores)} scores for {len(self.labels)} labels")
        if self.stage.softmax:
            powers = np.exp(scores - scores.max())
            scores = powers / powers.sum()
        best = np.argsort(-scores, kind="stable")[: self.stage.top_k]
        return {
            "kind": "classify",
            "classes": [
                {"index": int(n), "label": self._label(int(n)), "score": round(float(scores[n]), 6)}
                for n in best
                if scores[n] >= self.stage.threshold
            ],
        }

    def _label(self, index: int) -> str:
        return self.labels[index] if self.labels else str(index)


def classifier(stage: Classify, model_tree: str, classes: int) -> Classifier:
    """The stage with its labels read; `classes` is -1 where the model leaves the number open.

    Raises:
        PipelineInvalid: the labels are missing, unreadable, or not as many as the classes.
    """
    return Classifier(stage=stage, labels=read_labels(model_tree, stage.labels, classes))
