"""One example of each operator, with the fields it cannot do without, for tests that hold for all."""

from edgeform.domain.stages.action import StoreLocally
from edgeform.domain.stages.capture import HttpPush, ImageDirectory
from edgeform.domain.stages.postprocess import (
    Anchors,
    Anomaly,
    Classify,
    NamedEntities,
    Threshold,
    Yolov8,
)
from edgeform.domain.stages.preprocess import Colour, Layout, Normalise, Resize
from edgeform.domain.stages.report import ReportLines

CAPTURE = ((ImageDirectory(path="in"), {"path"}), (HttpPush(), set()))
PREPROCESS = (
    (Resize(width=4, height=5), {"width", "height"}),
    (Colour(to="grey"), {"to"}),
    (Normalise(), set()),
    (Layout(), set()),
)
POSTPROCESS = (
    (Classify(), set()),
    (Yolov8(), set()),
    (Anchors(), set()),
    (NamedEntities(labels="tags.txt"), {"labels"}),
    (Threshold(), set()),
    (Anomaly(threshold=0.5), {"threshold"}),
)
ACTION = ((StoreLocally(), set()),)
REPORT = ((ReportLines(), set()),)
BY_STAGE = {
    "capture": CAPTURE,
    "preprocess": PREPROCESS,
    "postprocess": POSTPROCESS,
    "action": ACTION,
    "report": REPORT,
}
