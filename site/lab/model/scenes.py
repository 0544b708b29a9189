"""Camera scenes with a handwritten digit on a panel: 640x480 PNG, made from scikit-learn's digits.

    python scenes.py --out ../scenes

Every scene follows from its seed and its sample. The background is smooth (a few long waves, a tint,
coarse sensor noise in steps of four levels), so that the files stay small and a decoder has real work.
The last 360 samples of the data set come from writers whom training never sees; scenes for goldens
and for the lab's camera are made from those only.
"""

import argparse
import io
import pathlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
WIDTH_PX, HEIGHT_PX = 640, 480
HELD_OUT = 360
CAMERA_SEED = 7000
STEP_LEVELS = 4


def digits() -> tuple[np.ndarray, np.ndarray]:
    """(1797, 8, 8) float64 in 0..16, and their labels, in the order of the data set."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - the lab's own users need no scikit-learn

    bunch = load_digits()
    return bunch.images, bunch.target


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """The samples that training never sees: (360, 8, 8) float64 in 0..16, and their labels.

    `held_out.npz` is that part of the data set, so that nobody needs scikit-learn to judge a model.
    """
    with np.load(HERE / "held_out.npz") as kept:
        return kept["images"].astype(np.float64), kept["labels"]


def render(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One scene as (480, 640, 3) uint8 RGB: digit, panel, background, light, noise."""
    scene = _background(rng)
    side = int(rng.integers(190, 320))
    left = int(rng.integers(10, WIDTH_PX - side - 10))
    top = int(rng.integers(10, HEIGHT_PX - side - 10))
    ink, paper = float(rng.uniform(0.03, 0.25)), float(rng.uniform(0.7, 0.98))
    scene[top : top + side, left : left + side] = _panel(digit, side, ink, paper)[:, :, None]
    light = float(rng.uniform(0.65, 1.1))
    slope = np.linspace(1.0, float(rng.uniform(0.8, 1.2)), WIDTH_PX)[None, :, None]
    scene = scene * light * slope + _noise(rng)
    levels = np.rint(np.clip(scene, 0.0, 1.0) * 255 / STEP_LEVELS) * STEP_LEVELS
    return np.minimum(levels, 255).astype(np.uint8)


def png(scene: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scene).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _panel(digit: np.ndarray, side: int, ink: float, paper: float) -> np.ndarray:
    grey = Image.fromarray(np.rint(digit * 255 / 16).astype(np.uint8))
    margin = side // 8
    inner = side - 2 * margin
    strokes = np.asarray(grey.resize((inner, inner), Image.Resampling.BICUBIC), np.float64) / 255
    panel = np.full((side, side), paper)
    panel[margin : margin + inner, margin : margin + inner] = paper + (ink - paper) * strokes
    return panel


def _background(rng: np.random.Generator) -> np.ndarray:
    across, down = np.meshgrid(np.arange(WIDTH_PX), np.arange(HEIGHT_PX))
    shade = np.full((HEIGHT_PX, WIDTH_PX), float(rng.uniform(0.2, 0.6)))
    for _ in range(3):
        wave_px = float(rng.uniform(120, 500))
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        along = (across * np.cos(angle) + down * np.sin(angle)) / wave_px
        shade += float(rng.uniform(0.02, 0.08)) * np.cos(2 * np.pi * along + phase)
    tint = rng.uniform(0.85, 1.0, 3)
    return shade[:, :, None] * tint


def _noise(rng: np.random.Generator) -> np.ndarray:
    coarse = rng.normal(0.0, 0.02, (HEIGHT_PX // 8, WIDTH_PX // 8))
    return np.kron(coarse, np.ones((8, 8)))[:, :, None]


def held_out_scene(index: int) -> tuple[np.ndarray, int]:
    """The scene of a sample that training never sees, and its label; `index` counts from 0 to 359."""
    images, labels = held_out()
    rng = np.random.default_rng([CAMERA_SEED, index])
    return render(images[index], rng), int(labels[index])


def main() -> None:
    parser = argparse.ArgumentParser(description="Write ten held-out scenes, one of each digit.")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--first", type=int, default=100, help="look from this held-out sample on")
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    missing = set(range(10))
    for index in range(wanted.first, HELD_OUT):
        if not missing:
            break
        if int(held_out()[1][index]) not in missing:
            continue
        scene, label = held_out_scene(index)
        path = wanted.out / f"scene-{10 - len(missing):02d}-digit-{label}.png"
        path.write_bytes(png(scene))
        missing.discard(label)
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
