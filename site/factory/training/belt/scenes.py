"""What lies on a conveyor belt: 320x240 pictures of discs, plates and wedges, with the box of each.

Every scene follows from its split and number. Parts lie anywhere, in any direction, in many greys and
tints, on a belt with ribs, stains, uneven light and noise; they may touch, but hardly overlap. Lines and
specks that are no part lie there too. Boxes are those of the drawn outline, in pixels of the picture.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH_PX, HEIGHT_PX = 320, 240
LABELS = ("disc", "plate", "wedge")
SPLITS = {"train": 1, "held-out": 2, "golden": 3}
"""Seeds of the splits: no scene of one is in another."""
MOST_PARTS = 4
STEP_LEVELS = 4
FINE = 3
"""Outlines are drawn that much larger, then reduced, so that edges are smooth."""
TRIES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part: its class as a place in LABELS, and (x1, y1, x2, y2)."""

    index: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    pixels: np.ndarray
    """(240, 320, 3) uint8 RGB."""
    parts: tuple[Part, ...]


def scene(split: str, number: int) -> Scene:
    """The scene of that number; always the same one."""
    rng = np.random.default_rng([SPLITS[split], number])
    canvas = Image.fromarray(np.rint(_belt(rng) * 255).astype(np.uint8))
    _clutter(canvas, rng)
    found: list[Part] = []
    for _ in range(int(rng.integers(1, MOST_PARTS + 1))):
        placed = _place(canvas, rng, found)
        if placed is not None:
            found.append(placed)
    return Scene(pixels=_seen(canvas, rng), parts=tuple(found))


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _belt(rng: np.random.Generator) -> np.ndarray:
    """(240, 320, 3) from 0 to 1: rubber with ribs across the way it runs."""
    across, down = np.meshgrid(np.arange(WIDTH_PX), np.arange(HEIGHT_PX))
    shade = np.full((HEIGHT_PX, WIDTH_PX), float(rng.uniform(0.12, 0.45)))
    rib_px, phase = float(rng.uniform(16, 60)), float(rng.uniform(0, 6.28))
    shade += float(rng.uniform(0.0, 0.04)) * np.cos(6.28 * across / rib_px + phase)
    wave_px, turn = float(rng.uniform(150, 500)), float(rng.uniform(0, 6.28))
    shade += 0.06 * np.cos(6.28 * (across * np.cos(turn) + down * np.sin(turn)) / wave_px)
    tint = rng.uniform(0.85, 1.0, 3)
    return np.clip(shade[:, :, None] * tint, 0.0, 1.0)


def _clutter(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Lines and specks that are no parts."""
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(0, 4))):
        x, y = (float(rng.uniform(0, side)) for side in (WIDTH_PX, HEIGHT_PX))
        turn, length = float(rng.uniform(0, 6.28)), float(rng.uniform(10, 90))
        grey = int(rng.integers(20, 230))
        end = (x + length * np.cos(turn), y + length * np.sin(turn))
        draw.line((x, y, *end), (grey, grey, grey), int(rng.integers(1, 3)))
    for _ in range(int(rng.integers(0, 5))):
        x, y = (float(rng.uniform(0, side)) for side in (WIDTH_PX, HEIGHT_PX))
        side, grey = float(rng.uniform(1, 4)), int(rng.integers(20, 230))
        draw.ellipse((x - side, y - side, x + side, y + side), (grey, grey, grey))


def _place(canvas: Image.Image, rng: np.random.Generator, there: list[Part]) -> Part | None:
    """Draw one part where it hardly overlaps another; None where no place was found."""
    index = int(rng.integers(len(LABELS)))
    for _ in range(TRIES):
        outline = _outline(index, rng)
        low, high = outline.min(axis=0), outline.max(axis=0)
        room = np.array([WIDTH_PX, HEIGHT_PX]) - (high - low)
        outline = outline - low + rng.uniform(1, room - 1)
        box = (*outline.min(axis=0), *outline.max(axis=0))
        if all(_shared(box, other.box) < 0.05 for other in there):
            _paint(canvas, outline, rng)
            return Part(index=index, box=tuple(float(edge) for edge in box))
    return None


def _outline(index: int, rng: np.random.Generator) -> np.ndarray:
    """(points, 2) around the origin, in pixels."""
    size, turn = float(rng.uniform(20, 52)), float(rng.uniform(0, 6.28))
    if LABELS[index] == "disc":
        angles = np.linspace(0, 6.2832, 60, endpoint=False)
        squeeze = float(rng.uniform(0.85, 1.0))
        points = np.stack((np.cos(angles), squeeze * np.sin(angles)), axis=1)
    elif LABELS[index] == "plate":
        tall = float(rng.uniform(0.5, 1.0))
        points = 0.9 * np.array([[-1, -tall], [1, -tall], [1, tall], [-1, tall]])
    else:
        angles = np.array([0.0, 2.094, 4.189]) + rng.uniform(-0.25, 0.25, 3)
        points = 1.1 * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return size * points @ turned.T


def _paint(canvas: Image.Image, outline: np.ndarray, rng: np.random.Generator) -> None:
    behind = np.asarray(canvas, np.float64).mean()
    grey = float(rng.uniform(90, 250))
    if abs(grey - behind) < 45:
        grey = behind + 70
    colour = tuple(int(v) for v in np.clip(grey * rng.uniform(0.75, 1.0, 3), 0, 255))
    edge = tuple(int(0.6 * v) for v in colour)
    mask = Image.new("L", (WIDTH_PX * FINE, HEIGHT_PX * FINE))
    ImageDraw.Draw(mask).polygon([tuple(p) for p in outline * FINE], fill=255)
    inner = Image.new("L", mask.size)
    middle = outline.mean(axis=0)
    shrunk = middle + (outline - middle) * 0.88
    ImageDraw.Draw(inner).polygon([tuple(p) for p in shrunk * FINE], fill=255)
    for shape, fill in ((mask, edge), (inner, colour)):
        canvas.paste(fill, (0, 0), shape.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BOX))


def _seen(canvas: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """The picture as a camera gives it: soft, unevenly lit, noisy in steps of four levels."""
    soft = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.0))))
    light = np.linspace(1.0, float(rng.uniform(0.75, 1.25)), WIDTH_PX)[None, :, None]
    coarse = rng.normal(0.0, 5.0, (HEIGHT_PX // 4, WIDTH_PX // 4))
    noisy = np.asarray(soft, np.float64) * light * float(rng.uniform(0.7, 1.15))
    noisy += np.kron(coarse, np.ones((4, 4)))[:, :, None]
    levels = np.rint(np.clip(noisy, 0, 255) / STEP_LEVELS) * STEP_LEVELS
    return np.minimum(levels, 255).astype(np.uint8)


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The part of the smaller box that both share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return max(across, 0.0) * max(down, 0.0) / smaller
