"""Train the classifier of pressed parts, and write model, labels, goldens and figures.

PYTHONPATH=../../../runtime env/bin/python -m scratch.train
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import reference
import torch
from reference import Example
from scratch import scenes
from scratch.network import INPUT_PX, SurfaceNet

from edgeform_runtime.model import LoadedModel
from edgeform_runtime.stages import preprocess

HERE = Path(__file__).resolve().parent
STAGES = HERE / "stages.json"
SEED = 20_241_202
TRAINING, HELD_OUT = 2400, 600
EPOCHS, BATCH = 20, 40
TENSORS, ENCODED = 4, 8
SURE = 0.9


def training_set() -> tuple[torch.Tensor, torch.Tensor]:
    steps = reference.stages_in(STAGES).preprocess
    found = [scenes.scene("train", n) for n in range(TRAINING)]
    pictures = [preprocess.apply(pixels, steps)[0] for pixels, _ in found]
    labels = [scenes.LABELS.index(label) for _, label in found]
    return torch.from_numpy(np.stack(pictures)), torch.tensor(labels)


def turned(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A batch mirrored and turned by quarters, all alike: no fault looks different for it."""
    if rng.random() < 0.5:
        pictures = pictures.flip(3)
    return pictures.rot90(int(rng.integers(0, 4)), (2, 3))


def measured(model: LoadedModel) -> dict[str, object]:
    """Accuracy, and how often each kind was told for each other."""
    told = np.zeros((len(scenes.LABELS),) * 2, np.int64)
    for n in range(HELD_OUT):
        pixels, label = scenes.scene("held-out", n)
        best = reference.result_of(model, scenes.png(pixels))["classes"][0]["index"]
        told[scenes.LABELS.index(label), best] += 1
    return {
        "held_out_pictures": HELD_OUT,
        "accuracy": round(float(np.trace(told) / told.sum()), 4),
        "recall": {
            label: round(float(told[n, n] / told[n].sum()), 4)
            for n, label in enumerate(scenes.LABELS)
        },
    }


def golden_pictures(model: LoadedModel) -> Iterator[Example]:
    """Pictures that are read rightly and without doubt; the labels take turns."""
    given = number = 0
    while given < TENSORS + ENCODED:
        if number > 50 * (TENSORS + ENCODED):
            raise SystemExit(f"only {given} pictures are read without doubt")
        pixels, label = scenes.scene("golden", number)
        number += 1
        if label != scenes.LABELS[given % len(scenes.LABELS)]:
            continue
        content = scenes.png(pixels)
        best = reference.result_of(model, content)["classes"][0]
        if best["label"] == label and best["score"] > SURE:
            given += 1
            yield Example(content=content, ending=".png", line=label)


def main() -> None:
    folder = reference.model_folder("quality/scratch", "1.4.0")
    print("rendering", flush=True)
    pictures, labels = training_set()
    network = reference.trained(SEED, lambda: SurfaceNet(len(scenes.LABELS)))
    rng = np.random.default_rng(SEED)

    def loss(places: torch.Tensor) -> torch.Tensor:
        logits = network(turned(pictures[places], rng))
        return torch.nn.functional.cross_entropy(logits, labels[places])

    seconds = reference.fit(network, loss, TRAINING, batch=BATCH, epochs=EPOCHS, rate=6e-3)
    reference.export(network, torch.zeros(1, 1, INPUT_PX, INPUT_PX), folder, "image", ["logits"])
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in scenes.LABELS))
    with reference.runtime(folder, STAGES) as model:
        quality = measured(model)
        chosen = list(golden_pictures(model))
        reference.write_goldens(model, network, folder, chosen[ENCODED:], chosen[:ENCODED])
        figures = HERE / "figures.json"
        sample = chosen[0].content
        reference.write_figures(figures, model, network, folder, sample, seconds, SEED, quality)


if __name__ == "__main__":
    main()
