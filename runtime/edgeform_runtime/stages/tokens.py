"""Text to the numbers of its words or characters, by a vocabulary that came with the model."""

import os
import re
from typing import Dict, List, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.pipeline.preprocess import Tokenise

MAX_VOCABULARY_BYTES = 16 * 1024 * 1024
_WORD = re.compile(r"\w+|[^\w\s]")


def spans_of(text: str, unit: str) -> List[Tuple[int, int]]:
    """Where each token stands in the text: words and single signs, or every character.

    A decoder of tags needs the same places; it must ask here and not split by itself.
    """
    if unit == "character":
        return [(at, at + 1) for at in range(len(text))]
    return [found.span() for found in _WORD.finditer(text)]


class Tokeniser:
    """Token numbers of texts, cut or padded to the stage's length.

    Raises:
        PipelineInvalid: the vocabulary cannot be read, names a token twice, or lacks the two special ones.
    """

    def __init__(self, step: Tokenise, model_tree: str) -> None:
        self._step = step
        self._numbers = _vocabulary(os.path.join(model_tree, step.vocabulary), step.vocabulary)
        for name in (step.unknown, step.padding):
            if name not in self._numbers:
                raise PipelineInvalid(f"{step.vocabulary} of the model has no token {name!r}")

    def tokens(self, text: str) -> Tuple[Array, Tuple[Tuple[int, int], ...]]:
        """(1, length) int64, and the place of each token in the text; (0, 0) for padding."""
        step = self._step
        unknown = self._numbers[step.unknown]
        out = np.full((1, step.length), self._numbers[step.padding], np.int64)
        spans = spans_of(text, step.unit)[: step.length]
        for at, (start, end) in enumerate(spans):
            # Lowered token by token: lowering the whole text could change its length, and so the places.
            token = text[start:end].lower() if step.lower else text[start:end]
            out[0, at] = self._numbers.get(token, unknown)
        return out, (*spans, *((0, 0),) * (step.length - len(spans)))


def _vocabulary(path: str, name: str) -> Dict[str, int]:
    """Number of each line's token, from 0; a line is a token whole, its end left out."""
    try:
        with open(path, encoding="utf-8", newline="\n") as stream:
            text = stream.read(MAX_VOCABULARY_BYTES + 1)
    except (OSError, UnicodeDecodeError) as exc:
        raise PipelineInvalid(f"vocabulary {name!r} of the model cannot be read: {exc}") from exc
    if len(text) > MAX_VOCABULARY_BYTES:
        raise PipelineInvalid(f"vocabulary {name!r} has more than {MAX_VOCABULARY_BYTES} bytes")
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    numbers = {token.rstrip("\r"): number for number, token in enumerate(lines)}
    if len(numbers) != len(lines):
        raise PipelineInvalid(f"vocabulary {name!r} of the model names a token twice")
    return numbers
