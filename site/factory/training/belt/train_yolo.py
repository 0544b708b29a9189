"""Train the YOLOv8n-shaped detector of parts on a belt, and write model, labels, goldens and figures.

PYTHONPATH=../../../runtime env/bin/python -m belt.train_yolo
"""

from pathlib import Path

import numpy as np
import reference
import torch
from belt import examples, measure, scenes
from belt.yolo_loss import loss_of
from belt.yolo_network import INPUT_PX, BeltYolo

HERE = Path(__file__).resolve().parent
STAGES = HERE / "yolo.json"
SEED = 20_241_128
SCENES, EPOCHS, BATCH = 2000, 24, 16


def main() -> None:
    folder = reference.model_folder("belt-yolo")
    print("rendering", flush=True)
    pictures, truth = examples.training_set(reference.stages_in(STAGES), SCENES, INPUT_PX)
    network = reference.trained(SEED, lambda: BeltYolo(len(scenes.LABELS)))
    rng = np.random.default_rng(SEED)

    def loss(places: torch.Tensor) -> torch.Tensor:
        return loss_of(network, *examples.mirrored(pictures[places], truth[places], rng))

    seconds = reference.fit(network, loss, SCENES, batch=BATCH, epochs=EPOCHS, rate=4e-3)
    sample = torch.zeros(1, 3, INPUT_PX, INPUT_PX)
    reference.export(network, sample, folder, "images", ["output0"])
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in scenes.LABELS))
    measure.finish(folder, network, STAGES, HERE / "figures-yolo.json", seconds, SEED)


if __name__ == "__main__":
    main()
