"""A YOLOv8n-shaped detector, scaled down: the same parts in the same order, with fewer channels.

Written from public descriptions, with no line of any implementation: cross-stage partial blocks (Wang et
al., CSPNet, arXiv 1911.11929) with every inner step kept (the shape known as C2f), pyramid pooling by
repeated 5x5 maxima (He et al., arXiv 1406.4729), a path aggregation neck (Liu et al., arXiv 1803.01534),
and heads without anchors that tell each side of a box as a distribution over 16 distances (Li et al.,
Generalized Focal Loss, arXiv 2006.04388).

    picture -> s2 -> s4 -> s8 = p3 -> s16 = p4 -> s32 = p5 -> neck -> heads at 8, 16 and 32
"""

import torch
from torch import nn

INPUT_PX = 128
STRIDES = (8, 16, 32)
BINS = 16
"""A side is 0 to 15 strides away from the middle of its cell."""
WIDTHS = (8, 16, 32, 48, 64)
"""Channels at strides 2, 4, 8, 16, 32; YOLOv8n has 16, 32, 64, 128, 256."""
HEAD = 32


def conv(before: int, after: int, side: int = 1, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.SiLU(),
    )


class Bottleneck(nn.Module):
    def __init__(self, channels: int, *, is_residual: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv(channels, channels, 3), conv(channels, channels, 3))
        self.is_residual = is_residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.is_residual else self.layers(x)


class Split(nn.Module):
    """Half of the channels goes through the bottlenecks; what each step gave is kept and mixed in the end."""

    def __init__(self, before: int, after: int, steps: int, *, is_residual: bool) -> None:
        super().__init__()
        half = after // 2
        self.enter = conv(before, 2 * half)
        self.steps = nn.ModuleList(Bottleneck(half, is_residual=is_residual) for _ in range(steps))
        self.leave = conv((2 + steps) * half, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = list(self.enter(x).chunk(2, 1))
        for step in self.steps:
            kept.append(step(kept[-1]))
        return self.leave(torch.cat(kept, 1))


class PyramidPool(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = conv(channels, channels // 2)
        self.leave = conv(2 * channels, channels)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = [self.enter(x)]
        for _ in range(3):
            kept.append(self.pool(kept[-1]))
        return self.leave(torch.cat(kept, 1))


def head(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(conv(before, HEAD, 3), conv(HEAD, HEAD, 3), nn.Conv2d(HEAD, after, 1))


class BeltYolo(nn.Module):
    """(n, 3, 128, 128) from 0 to 1 to (n, 4 + classes, 336): centre, size in pixels, probabilities."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        one, two, three, four, five = WIDTHS
        self.start = nn.Sequential(
            conv(3, one, 3, 2), conv(one, two, 3, 2), Split(two, two, 1, is_residual=True)
        )
        self.to_p3 = nn.Sequential(conv(two, three, 3, 2), Split(three, three, 2, is_residual=True))
        self.to_p4 = nn.Sequential(conv(three, four, 3, 2), Split(four, four, 2, is_residual=True))
        self.to_p5 = nn.Sequential(
            conv(four, five, 3, 2), Split(five, five, 1, is_residual=True), PyramidPool(five)
        )
        self.up4 = Split(five + four, four, 1, is_residual=False)
        self.up3 = Split(four + three, three, 1, is_residual=False)
        self.down3 = conv(three, three, 3, 2)
        self.down4 = Split(three + four, four, 1, is_residual=False)
        self.step4 = conv(four, four, 3, 2)
        self.down5 = Split(four + five, five, 1, is_residual=False)
        self.boxes = nn.ModuleList(head(width, 4 * BINS) for width in (three, four, five))
        self.scores = nn.ModuleList(head(width, classes) for width in (three, four, five))
        for level in self.scores:
            nn.init.constant_(level[-1].bias, -4.0)  # nearly nothing is a part, to begin with
        centres, strides = cells()
        self.register_buffer("centres", centres)
        self.register_buffer("strides", strides)
        self.register_buffer("distances", torch.arange(BINS, dtype=torch.float32))
        self.larger = nn.Upsample(scale_factor=2.0, mode="nearest")

    def heads(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 336, 4, 16) logits of distances, and (n, 336, classes) logits of classes."""
        p3 = self.to_p3(self.start(x))
        p4 = self.to_p4(p3)
        p5 = self.to_p5(p4)
        n4 = self.up4(torch.cat((self.larger(p5), p4), 1))
        n3 = self.up3(torch.cat((self.larger(n4), p3), 1))
        m4 = self.down4(torch.cat((self.down3(n3), n4), 1))
        m5 = self.down5(torch.cat((self.step4(m4), p5), 1))
        levels = (n3, m4, m5)
        sides = [part(f).flatten(2) for part, f in zip(self.boxes, levels, strict=True)]
        classes = [part(f).flatten(2) for part, f in zip(self.scores, levels, strict=True)]
        found = torch.cat(sides, 2).transpose(1, 2)
        return (
            found.reshape(-1, found.shape[1], 4, BINS),
            torch.cat(classes, 2).transpose(1, 2),
        )

    def corners(self, sides: torch.Tensor) -> torch.Tensor:
        """(n, 336, 4) of (x1, y1, x2, y2) in pixels, from the logits of distances."""
        away = sides.softmax(3) @ self.distances
        low, high = away.chunk(2, 2)
        return torch.cat((self.centres - low, self.centres + high), 2) * self.strides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides, classes = self.heads(x)
        low, high = self.corners(sides).chunk(2, 2)
        rows = torch.cat(((low + high) / 2, high - low, classes.sigmoid()), 2)
        return rows.transpose(1, 2)


def cells() -> tuple[torch.Tensor, torch.Tensor]:
    """(336, 2) middles of the cells in strides, and (336, 1) strides in pixels."""
    centres, strides = [], []
    for stride in STRIDES:
        places = torch.arange(INPUT_PX // stride) + 0.5
        down, across = torch.meshgrid(places, places, indexing="ij")
        centres.append(torch.stack((across.flatten(), down.flatten()), 1))
        strides.append(torch.full((places.numel() ** 2, 1), float(stride)))
    return torch.cat(centres), torch.cat(strides)
