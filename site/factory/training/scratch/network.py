"""A MobileNetV3-like classifier, scaled down: inverted residuals with hard swish, squeeze and excitation.

Written from Howard et al., Searching for MobileNetV3 (arXiv 1905.02244) and Sandler et al., MobileNetV2
(arXiv 1801.04381).
"""

import torch
from torch import nn

INPUT_PX = 96
STEM, HEAD = 12, 96
BLOCKS = (
    (12, 1, 1, False),
    (16, 3, 2, False),
    (16, 3, 1, False),
    (24, 3, 2, True),
    (24, 3, 1, True),
    (40, 4, 2, True),
    (40, 4, 1, True),
)
"""(channels, expansion, stride, whether channels are weighed) of each block."""


class Weigh(nn.Module):
    """Squeeze and excitation, with the hard sigmoid of MobileNetV3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(8, channels // 4)
        self.squeeze, self.excite = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * nn.functional.hardsigmoid(self.excite(inner))


class Mobile(nn.Module):
    def __init__(
        self, before: int, after: int, expansion: int, stride: int, *, weighs: bool
    ) -> None:
        super().__init__()
        wide = before * expansion
        self.grow = nn.Sequential(
            nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish()
        )
        self.look = nn.Sequential(
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.Hardswish(),
        )
        self.weigh = Weigh(wide) if weighs else nn.Identity()
        self.shrink = nn.Sequential(nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after))
        self.keeps_shape = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.shrink(self.weigh(self.look(self.grow(x))))
        return x + y if self.keeps_shape else y


class SurfaceNet(nn.Module):
    """(n, 1, 96, 96) normalised grey to (n, classes) logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM), nn.Hardswish()
        )
        blocks, before = [], STEM
        for after, expansion, stride, weighs in BLOCKS:
            blocks.append(Mobile(before, after, expansion, stride, weighs=weighs))
            before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Linear(before, HEAD), nn.Hardswish(), nn.Linear(HEAD, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))
