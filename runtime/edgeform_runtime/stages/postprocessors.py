"""The postprocessor of a pipeline: one line per operator, each checked against the model's outputs."""

from typing import Any, Callable, Dict, Tuple

from edgeform_runtime.engines.base import TensorSpec
from edgeform_runtime.pipeline.postprocess import Classify, Postprocess
from edgeform_runtime.stages.contract import Postprocessor

Outputs = Tuple[TensorSpec, ...]


def postprocessor_of(stage: Postprocess, model_tree: str, outputs: Outputs) -> Postprocessor:
    """What makes results of the model's outputs.

    Raises:
        PipelineInvalid: it does not fit the model, or a file of the model is missing.
    """
    return _POSTPROCESSORS[type(stage)](stage, model_tree, outputs)


def _classify(stage: Classify, model_tree: str, outputs: Outputs) -> Postprocessor:
    from edgeform_runtime.stages.postprocess.classify import (  # noqa: PLC0415 - only where it is used
        classifier,
    )

    shape = outputs[0].shape
    classes = shape[-1] if shape and all(extent == 1 for extent in shape[:-1]) else -1
    return classifier(stage, model_tree, classes)


_POSTPROCESSORS: Dict[type, Callable[[Any, str, Outputs], Postprocessor]] = {Classify: _classify}
