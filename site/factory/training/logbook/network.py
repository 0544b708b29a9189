"""A tagger of characters whose words stay whole: dilated convolutions, then a mean over each word.

Dilated convolutions over a line are after Strubell et al. (arXiv 1702.02098). What a word is, letters and
digits between other signs, the network finds by itself; all characters of a word get one type, and only its
first may begin an entity.
"""

import torch
from torch import nn

WIDTH = 48
DILATIONS = (1, 2, 4, 8, 2, 1)
"""Each character sees 36 to either side in the end."""
NEVER = 20.0
HIDDEN = 0.04
"""The share of characters that are hidden in training, so that spelling alone decides nothing."""


class Layer(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(WIDTH, WIDTH, 5, padding=2 * dilation, dilation=dilation),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.Dropout(0.2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


class LogbookTagger(nn.Module):
    """(n, 128) numbers of characters, int64, to (n, 128, 1 + 2 * types) logits: O, then B and I of each.

    Args:
        alphabet: what the numbers stand for; the second is the unknown one.
    """

    def __init__(self, alphabet: tuple[str, ...], types: int) -> None:
        super().__init__()
        marks = [0.0 if character.isalnum() else 1.0 for character in alphabet]
        self.register_buffer("marks", torch.tensor(marks))
        self.embed = nn.Embedding(len(alphabet), WIDTH)
        self.layers = nn.Sequential(*(Layer(dilation) for dilation in DILATIONS))
        self.mix = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())
        self.kinds = nn.Linear(WIDTH, 1 + types)
        self.begins = nn.Linear(WIDTH, types)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        marks = self.marks[x]
        words = (
            2 * marks.cumsum(1) - marks
        )  # a sign has a number of its own, and so has what follows
        if self.training:
            x = torch.where(torch.rand(x.shape) < HIDDEN, torch.ones_like(x), x)
        seen = self.layers(self.embed(x).transpose(1, 2)).transpose(1, 2)
        same = (words[:, :, None] == words[:, None, :]).float()
        whole = self.mix((same / same.sum(2, keepdim=True)) @ seen)
        kinds, begins = self.kinds(whole), self.begins(whole)
        before = torch.cat((words[:, :1] - 1, words[:, :-1]), 1)
        inside = (words == before).float()[..., None]
        # The better of B and I is as good as the type itself, so that no word falls apart.
        first = kinds[..., 1:] - torch.relu(-begins) - NEVER * inside
        later = kinds[..., 1:] - torch.relu(begins) * (1 - inside)
        return torch.cat((kinds[..., :1], torch.stack((first, later), -1).flatten(2)), 2)
