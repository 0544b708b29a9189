"""How well a detector does on scenes that training never saw, and which of them make good goldens."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import reference
import torch
from average_precision import COCO_OVERLAPS, Box, mean_average_precision, overlap
from belt import scenes
from reference import Example

from edgeform_runtime.model import LoadedModel
from edgeform_wire import golden

SCENES = 300
LOW_SCORE = 0.05
"""Average precision looks at the whole curve, so boxes of little confidence count there."""
SURE, UNSURE = 0.6, 0.1
"""A golden's boxes score above the one or below the other: no device may decide otherwise by rounding."""


TENSORS = 2
MOST_TRIED = 300


def finish(
    folder: Path,
    network: torch.nn.Module,
    stages: Path,
    figures: Path,
    seconds: float,
    seed: int,
    encoded: int = 6,
) -> None:
    """Goldens and figures of a trained and exported detector; `encoded` of its goldens are pictures."""
    whole = json.loads(stages.read_text())
    whole["postprocess"]["threshold"] = LOW_SCORE
    with tempfile.TemporaryDirectory() as work:
        curve = Path(work, "stages.json")
        curve.write_text(json.dumps(whole))
        with reference.runtime(folder, curve) as model:
            quality = mean_precision(model)
            chosen = list(golden_scenes(model, TENSORS + encoded))
    with reference.runtime(folder, stages) as model:
        reference.write_goldens(model, network, folder, chosen[encoded:], chosen[:encoded])
        sample = chosen[0].content
        reference.write_figures(figures, model, network, folder, sample, seconds, seed, quality)


def mean_precision(model: LoadedModel) -> dict[str, object]:
    """mAP on the held-out split, and how many parts the pipeline itself, at its threshold, found rightly."""
    truth, found = [], []
    seen = wrong = 0
    for number in range(SCENES):
        scene = scenes.scene("held-out", number)
        truth += [
            Box(picture=number, label=scenes.LABELS[p.index], edges=p.box) for p in scene.parts
        ]
        told = reference.result_of(model, scenes.png(scene.pixels))["detections"]
        found += [
            Box(picture=number, label=d["label"], edges=tuple(d["box"]), score=d["score"])
            for d in told
        ]
    sure = [b for b in found if b.score >= 0.4]
    for box in sure:
        is_right = any(
            t.picture == box.picture and t.label == box.label and overlap(t.edges, box.edges) >= 0.5
            for t in truth
        )
        seen, wrong = seen + is_right, wrong + (not is_right)
    at_half, by_class = mean_average_precision(found, truth)
    whole, _ = mean_average_precision(found, truth, COCO_OVERLAPS)
    return {
        "held_out_scenes": SCENES,
        "held_out_parts": len(truth),
        "map_50": round(at_half, 4),
        "map_50_95": round(whole, 4),
        "ap_50": {label: round(value, 4) for label, value in by_class.items()},
        "at_score_0.4": {"right": seen, "wrong": wrong, "of": len(truth)},
    }


def golden_scenes(model: LoadedModel, count: int) -> Iterator[Example]:
    """Scenes that the network reads rightly and without doubt, with every class among the first ones."""
    given: set[str] = set()
    number = given_out = 0
    while given_out < count:
        if number == MOST_TRIED:
            raise SystemExit(f"only {given_out} of {number} scenes are read without doubt")
        scene = scenes.scene("golden", number)
        number += 1
        right = sorted(scenes.LABELS[p.index] for p in scene.parts)
        content = scenes.png(scene.pixels)
        told = reference.result_of(model, content)
        line = ", ".join(right)
        scores = [d["score"] for d in told["detections"]]
        is_sure = all(s > SURE or s < UNSURE for s in scores)
        told["detections"] = [d for d in told["detections"] if d["score"] > SURE]
        is_news = set(right) - given or given == set(scenes.LABELS)
        if is_sure and is_news and golden.answer_line(told) == line:
            given |= set(right)
            given_out += 1
            yield Example(content=content, ending=".png", line=line)
