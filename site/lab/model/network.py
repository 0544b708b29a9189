"""The lab's network: depthwise separable blocks with residuals, as in MobileNetV2, for 64x64 grey."""

import torch
from torch import nn

BLOCKS = ((1, 16, 1), (4, 24, 2), (4, 24, 1), (4, 32, 2), (4, 32, 1), (4, 48, 2))
"""(expansion, channels, stride) of each block."""
STEM_CHANNELS = 16
HEAD_CHANNELS = 128


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = before * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [nn.Conv2d(before, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, after, 1, bias=False),
            nn.BatchNorm2d(after),
        ]
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.is_residual else self.layers(x)


class DigitNet(nn.Module):
    """(n, 1, 64, 64) normalised float32 to (n, 10) logits."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(1, STEM_CHANNELS, 3, 2, 1, bias=False),
            nn.BatchNorm2d(STEM_CHANNELS),
            nn.ReLU6(),
        ]
        channels = STEM_CHANNELS
        for expansion, after, stride in BLOCKS:
            layers.append(Block(channels, after, stride, expansion))
            channels = after
        layers += [
            nn.Conv2d(channels, HEAD_CHANNELS, 1, bias=False),
            nn.BatchNorm2d(HEAD_CHANNELS),
            nn.ReLU6(),
        ]
        self.features = nn.Sequential(*layers)
        self.classify = nn.Linear(HEAD_CHANNELS, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(x).mean((2, 3)))
