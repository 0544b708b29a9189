"""Train the autoencoder on machines in order alone, choose its threshold, and write model, goldens and
figures.

    PYTHONPATH=../../../runtime env/bin/python -m hum.train

Mean and deviation of each mel go into `stages.json`, and so does the threshold: above it lie 1 in 100 of
the recordings of the split `tune`, which are machines in order that neither training nor the figures see.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import reference
import torch
from hum import recordings
from hum.network import FRAMES, MELS, HumCoder
from ranking import area_under_curve
from reference import Example

from edgeform_runtime.model import LoadedModel
from edgeform_runtime.stages.preparation import preparation_of
from edgeform_wire import golden

HERE = Path(__file__).resolve().parent
STAGES = HERE / "stages.json"
SEED = 20_241_130
TRAINING, TUNING, HELD_OUT, EACH_FAULT = 1500, 400, 400, 100
EPOCHS, BATCH = 40, 50
FALSE_ALARMS = 0.01
TENSORS, MOST_TRIED = 2, 200
GOLDENS = (
    (None, 0),
    *((fault, 0) for fault in recordings.FAULTS),
    (None, MOST_TRIED),
    (recordings.FAULTS[0], MOST_TRIED),
)
"""(fault, first number to try) of each case; the last ones become tensors."""
CLEAR = 0.1
"""A golden's score is at least this share away from the threshold."""


def scaled(whole: dict) -> tuple[dict, np.ndarray]:
    """The stages with the scale of the training set in them, and that set, scaled."""
    step = next(s for s in whole["preprocess"] if s["kind"] == "z_score")
    step.update(mean=[0.0] * MELS, std=[1.0] * MELS)
    plain = preparation_of(reference.stages_of(whole), "")
    found = np.concatenate(
        [
            plain.prepare(recordings.wav(recordings.recording("train", n).samples)).tensor
            for n in range(TRAINING)
        ]
    )
    mean, std = found.mean((0, 1, 2)), found.std((0, 1, 2))
    step.update(mean=[round(float(v), 4) for v in mean], std=[round(float(v), 4) for v in std])
    return whole, ((found - step["mean"]) / step["std"]).astype(np.float32)


def score(model: LoadedModel, split: str, number: int, fault: str | None = None) -> float:
    content = recordings.wav(recordings.recording(split, number, fault).samples)
    return float(reference.result_of(model, content)["score"])


def measured(model: LoadedModel, threshold: float) -> dict[str, object]:
    """AUC for each fault and for all of them, and what the threshold makes of both kinds."""
    normal = [score(model, "held-out", n) for n in range(HELD_OUT)]
    faulty = {
        fault: [score(model, "held-out", n, fault) for n in range(EACH_FAULT)]
        for fault in recordings.FAULTS
    }
    every = [value for values in faulty.values() for value in values]
    return {
        "held_out": {"in_order": len(normal), "faulty": len(every)},
        "auc": round(area_under_curve(normal, every), 4),
        "auc_by_fault": {f: round(area_under_curve(normal, v), 4) for f, v in faulty.items()},
        "threshold": threshold,
        "false_alarms": round(float(np.mean([v > threshold for v in normal])), 4),
        "found": round(float(np.mean([v > threshold for v in every])), 4),
    }


def golden_recordings(model: LoadedModel, threshold: float) -> Iterator[Example]:
    """The cases of GOLDENS: recordings that are clearly on the right side of the threshold."""
    for fault, first in GOLDENS:
        for number in range(first, first + MOST_TRIED):
            content = recordings.wav(recordings.recording("golden", number, fault).samples)
            result = reference.result_of(model, content)
            is_clear = abs(result["score"] / threshold - 1) > CLEAR
            if is_clear and result["is_anomaly"] == (fault is not None):
                line = str(golden.answer_line(result))
                yield Example(content=content, ending=".wav", line=line)
                break
        else:
            raise SystemExit(f"no recording with {fault} is told clearly")


def main() -> None:
    folder = reference.model_folder("hum")
    print("recording", flush=True)
    whole, features = scaled(json.loads(STAGES.read_text()))
    inputs = torch.from_numpy(features)
    network = reference.trained(SEED, HumCoder)

    def loss(places: torch.Tensor) -> torch.Tensor:
        batch = inputs[places]
        return torch.nn.functional.mse_loss(network(batch), batch)

    seconds = reference.fit(network, loss, TRAINING, batch=BATCH, epochs=EPOCHS, rate=4e-3)
    reference.export(network, torch.zeros(1, 1, FRAMES, MELS), folder, "features", ["again"])
    STAGES.write_text(json.dumps(whole, indent=1) + "\n")
    with reference.runtime(folder, STAGES) as model:
        tuned = [score(model, "tune", n) for n in range(TUNING)]
    threshold = round(float(np.quantile(tuned, 1 - FALSE_ALARMS)), 4)
    whole["postprocess"]["threshold"] = threshold
    STAGES.write_text(json.dumps(whole, indent=1) + "\n")
    with reference.runtime(folder, STAGES) as model:
        quality = measured(model, threshold)
        chosen = list(golden_recordings(model, threshold))
        reference.write_goldens(model, network, folder, chosen[-TENSORS:], chosen[:-TENSORS])
        figures = HERE / "figures.json"
        sample = chosen[0].content
        reference.write_figures(figures, model, network, folder, sample, seconds, SEED, quality)


if __name__ == "__main__":
    main()
