"""An autoencoder of log-mel features: what it never learned to say again, it says again badly.

The idea is that of the baseline of DCASE's machine condition monitoring (Koizumi et al., arXiv 2006.05822);
the network is our own: each frame with its neighbours is squeezed through a few numbers, all frames of a
second at once.
"""

import torch
from torch import nn

FRAMES, MELS = 60, 32
AROUND = 5
"""Frames that are looked at together."""
WIDTH, NARROW = 96, 6


class HumCoder(nn.Module):
    """(n, 1, 60, 32) scaled log-mel to what is left of it after the narrow place, of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        # Mels are channels: a convolution over time is one small network that all frames share.
        self.squeeze = nn.Sequential(
            nn.Conv1d(MELS, WIDTH, AROUND, padding=AROUND // 2),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.Conv1d(WIDTH, WIDTH, 1),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.Conv1d(WIDTH, NARROW, 1),
        )
        self.widen = nn.Sequential(
            nn.Conv1d(NARROW, WIDTH, 1),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.Conv1d(WIDTH, WIDTH, 1),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.Conv1d(WIDTH, MELS, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.squeeze(1).transpose(1, 2)
        return self.widen(self.squeeze(rows)).transpose(1, 2).unsqueeze(1)
