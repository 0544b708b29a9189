"""Pressed parts under a lamp: 192x192 pictures of brushed metal that is good, scratched, dented or stained.

Every picture follows from its split and number. A part is a plate with a rim and holes; its metal, brush
direction, light and position differ. Good parts have what could be taken for a fault: brush marks,
reflections, holes, the rim.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE_PX = 192
LABELS = ("good", "scratch", "dent", "stain")
SPLITS = {"train": 1, "held-out": 2, "golden": 3}
FINE = 3
MARGIN_PX = 34
"""No fault is nearer to the edge of the picture."""


def scene(split: str, number: int) -> tuple[np.ndarray, str]:
    """(192, 192, 3) uint8 RGB, and its label; the four labels take turns."""
    rng = np.random.default_rng([SPLITS[split], number])
    label = LABELS[number % len(LABELS)]
    metal = _metal(rng)
    if label == "scratch":
        metal = _scratched(metal, rng)
    elif label == "dent":
        metal = _dented(metal, rng)
    elif label == "stain":
        metal = _stained(metal, rng)
    return _seen(_pressed(metal, rng), rng), label


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _grid() -> tuple[np.ndarray, np.ndarray]:
    across, down = np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX))
    return across, down


def _metal(rng: np.random.Generator) -> np.ndarray:
    """(192, 192) from 0 to 1: brushed in one direction, lit from one side."""
    across, down = _grid()
    turn = float(rng.uniform(-0.3, 0.3))
    along = across * np.sin(turn) + down * np.cos(turn)
    lines = rng.normal(0, 1, 3 * SIDE_PX)
    brushed = np.interp(along + SIDE_PX, np.arange(3 * SIDE_PX), lines)
    light = across * float(rng.uniform(-1, 1)) + down * float(rng.uniform(-1, 1))
    shade = float(rng.uniform(0.4, 0.65)) + 0.12 * light / SIDE_PX
    return shade + float(rng.uniform(0.01, 0.03)) * brushed


def _place(rng: np.random.Generator) -> tuple[float, float]:
    x, y = rng.uniform(MARGIN_PX, SIDE_PX - MARGIN_PX, 2)
    return float(x), float(y)


def _scratched(metal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One to three thin bright lines, a little bent, with a dark side."""
    for _ in range(int(rng.integers(1, 4))):
        (x, y), turn = _place(rng), float(rng.uniform(0.5, 2.64))
        length, bend = float(rng.uniform(35, 100)), float(rng.uniform(-0.4, 0.4))
        steps = np.linspace(-0.5, 0.5, 12)
        angles = turn + bend * steps
        points = np.stack(
            (x + length * steps * np.cos(angles), y + length * steps * np.sin(angles))
        )
        mask = Image.new("L", (SIDE_PX * FINE,) * 2)
        width = int(rng.integers(4, 8))
        ImageDraw.Draw(mask).line([tuple(p) for p in (points * FINE).T], 255, width)
        line = np.asarray(mask.resize((SIDE_PX,) * 2, Image.Resampling.BOX), np.float64) / 255
        depth = float(rng.uniform(0.18, 0.4))
        metal = metal + depth * line - 0.5 * depth * np.roll(line, (2, 1), (0, 1))
    return metal


def _dented(metal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A round hollow: the side towards the lamp is dark, the other bright."""
    across, down = _grid()
    (x, y), wide = _place(rng), float(rng.uniform(9, 20))
    turn, depth = float(rng.uniform(0, 6.28)), float(rng.uniform(0.18, 0.35))
    near = np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * wide**2))
    slope = ((across - x) * np.cos(turn) + (down - y) * np.sin(turn)) / wide
    return metal + depth * 1.6 * slope * near


def _stained(metal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A dark spot of oil with an uneven edge."""
    (x, y), wide = _place(rng), float(rng.uniform(12, 26))
    angles = np.linspace(0, 6.2832, 40, endpoint=False)
    rough = 1 + sum(
        float(rng.uniform(0, 0.2)) * np.cos(n * angles + float(rng.uniform(0, 6.28)))
        for n in range(2, 6)
    )
    edge = np.stack((x + wide * rough * np.cos(angles), y + wide * rough * np.sin(angles)), 1)
    mask = Image.new("L", (SIDE_PX,) * 2)
    ImageDraw.Draw(mask).polygon([tuple(p) for p in edge], fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(float(rng.uniform(1.0, 3.0))))
    return metal * (1 - float(rng.uniform(0.2, 0.45)) * np.asarray(soft, np.float64) / 255)


def _pressed(metal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The plate with rim and holes on a dark table."""
    low, high = rng.uniform(6, 22, 2), SIDE_PX - rng.uniform(6, 22, 2)
    plate = Image.new("L", (SIDE_PX,) * 2)
    draw = ImageDraw.Draw(plate)
    draw.rounded_rectangle((*low, *high), float(rng.uniform(4, 18)), fill=255)
    hole = float(rng.uniform(3, 7))
    for corner in range(int(rng.integers(0, 5))):
        x = (low[0] + 14, high[0] - 14)[corner % 2]
        y = (low[1] + 14, high[1] - 14)[corner // 2 % 2]
        draw.ellipse((x - hole, y - hole, x + hole, y + hole), fill=0)
    soft = np.asarray(plate.filter(ImageFilter.GaussianBlur(0.8)), np.float64) / 255
    table = float(rng.uniform(0.05, 0.2))
    shine = soft - np.asarray(plate.filter(ImageFilter.GaussianBlur(4)), np.float64) / 255
    return table + (metal - table) * soft + 0.2 * shine


def _seen(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    coarse = np.kron(rng.normal(0, 0.012, (SIDE_PX // 2,) * 2), np.ones((2, 2)))
    tint = rng.uniform(0.94, 1.0, 3)
    colours = (grey + coarse)[:, :, None] * tint * float(rng.uniform(0.8, 1.2))
    levels = np.rint(np.clip(colours, 0, 1) * 255 / 4) * 4
    return np.minimum(levels, 255).astype(np.uint8)
