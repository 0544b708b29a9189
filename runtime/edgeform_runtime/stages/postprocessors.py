"""The postprocessor of a pipeline: one line per operator, each checked against the model's outputs."""

from typing import Any, Callable, Dict, Tuple

from edgeform_runtime.engines.base import TensorSpec
from edgeform_runtime.pipeline import Stages
from edgeform_runtime.pipeline import postprocess as values
from edgeform_runtime.pipeline.preprocess import Preprocess
from edgeform_runtime.stages.contract import Postprocessor
from edgeform_runtime.stages.postprocess.classify import classifier
from edgeform_runtime.stages.postprocess.detect import anchor_detector, yolov8_detector
from edgeform_runtime.stages.postprocess.entities import entity_reader
from edgeform_runtime.stages.postprocess.score import AnomalyScore, ThresholdJudge

Steps = Tuple[Preprocess, ...]
Outputs = Tuple[TensorSpec, ...]


def postprocessor_of(stages: Stages, model_tree: str, outputs: Outputs) -> Postprocessor:
    """What makes results of the model's outputs.

    Raises:
        PipelineInvalid: it does not fit the model, or a file of the model is missing.
    """
    stage = stages.postprocess
    return _POSTPROCESSORS[type(stage)](stage, stages.preprocess, model_tree, outputs)


def _classify(
    stage: values.Classify, steps: Steps, model_tree: str, outputs: Outputs
) -> Postprocessor:
    del steps
    shape = outputs[0].shape
    classes = shape[-1] if shape and all(extent == 1 for extent in shape[:-1]) else -1
    return classifier(stage, model_tree, classes)


def _ner(
    stage: values.NamedEntities, steps: Steps, model_tree: str, outputs: Outputs
) -> Postprocessor:
    del steps
    shape = outputs[0].shape
    return entity_reader(stage, model_tree, shape[-1] if len(shape) == 3 else -1)


_POSTPROCESSORS: Dict[type, Callable[[Any, Steps, str, Outputs], Postprocessor]] = {
    values.Classify: _classify,
    values.Yolov8: yolov8_detector,
    values.Anchors: anchor_detector,
    values.NamedEntities: _ner,
    values.Threshold: lambda stage, _steps, _tree, _outputs: ThresholdJudge(stage),
    values.Anomaly: lambda stage, _steps, _tree, _outputs: AnomalyScore(stage),
}
