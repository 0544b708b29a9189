"""Scenes as a network sees them: through the runtime's own preprocessing, with boxes moved alike."""

import numpy as np
import torch
from belt import scenes

from edgeform_runtime.pipeline import Stages
from edgeform_runtime.stages import preprocess


def training_set(stages: Stages, count: int, input_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(count, 3, side, side) inputs, and (count, parts, 5) of class and box in pixels of the input.

    A class of -1 is no part.
    """
    pictures, truth = [], np.full((count, scenes.MOST_PARTS, 5), -1.0, np.float32)
    ratio = input_px / scenes.WIDTH_PX
    top = (input_px - round(scenes.HEIGHT_PX * ratio)) // 2
    for n in range(count):
        scene = scenes.scene("train", n)
        pictures.append(preprocess.apply(scene.pixels, stages.preprocess)[0])
        for place, part in enumerate(scene.parts):
            box = np.asarray(part.box) * ratio + np.array([0, top, 0, top])
            truth[n, place] = (part.index, *box)
    return torch.from_numpy(np.stack(pictures)), torch.from_numpy(truth)


def mirrored(
    pictures: torch.Tensor, truth: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch turned over left to right and top to bottom by chance, and a little lighter or darker."""
    side = pictures.shape[-1]
    for dimension, edges in ((3, (1, 3)), (2, (2, 4))):
        turned = torch.from_numpy(rng.random(len(pictures)) < 0.5)
        if not turned.any():
            continue
        pictures = torch.where(turned[:, None, None, None], pictures.flip(dimension), pictures)
        moved = truth.clone()
        moved[..., edges[0]] = side - truth[..., edges[1]]
        moved[..., edges[1]] = side - truth[..., edges[0]]
        truth = torch.where(turned[:, None, None], moved, truth)
    light = torch.from_numpy(rng.uniform(0.85, 1.15, (len(pictures), 1, 1, 1)).astype(np.float32))
    return (pictures * light).clamp(0, 1), truth
