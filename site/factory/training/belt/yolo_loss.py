"""What the YOLO-shaped network is trained for, from the papers that describe each part.

Which cells answer for a part is chosen by how well they already do, score and overlap together (Feng et
al., TOOD, arXiv 2108.07755). Boxes are judged by complete intersection over union (Zheng et al., arXiv
1911.08287), sides by the distribution loss of Li et al. (arXiv 2006.04388), classes by cross entropy
against the quality of the box.
"""

import math

import torch
from belt.yolo_network import BINS, BeltYolo
from torch.nn import functional as f

CANDIDATES = 10
SCORE_POWER, OVERLAP_POWER = 0.5, 6.0
BOX_WEIGHT, CLASS_WEIGHT, SIDE_WEIGHT = 7.5, 0.5, 1.5
SMALL = 1e-7


def overlap(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes (..., 4), element by element."""
    low = torch.maximum(one[..., :2], other[..., :2])
    high = torch.minimum(one[..., 2:], other[..., 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    areas = [(b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1) for b in (one, other)]
    return inside / (areas[0] + areas[1] - inside + SMALL)


def complete_overlap(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Overlap, less the distance of the middles and the difference of the proportions."""
    shared = overlap(one, other)
    hull = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    apart = (one[..., :2] + one[..., 2:] - other[..., :2] - other[..., 2:]).pow(2).sum(-1) / 4
    sides = [(b[..., 2:] - b[..., :2]).clamp(min=SMALL) for b in (one, other)]
    lean = [torch.atan(s[..., 0] / s[..., 1]) for s in sides]
    shape = 4 / math.pi**2 * (lean[0] - lean[1]).pow(2)
    with torch.no_grad():
        weight = shape / (1 - shared + shape + SMALL)
    return shared - apart / (hull.pow(2).sum(-1) + SMALL) - weight * shape


@torch.no_grad()
def assign(
    scores: torch.Tensor, boxes: torch.Tensor, middles: torch.Tensor, truth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which part each cell answers for, and how well it should say so.

    Args:
        scores: (n, cells, classes) probabilities. boxes: (n, cells, 4). middles: (cells, 2) pixels.
        truth: (n, parts, 5) of class and box; a class of -1 is no part.

    Returns:
        (n, cells) places in `truth` (-1 none), and (n, cells) aims from 0 to 1.
    """
    is_part = truth[..., 0] >= 0
    kinds = truth[..., 0].clamp(min=0).long()
    score = scores.transpose(1, 2).gather(1, kinds[..., None].expand(-1, -1, scores.shape[1]))
    shared = overlap(boxes[:, None], truth[:, :, None, 1:])
    fits = score.pow(SCORE_POWER) * shared.pow(OVERLAP_POWER)
    inside = (middles > truth[:, :, None, 1:3]).all(-1) & (middles < truth[:, :, None, 3:5]).all(-1)
    fits = fits * inside * is_part[..., None]
    best = fits.topk(CANDIDATES, dim=2)
    chosen = torch.zeros_like(fits).scatter(2, best.indices, 1.0) * (fits > 0)
    claimed = torch.where(chosen > 0, shared, -torch.ones_like(shared))
    owner = claimed.argmax(1)
    owned = claimed.amax(1) >= 0
    mine = f.one_hot(owner, truth.shape[1]).transpose(1, 2) * chosen
    top_fit = (fits * mine).amax(2, keepdim=True)
    top_shared = (shared * mine).amax(2, keepdim=True)
    aims = (fits * mine / (top_fit + SMALL) * top_shared).amax(1)
    return torch.where(owned, owner, -1), aims


def loss_of(network: BeltYolo, pictures: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The loss of a batch; truth as in `assign`."""
    sides, classes = network.heads(pictures)
    boxes = network.corners(sides)
    middles = network.centres * network.strides
    owner, aims = assign(classes.sigmoid(), boxes.detach(), middles, truth)
    total = aims.sum().clamp(min=1.0)
    kinds = truth[..., 0].gather(1, owner.clamp(min=0)).long()
    wanted = f.one_hot(kinds.clamp(min=0), network.classes) * aims[..., None]
    class_loss = f.binary_cross_entropy_with_logits(classes, wanted, reduction="sum") / total
    rows, places = torch.nonzero(owner >= 0, as_tuple=True)
    aim = aims[rows, places]
    target = truth[rows, owner[rows, places], 1:]
    box_loss = ((1 - complete_overlap(boxes[rows, places], target)) * aim).sum() / total
    cell = network.centres[places]
    in_strides = target / network.strides[places]
    away = torch.cat((cell - in_strides[:, :2], in_strides[:, 2:] - cell), 1)
    side_loss = (_side_loss(sides[rows, places], away) * aim).sum() / total
    return BOX_WEIGHT * box_loss + CLASS_WEIGHT * class_loss + SIDE_WEIGHT * side_loss


def _side_loss(logits: torch.Tensor, away: torch.Tensor) -> torch.Tensor:
    """Cross entropy against the two whole distances around the true one; mean of the four sides."""
    away = away.clamp(0, BINS - 1.01)
    lower = away.floor()
    share = away - lower
    flat = logits.reshape(-1, BINS)
    below = f.cross_entropy(flat, lower.flatten().long(), reduction="none").view_as(away)
    above = f.cross_entropy(flat, lower.flatten().long() + 1, reduction="none").view_as(away)
    return (below * (1 - share) + above * share).mean(1)
