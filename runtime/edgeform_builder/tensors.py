"""Prepared tensors on disk: `index.json` and one little-endian file for each input, all samples one after
the other. What every builder reads, with numpy and nothing else.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np
import numpy.typing as npt

SCHEMA = "edgeform.tensors/1"
Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Input:
    """One input of a model; the shape is one sample's, its batch of 1 included."""

    name: str
    dtype: str
    shape: Tuple[int, ...]


@dataclass(frozen=True)
class TensorSet:
    """Samples of every input, mapped from disk."""

    inputs: Tuple[Input, ...]
    arrays: Mapping[str, Array]
    count: int
    labels: Tuple[object, ...]

    def sample(self, number: int) -> Dict[str, Array]:
        """The feeds of one sample."""
        return {one.name: self.arrays[one.name][number].reshape(one.shape) for one in self.inputs}

    def samples(self, most: int = 0) -> Iterator[Dict[str, Array]]:
        """The feeds of the first `most` samples; 0 means all."""
        for number in range(min(most, self.count) if most else self.count):
            yield self.sample(number)


def open_tensors(folder: Path) -> TensorSet:
    """The tensors of a folder."""
    value = json.loads((folder / "index.json").read_bytes())
    if value.get("schema") != SCHEMA:
        raise ValueError(f"not tensors of this version: {value.get('schema')!r}")
    inputs = tuple(Input(i["name"], i["dtype"], tuple(i["shape"])) for i in value["inputs"])
    count = int(value["count"])
    arrays = {
        one.name: np.memmap(
            folder / f"{number}.bin", np.dtype(one.dtype), "r", shape=(count, *one.shape)
        )
        for number, one in enumerate(inputs)
    }
    return TensorSet(inputs, arrays, count, tuple(value["labels"]))


def write_tensors(
    folder: Path, feeds: Sequence[Mapping[str, Array]], labels: Sequence[object]
) -> None:
    """Write samples; all have the same inputs, and each input the same shape in every sample.

    Raises:
        ValueError: a sample differs from the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = feeds[0]
    inputs: List[Input] = [Input(n, a.dtype.name, tuple(a.shape)) for n, a in first.items()]
    for number, one in enumerate(inputs):
        with (folder / f"{number}.bin").open("wb") as stream:
            for at, feed in enumerate(feeds):
                array = np.ascontiguousarray(feed[one.name])
                if array.shape != one.shape or array.dtype.name != one.dtype:
                    raise ValueError(
                        f"sample {at}: input {one.name} is {array.dtype.name}{list(array.shape)},"
                        f" the first sample's {one.dtype}{list(one.shape)}"
                    )
                stream.write(array.tobytes())
    value = {
        "schema": SCHEMA,
        "count": len(feeds),
        "inputs": [{"name": i.name, "dtype": i.dtype, "shape": list(i.shape)} for i in inputs],
        "labels": list(labels),
    }
    (folder / "index.json").write_text(json.dumps(value))


def sqnr_db(reference: List[Array], answers: List[Array]) -> float:
    """Signal to noise of answers against the reference, over all of them; at most 300."""
    signal = sum(float((r.astype(np.float64) ** 2).sum()) for r in reference)
    noise = sum(
        float(((r.astype(np.float64) - a.astype(np.float64)) ** 2).sum())
        for r, a in zip(reference, answers, strict=True)
    )
    if signal == 0.0:
        return 300.0 if noise == 0.0 else 0.0
    return min(300.0, float(10 * np.log10(signal / max(noise, signal * 1e-30))))
