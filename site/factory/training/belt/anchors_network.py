"""An EfficientDet-style detector, scaled down: a MobileNet backbone, a BiFPN, anchors.

Written from the papers: inverted residuals with squeeze and excitation and swish as in EfficientNet (Tan
and Le, arXiv 1905.11946); the weighted pyramid that goes down and up again with fast normalised fusion,
heads of separable convolutions shared by all levels with a normalisation of their own for each, and anchors
of octaves and ratios (Tan, Pang and Le, EfficientDet, arXiv 1911.09070). Smaller: three levels (8, 16, 32),
two pyramids, 32 channels.
"""

import math

import torch
from torch import nn

INPUT_PX = 128
STRIDES = (8, 16, 32)
ANCHORS = 6
"""At each place: two octaves of three ratios."""
WIDTH = 32
PYRAMIDS = 2
BLOCKS = ((16, 1, 2), (24, 4, 2), (24, 4, 1), (40, 4, 2), (40, 4, 1), (64, 4, 2), (64, 4, 1))
"""(channels, expansion, stride), after a stem of stride 2."""
LEVELS = (2, 4, 6)
"""Blocks whose outputs have strides 8, 16 and 32."""
STEM = 8
SMALL = 1e-4
RARE = 0.01
"""The share of anchors that are parts, to begin with (arXiv 1708.02002 §4.1)."""


def unit(
    before: int, after: int, side: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
    ]


class Excite(nn.Module):
    """Weighs channels by what the whole picture has of them."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 1), nn.SiLU(), nn.Conv2d(inner, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.layers(x.mean((2, 3), keepdim=True))


class Inverted(nn.Module):
    def __init__(self, before: int, after: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = before * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [*unit(before, inner), nn.SiLU()]
        layers += [*unit(inner, inner, 3, stride, inner), nn.SiLU()]
        layers += [Excite(inner, max(4, before // 4)), *unit(inner, after)]
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.is_residual else self.layers(x)


class Fuse(nn.Module):
    """A weighted mean of maps of one size, then a separable convolution."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))
        self.after = nn.Sequential(
            nn.SiLU(), nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, groups=WIDTH), *unit(WIDTH, WIDTH)
        )

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        weights = self.weights.relu()
        weights = weights / (weights.sum() + SMALL)
        mixed = sum(weights[n] * one for n, one in enumerate(maps))
        return self.after(mixed)


class Pyramid(nn.Module):
    """One BiFPN of three levels: down from the coarse, then up again, with the inputs in between."""

    def __init__(self) -> None:
        super().__init__()
        self.down4, self.down3 = Fuse(2), Fuse(2)
        self.up4, self.up5 = Fuse(3), Fuse(2)
        self.larger = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.smaller = nn.MaxPool2d(3, 2, 1)

    def forward(
        self, p3: torch.Tensor, p4: torch.Tensor, p5: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        middle = self.down4(p4, self.larger(p5))
        fine = self.down3(p3, self.larger(middle))
        both = self.up4(p4, middle, self.smaller(fine))
        return fine, both, self.up5(p5, self.smaller(both))


class Head(nn.Module):
    """Two separable convolutions and one that tells; only the normalisations differ by level."""

    def __init__(self, numbers: int, *, bias: float = 0.0) -> None:
        super().__init__()
        self.numbers = numbers
        self.steps = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, groups=WIDTH), nn.Conv2d(WIDTH, WIDTH, 1)
            )
            for _ in range(2)
        )
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(WIDTH) for _ in range(2)) for _ in STRIDES
        )
        self.tell = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, groups=WIDTH),
            nn.Conv2d(WIDTH, ANCHORS * numbers, 1),
        )
        nn.init.constant_(self.tell[-1].bias, bias)

    def forward(self, levels: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(n, anchors, numbers): levels, rows, columns, then the anchors of a place."""
        told = []
        for level, x in enumerate(levels):
            for step, norm in zip(self.steps, self.norms[level], strict=True):
                x = nn.functional.silu(norm(step(x)))
            rows = self.tell(x).permute(0, 2, 3, 1)
            told.append(rows.reshape(rows.shape[0], -1, self.numbers))
        return torch.cat(told, 1)


class BeltAnchors(nn.Module):
    """(n, 3, 128, 128) from 0 to 1 to offsets (n, 2016, 4) and class logits (n, 2016, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.stem = nn.Sequential(*unit(3, STEM, 3, 2), nn.SiLU())
        blocks, before = [], STEM
        for after, expansion, stride in BLOCKS:
            blocks.append(Inverted(before, after, expansion, stride))
            before = after
        self.blocks = nn.ModuleList(blocks)
        self.enter = nn.ModuleList(nn.Sequential(*unit(BLOCKS[n][0], WIDTH)) for n in LEVELS)
        self.pyramids = nn.ModuleList(Pyramid() for _ in range(PYRAMIDS))
        self.boxes = Head(4)
        self.scores = Head(classes, bias=-math.log((1 - RARE) / RARE))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(x)
        levels = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in LEVELS:
                levels.append(self.enter[len(levels)](x))
        fused = tuple(levels)
        for pyramid in self.pyramids:
            fused = pyramid(*fused)
        return self.boxes(fused), self.scores(fused)
