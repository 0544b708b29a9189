"""Train the tagger of logbook lines, and write model, alphabet, tags, goldens and figures.

PYTHONPATH=../../../runtime env/bin/python -m logbook.train
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import reference
import torch
from logbook import sentences
from logbook.network import LogbookTagger
from matching import matches
from reference import Example

from edgeform_runtime.model import LoadedModel
from edgeform_wire import golden

HERE = Path(__file__).resolve().parent
STAGES = HERE / "stages.json"
SEED = 20_241_201
TRAINING, HELD_OUT = 12000, 1000
EPOCHS, BATCH = 5, 64
TENSORS, ENCODED = 2, 8
SURE = 0.9


def training_set() -> tuple[torch.Tensor, torch.Tensor]:
    """(n, 128) characters and tags."""
    numbers = {character: n for n, character in enumerate(sentences.ALPHABET)}
    characters = np.full((TRAINING, sentences.LENGTH), numbers["[PAD]"], np.int64)
    tags = np.zeros((TRAINING, sentences.LENGTH), np.int64)
    for n in range(TRAINING):
        found = sentences.sentence("train", n)
        characters[n, : len(found.text)] = [numbers[c] for c in found.text]
        tags[n] = sentences.tags_of(found)
    return torch.from_numpy(characters), torch.from_numpy(tags)


def measured(model: LoadedModel) -> dict[str, object]:
    """F1 of whole entities: right only with the right type, first and last character."""
    told, there = [], []
    lines = 0
    for n in range(HELD_OUT):
        found = sentences.sentence("held-out", n)
        result = reference.result_of(model, found.text.encode())
        told += [(e["label"], (n, e["start"], e["end"])) for e in result["entities"]]
        there += [(e.label, (n, e.start, e.end)) for e in found.entities]
        lines += golden.answer_line(result) == found.line()
    every, by_type = matches(told, there)
    return {
        "held_out_lines": HELD_OUT,
        "held_out_entities": every.there,
        "f1": round(every.f1, 4),
        "precision": round(every.precision, 4),
        "recall": round(every.recall, 4),
        "f1_by_type": {label: round(m.f1, 4) for label, m in by_type.items()},
        "whole_lines_right": round(lines / HELD_OUT, 4),
    }


def golden_lines(model: LoadedModel) -> Iterator[Example]:
    """Held-out lines that the network reads rightly and without doubt; the first has every type."""
    given = 0
    for n in range(HELD_OUT, 2 * HELD_OUT):
        found = sentences.sentence("held-out", n)
        result = reference.result_of(model, found.text.encode())
        is_right = golden.answer_line(result) == found.line()
        is_whole = {e.label for e in found.entities} == set(sentences.TYPES)
        is_sure = all(e["score"] > SURE for e in result["entities"])
        if is_right and is_sure and (given or is_whole):
            given += 1
            yield Example(content=found.text.encode(), ending=".txt", line=found.line())
        if given == TENSORS + ENCODED:
            return
    raise SystemExit(f"only {given} lines are read without doubt")


def main() -> None:
    folder = reference.model_folder("logbook")
    characters, tags = training_set()
    types = len(sentences.TYPES)
    network = reference.trained(SEED, lambda: LogbookTagger(sentences.ALPHABET, types))

    def loss(places: torch.Tensor) -> torch.Tensor:
        logits = network(characters[places]).reshape(-1, len(sentences.TAGS))
        return torch.nn.functional.cross_entropy(logits, tags[places].flatten())

    seconds = reference.fit(network, loss, TRAINING, batch=BATCH, epochs=EPOCHS, rate=3e-3)
    sample = torch.zeros(1, sentences.LENGTH, dtype=torch.int64)
    reference.export(network, sample, folder, "characters", ["tags"])
    (folder / "alphabet.txt").write_text("".join(f"{c}\n" for c in sentences.ALPHABET))
    (folder / "tags.txt").write_text("".join(f"{tag}\n" for tag in sentences.TAGS))
    with reference.runtime(folder, STAGES) as model:
        quality = measured(model)
        chosen = list(golden_lines(model))
        reference.write_goldens(model, network, folder, chosen[ENCODED:], chosen[:ENCODED])
        figures = HERE / "figures.json"
        sample_line = chosen[0].content
        reference.write_figures(
            figures, model, network, folder, sample_line, seconds, SEED, quality
        )


if __name__ == "__main__":
    main()
