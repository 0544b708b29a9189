"""Write inputs that no network has seen, as files, with what is true of them: to try the pipelines, and for
tests.

    python samples.py OUT [--count 20]

Needs numpy and Pillow. OUT gets `belt/`, `scratch/`, `hum/`, `logbook.txt`, and `truth.jsonl`: one line for
each file or line of text, in order.
"""

import argparse
import json
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from belt import scenes as belt
from hum import recordings
from logbook import sentences
from scratch import scenes as scratch

FIRST = 5000
"""Behind all that figures and goldens were made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An input, the right answer in one line (see `golden.answer_line`), and where its parts lie."""

    name: str
    content: bytes
    line: str
    boxes: tuple[tuple[str, tuple[float, float, float, float]], ...] = field(default=())


def belt_samples(count: int) -> Iterator[Sample]:
    for number in range(FIRST, FIRST + count):
        found = belt.scene("held-out", number)
        boxes = tuple((belt.LABELS[part.index], part.box) for part in found.parts)
        yield Sample(
            name=f"belt-{number}.png",
            content=belt.png(found.pixels),
            line=", ".join(sorted(label for label, _ in boxes)),
            boxes=boxes,
        )


def scratch_samples(count: int) -> Iterator[Sample]:
    for number in range(FIRST, FIRST + count):
        pixels, label = scratch.scene("held-out", number)
        yield Sample(name=f"part-{number}.png", content=scratch.png(pixels), line=label)


def hum_samples(count: int) -> Iterator[Sample]:
    """In order and faulty take turns; so do the faults."""
    for number in range(FIRST, FIRST + count):
        turn = (number - FIRST) // 2 % len(recordings.FAULTS)
        fault = recordings.FAULTS[turn] if number % 2 else None
        found = recordings.recording("held-out", number, fault)
        yield Sample(
            name=f"second-{number}-{fault or 'in-order'}.wav",
            content=recordings.wav(found.samples),
            line="anomaly" if fault else "normal",
        )


def logbook_samples(count: int) -> Iterator[Sample]:
    for number in range(FIRST, FIRST + count):
        found = sentences.sentence("held-out", number)
        yield Sample(name=f"line-{number}", content=found.text.encode(), line=found.line())


SAMPLES: dict[str, Callable[[int], Iterator[Sample]]] = {
    "belt": belt_samples,
    "scratch": scratch_samples,
    "hum": hum_samples,
    "logbook": logbook_samples,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write held-out inputs of the four pipelines.")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=20, help="of each kind")
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    truth = []
    for kind, make in SAMPLES.items():
        found = list(make(wanted.count))
        if kind == "logbook":
            lines = b"".join(sample.content + b"\n" for sample in found)
            (wanted.out / "logbook.txt").write_bytes(lines)
        else:
            (wanted.out / kind).mkdir(exist_ok=True)
            for sample in found:
                (wanted.out / kind / sample.name).write_bytes(sample.content)
        truth += [{"kind": kind, "name": s.name, "is": s.line, "boxes": s.boxes} for s in found]
    (wanted.out / "truth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in truth))
    print(f"{len(truth)} inputs in {wanted.out}")


if __name__ == "__main__":
    main()
