"""Train the EfficientDet-style detector of parts on a belt, and write model, labels, goldens and figures.

    PYTHONPATH=../../../runtime env/bin/python -m belt.train_anchors

Loss: focal loss for classes (Lin et al., arXiv 1708.02002, alpha 0.25, gamma 1.5 as in EfficientDet), Huber
loss for offsets. Anchors are the runtime's own, so that training and device cannot count them differently.
"""

from pathlib import Path

import numpy as np
import reference
import torch
from belt import examples, measure, scenes
from belt.anchors_network import INPUT_PX, BeltAnchors
from belt.yolo_loss import overlap
from torch.nn import functional as f

from edgeform_runtime.pipeline.postprocess import Anchors
from edgeform_runtime.stages.postprocess.anchors import anchor_boxes

HERE = Path(__file__).resolve().parent
STAGES = HERE / "anchors.json"
SEED = 20_241_129
SCENES, EPOCHS, BATCH = 2000, 24, 16
ALPHA, GAMMA = 0.25, 1.5
HUBER, BOX_WEIGHT = 0.1, 50.0
IS_PART, IS_NONE = 0.5, 0.4
"""An anchor is a part's from the one overlap on, and nobody's below the other."""


class Matched:
    """Which anchor answers for which part, and the offsets that would be right."""

    def __init__(self, stage: Anchors) -> None:
        found = torch.from_numpy(anchor_boxes(stage, (INPUT_PX, INPUT_PX)).astype(np.float32))
        self.middles, self.sides = found[:, :2], found[:, 2:]
        half = self.sides / 2
        self.corners = torch.cat((self.middles - half, self.middles + half), 1)[:, [1, 0, 3, 2]]

    def __call__(self, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, anchors) classes, -1 for none and -2 for those that are not asked; (n, anchors, 4)."""
        shared = overlap(self.corners[None, None], truth[:, :, None, 1:])
        shared = torch.where(truth[..., :1] >= 0, shared, -torch.ones_like(shared))
        most, owner = shared.max(1)
        best = shared.argmax(2)  # each part has at least its best anchor
        for place in range(truth.shape[1]):
            rows = torch.nonzero(truth[:, place, 0] >= 0).flatten()
            owner[rows, best[rows, place]] = place
            most[rows, best[rows, place]] = 1.0
        kinds = truth[..., 0].gather(1, owner)
        kinds = torch.where(most >= IS_PART, kinds, torch.where(most < IS_NONE, -1.0, -2.0))
        boxes = truth[..., 1:].gather(1, owner[..., None].expand(-1, -1, 4))
        low, high = boxes[..., [1, 0]], boxes[..., [3, 2]]
        away = ((low + high) / 2 - self.middles) / self.sides
        grown = torch.log((high - low).clamp(min=1.0) / self.sides)
        return kinds.long(), torch.cat((away, grown), 2)


def loss_of(
    network: BeltAnchors, matched: Matched, pictures: torch.Tensor, truth: torch.Tensor
) -> torch.Tensor:
    offsets, scores = network(pictures)
    kinds, aims = matched(truth)
    is_part = kinds >= 0
    total = is_part.sum().clamp(min=1)
    wanted = f.one_hot(kinds.clamp(min=0), network.classes).float() * is_part[..., None]
    plain = f.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
    sure = torch.exp(-plain)
    weight = (ALPHA * wanted + (1 - ALPHA) * (1 - wanted)) * (1 - sure).pow(GAMMA)
    class_loss = (plain * weight)[kinds != -2].sum() / total
    box_loss = f.huber_loss(offsets[is_part], aims[is_part], delta=HUBER, reduction="sum")
    return class_loss + BOX_WEIGHT * box_loss / (4 * total)


def main() -> None:
    folder = reference.model_folder("belt-anchors")
    print("rendering", flush=True)
    stages = reference.stages_in(STAGES)
    assert isinstance(stages.postprocess, Anchors)
    matched = Matched(stages.postprocess)
    pictures, truth = examples.training_set(stages, SCENES, INPUT_PX)
    network = reference.trained(SEED, lambda: BeltAnchors(len(scenes.LABELS)))
    rng = np.random.default_rng(SEED)

    def loss(places: torch.Tensor) -> torch.Tensor:
        return loss_of(network, matched, *examples.mirrored(pictures[places], truth[places], rng))

    seconds = reference.fit(network, loss, SCENES, batch=BATCH, epochs=EPOCHS, rate=4e-3)
    sample = torch.zeros(1, 3, INPUT_PX, INPUT_PX)
    reference.export(network, sample, folder, "images", ["boxes", "scores"])
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in scenes.LABELS))
    figures = HERE / "figures-anchors.json"
    measure.finish(folder, network, STAGES, figures, seconds, SEED, encoded=4)


if __name__ == "__main__":
    main()
