"""The labels file of a model: one a line, read once when the model is loaded."""

import os
from typing import List, Optional, Tuple

from edgeform_runtime.errors import PipelineInvalid

MAX_LABELS_BYTES = 4 * 1024 * 1024


def read_labels(model_tree: str, path: Optional[str], classes: int) -> Tuple[str, ...]:
    """The labels, empty when the stage names none; `classes` is -1 where the model leaves it open.

    Raises:
        PipelineInvalid: the labels are missing, unreadable, or not as many as the classes.
    """
    if path is None:
        return ()
    try:
        with open(os.path.join(model_tree, path), encoding="utf-8") as stream:
            text = stream.read(MAX_LABELS_BYTES)
    except (OSError, UnicodeDecodeError) as exc:
        raise PipelineInvalid(f"labels {path!r} of the model cannot be read: {exc}") from exc
    labels: List[str] = [line.strip() for line in text.splitlines() if line.strip()]
    if classes not in (-1, len(labels)):
        raise PipelineInvalid(f"{path} has {len(labels)} labels, the model has {classes} classes")
    return tuple(labels)
