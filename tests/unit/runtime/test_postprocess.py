"""Postprocessors against numbers that were worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeform_runtime.engines.base import TensorSpec
from edgeform_runtime.errors import InferenceFailed, PipelineInvalid
from edgeform_runtime.pipeline.postprocess import (
    Anchors,
    Anomaly,
    NamedEntities,
    Suppression,
    Threshold,
    Yolov8,
)
from edgeform_runtime.pipeline.preprocess import Resize
from edgeform_runtime.stages import preprocess
from edgeform_runtime.stages.contract import Seen
from edgeform_runtime.stages.postprocess import boxes
from edgeform_runtime.stages.postprocess.anchors import anchor_boxes, decoded
from edgeform_runtime.stages.postprocess.detect import anchor_detector, yolov8_detector
from edgeform_runtime.stages.postprocess.entities import entities, entity_reader
from edgeform_runtime.stages.postprocess.score import AnomalyScore, ThresholdJudge

KEEP = Suppression(threshold=0.25, iou=0.45, max_detections=100, class_agnostic=False)
LETTERBOX = Resize(width=64, height=64, filter="bilinear", mode="letterbox")


def some_anchors(**changes):
    fields = {
        "scheme": "efficientdet",
        "labels": None,
        "keep": KEEP,
        "strides": (8.0, 16.0, 32.0, 64.0, 128.0),
        "ratios": (1.0, 2.0, 0.5),
        "octaves": 3,
        "anchor_scale": 4.0,
        "min_scale": 0.2,
        "max_scale": 0.95,
        "variances": (1.0, 1.0, 1.0, 1.0),
        "activation": "sigmoid",
        "background": False,
    }
    return Anchors(**(fields | changes))


def shown(width=64, height=64, frame_px=None):
    return Seen(feeds={"x": np.zeros((1, 3, height, width), np.float32)}, frame_px=frame_px)


def a_head(*columns):
    """A YOLOv8 head: one (cx, cy, w, h, score, score...) per box."""
    return {"out": np.asarray(columns, np.float32).T[None]}


def a_yolo(classes=2, steps=(), **keep):
    stage = Yolov8(labels=None, keep=Suppression(**({**KEEP.__dict__} | keep)))
    spec = TensorSpec(name="out", shape=(1, 4 + classes, -1), dtype="float32")
    return yolov8_detector(stage, steps, "", (spec,))


def test_overlap_of_two_half_covering_boxes_is_a_third():
    many = np.asarray([[5.0, 0.0, 15.0, 10.0], [20.0, 20.0, 30.0, 30.0], [0.0, 0.0, 10.0, 10.0]])
    found = boxes.overlaps(np.asarray([0.0, 0.0, 10.0, 10.0]), many)
    assert found == pytest.approx([50 / 150, 0.0, 1.0])


def test_yolov8_keeps_the_better_of_two_boxes_and_the_box_of_another_class():
    head = a_head(
        (20, 20, 10, 10, 0.8, 0.1),
        (21, 20, 10, 10, 0.9, 0.1),  # overlaps the first by 90/110
        (20, 20, 10, 10, 0.1, 0.7),  # another class
        (50, 50, 4, 4, 0.2, 0.1),  # below the threshold
    )
    found = a_yolo().result(head, shown())
    assert [(d["index"], d["score"]) for d in found["detections"]] == [(0, 0.9), (1, 0.7)]
    assert found["detections"][0]["box"] == [16.0, 15.0, 26.0, 25.0]
    agnostic = a_yolo(class_agnostic=True).result(head, shown())
    assert [d["index"] for d in agnostic["detections"]] == [0]


def test_boxes_of_a_letterboxed_input_lie_in_the_frame():
    # 128 x 64 in 64 x 64: half the size, 16 px of grey above and below.
    found = a_yolo(steps=(LETTERBOX,)).result(
        a_head((32, 32, 20, 10, 0.9, 0.0)), shown(frame_px=(128, 64))
    )
    assert found["detections"][0]["box"] == [44.0, 22.0, 84.0, 42.0]
    assert (found["width"], found["height"]) == (128, 64)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(8, 300),
    height=st.integers(8, 300),
    place=st.tuples(st.floats(0, 0.6), st.floats(0, 0.6)),
    mode=st.sampled_from(["stretch", "letterbox"]),
)
def test_a_white_box_is_found_where_it_was_painted(width, height, place, mode):
    """Through the real resize and back: within the pixels that scaling can lose."""
    frame = np.zeros((height, width, 3), np.uint8)
    left, top = int(place[0] * width), int(place[1] * height)
    right, bottom = left + max(3, width // 3), top + max(3, height // 3)
    frame[top:bottom, left:right] = 255
    step = Resize(width=96, height=80, filter="nearest", mode=mode)
    inside = preprocess.resize(frame, step)[:, :, 0] == 255
    if not inside.any():
        return
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = np.asarray([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float64)
    found = boxes.to_frame(box, (96, 80), (width, height), step)[0]
    across, down = width / 96, height / 80
    if mode == "letterbox":
        across = down = max(across, down)
    expected = [left, top, min(right, width), min(bottom, height)]
    slack = [across + 1, down + 1] * 2
    assert (np.abs(found - expected) <= slack).all()


boxes_of_some = st.lists(
    st.tuples(
        *[st.floats(0, 50)] * 2,
        *[st.floats(0.5, 30)] * 2,
        st.floats(0, 1),
        st.integers(0, 2),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(some=boxes_of_some, is_agnostic=st.booleans())
def test_suppression_leaves_nothing_that_overlaps_and_drops_nothing_for_no_reason(
    some, is_agnostic
):
    corners = np.asarray([[x, y, x + w, y + h] for x, y, w, h, _, _ in some]).reshape(-1, 4)
    scores = np.asarray([s for *_, s, _ in some], np.float64)
    classes = np.asarray([c for *_, c in some], np.intp)
    keep = Suppression(threshold=0.3, iou=0.4, max_detections=100, class_agnostic=is_agnostic)
    kept = list(boxes.suppress(corners, scores, classes, keep))
    assert [scores[k] for k in kept] == sorted((scores[k] for k in kept), reverse=True)

    def rivals(one, other):
        same = is_agnostic or classes[one] == classes[other]
        return same and boxes.overlaps(corners[one], corners[[other]])[0] > 0.4

    assert not any(rivals(a, b) for a in kept for b in kept if a != b)
    for place in range(len(some)):
        if place not in kept and scores[place] >= 0.3:
            assert any(rivals(k, place) and scores[k] >= scores[place] for k in kept)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_boxes_that_are_not_finite_are_a_failure_and_no_result(bad):
    with pytest.raises(InferenceFailed, match="not finite"):
        a_yolo().result(a_head((1, 1, bad, 1, 0.5, 0.5)), shown())


def test_a_head_of_another_shape_is_refused_when_the_model_is_loaded():
    stage = Yolov8(labels=None, keep=KEEP)
    with pytest.raises(PipelineInvalid, match=r"4 \+ classes"):
        yolov8_detector(stage, (), "", (TensorSpec(name="o", shape=(1, 10), dtype="float32"),))


def test_efficientdet_has_its_49104_anchors_at_512_px():
    """The number in the paper's setting: 9 x (64^2 + 32^2 + 16^2 + 8^2 + 4^2)."""
    anchors = anchor_boxes(some_anchors(), (512, 512))
    assert anchors.shape == (49104, 4)
    assert anchors[0] == pytest.approx([4, 4, 32, 32])
    assert anchors[1] == pytest.approx([4, 4, 32 / math.sqrt(2), 32 * math.sqrt(2)])
    assert anchors[3][2] == pytest.approx(32 * 2 ** (1 / 3))
    assert anchors[9][:2] == pytest.approx([4, 12]), "columns before rows"


def test_ssd_has_six_anchors_at_each_place_of_its_maps():
    """At 300 px the maps have 19, 10, 5, 3, 2 and 1 places a side."""
    stage = some_anchors(
        scheme="ssd",
        strides=(16.0, 32.0, 64.0, 128.0, 256.0, 512.0),
        ratios=(1.0, 2.0, 0.5, 3.0, 1 / 3),
    )
    anchors = anchor_boxes(stage, (300, 300))
    assert len(anchors) == 6 * (361 + 100 + 25 + 9 + 4 + 1)
    assert anchors[0][2:] == pytest.approx([60.0, 60.0])
    assert anchors[5][2:] == pytest.approx([300 * math.sqrt(0.2 * 0.35)] * 2)


def test_offsets_of_nothing_are_the_anchors_and_one_moves_by_its_size():
    anchors = np.asarray([[10.0, 20.0, 4.0, 8.0]])
    assert decoded(np.zeros((1, 4)), anchors, (1.0,) * 4)[0] == pytest.approx([16, 8, 24, 12])
    offsets = np.asarray([[1.0, 0.5, math.log(2), 0.0]])
    assert decoded(offsets, anchors, (1.0,) * 4)[0] == pytest.approx([20, 10, 28, 18])
    assert decoded(offsets, anchors, (0.1, 0.1, 0.0, 0.2))[0] == pytest.approx(
        [16.4, 8.4, 24.4, 12.4]
    )


def test_an_anchor_head_gives_the_box_whose_score_is_high():
    stage = some_anchors(strides=(32.0,), ratios=(1.0,), octaves=1, anchor_scale=1.0)
    outputs = {"boxes": np.zeros((1, 4, 4)), "scores": np.full((1, 4, 2), -9.0)}
    outputs["scores"][0, 3, 1] = 3.0
    specs = tuple(TensorSpec(name=n, shape=v.shape, dtype="float32") for n, v in outputs.items())
    found = anchor_detector(stage, (), "", specs).result(outputs, shown())
    assert [(d["index"], d["box"]) for d in found["detections"]] == [(1, [32.0, 32.0, 64.0, 64.0])]
    assert found["detections"][0]["score"] == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-6)
    outputs = {name: value[:, :3] for name, value in outputs.items()}
    with pytest.raises(InferenceFailed, match="3 boxes, the anchors of this stage are 4"):
        anchor_detector(stage, (), "", specs).result(outputs, shown())


def test_the_background_is_no_class():
    stage = some_anchors(
        strides=(64.0,), ratios=(1.0,), octaves=1, activation="softmax", background=True
    )
    outputs = {"boxes": np.zeros((1, 1, 4)), "scores": np.asarray([[[9.0, 0.0, 1.0]]])}
    specs = tuple(TensorSpec(name=n, shape=v.shape, dtype="float32") for n, v in outputs.items())
    detector = anchor_detector(stage, (), "", specs)
    assert detector.result(outputs, shown())["detections"] == []
    outputs["scores"] = np.asarray([[[0.0, 0.0, 9.0]]])
    assert detector.result(outputs, shown())["detections"][0]["index"] == 1


TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def tagged(*tags):
    scores = np.full((len(tags), len(TAGS)), 0.0)
    for row, tag in enumerate(tags):
        scores[row, TAGS.index(tag)] = 1.0
    return scores


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (("O", "B-PER", "I-PER", "O"), [("PER", 1, 2)]),
        (("B-PER", "B-PER"), [("PER", 0, 0), ("PER", 1, 1)]),
        (("B-PER", "I-LOC", "I-LOC"), [("PER", 0, 0), ("LOC", 1, 2)]),
        (("I-LOC", "O", "B-LOC"), [("LOC", 0, 0), ("LOC", 2, 2)]),
        (("O", "O"), []),
        ((), []),
    ],
)
def test_entities_of_tags(tags, expected):
    found = entities(tagged(*tags).reshape(-1, len(TAGS)), TAGS)
    assert [(e.label, e.first, e.last) for e in found] == expected


def test_an_entity_is_led_back_to_its_text(tmp_path):
    (tmp_path / "tags.txt").write_text("\n".join(TAGS))
    reader = entity_reader(NamedEntities(labels="tags.txt", threshold=0.5), str(tmp_path), 5)
    text = "Ada is in Sofia"
    seen = Seen(
        feeds={}, text=text, spans=((0, 0), (0, 3), (4, 6), (7, 9), (10, 15), (0, 0), (0, 0))
    )
    scores = 20 * tagged("B-LOC", "B-PER", "O", "O", "B-LOC", "I-LOC", "I-LOC")
    found = reader.result({"y": scores[None]}, seen)["entities"]
    assert [(e["label"], e["text"], e["start"]) for e in found] == [
        ("PER", "Ada", 0),
        ("LOC", "Sofia", 10),
    ]


def test_tags_that_are_no_tags_are_refused(tmp_path):
    (tmp_path / "tags.txt").write_text("O\nPERSON\n")
    with pytest.raises(PipelineInvalid, match="PERSON"):
        entity_reader(NamedEntities(labels="tags.txt", threshold=0.0), str(tmp_path), 2)


@pytest.mark.parametrize(
    ("reduce", "above", "below", "value", "is_over"),
    [
        ("max", 2.5, None, 3.0, True),
        ("max", 3.0, None, 3.0, False),
        ("min", None, 1.5, 1.0, True),
        ("mean", 5.0, 1.0, 2.0, False),
        ("first", None, None, 2.0, False),
    ],
)
def test_a_threshold_judges_one_number(reduce, above, below, value, is_over):
    judge = ThresholdJudge(Threshold(reduce=reduce, above=above, below=below))
    found = judge.result({"y": np.asarray([2.0, 1.0, 3.0])}, Seen(feeds={}))
    assert found == {"kind": "threshold", "value": value, "is_over": is_over}


def test_an_anomaly_is_what_the_model_cannot_rebuild():
    judge = AnomalyScore(Anomaly(threshold=0.2, method="reconstruction"))
    seen = Seen(feeds={"x": np.asarray([[1.0, 2.0]])})
    assert judge.result({"y": np.asarray([[1.0, 3.0]])}, seen) == {
        "kind": "anomaly",
        "score": 0.5,
        "is_anomaly": True,
    }
    with pytest.raises(InferenceFailed, match="3 numbers for an input of 2"):
        judge.result({"y": np.zeros(3)}, seen)
    said = AnomalyScore(Anomaly(threshold=0.2, method="score"))
    assert not said.result({"y": np.asarray([0.1])}, seen)["is_anomaly"]
