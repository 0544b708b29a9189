"""From windows of sensor readings or features to a tensor: cut, scale, arrange."""

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import FrameError
from edgeform_runtime.pipeline.preprocess import Window, ZScore

SMALLEST_STD = 1e-6


def window(rows: Array, step: Window) -> Array:
    """The last `length` rows.

    Raises:
        FrameError: there are fewer.
    """
    if len(rows) < step.length:
        raise FrameError(f"{len(rows)} rows, and window takes {step.length}", "too_short")
    return rows[-step.length :]


def z_score(rows: Array, step: ZScore) -> Array:
    """(x - mean) / std per column, float32; with `per` window by this window's own mean and deviation.

    A column that does not move has no deviation; its own is taken as 1, so that it becomes 0.

    Raises:
        FrameError: as many means as columns do not stand in the stage.
    """
    columns = rows.shape[1]
    if step.per == "window":
        mean = rows.mean(axis=0, dtype=np.float64)
        std = rows.std(axis=0, dtype=np.float64)
        std = np.where(std < SMALLEST_STD, 1.0, std)
    else:
        for name, values in (("mean", step.mean), ("std", step.std)):
            if len(values) not in (1, columns):
                raise FrameError(
                    f"z_score.{name} has {len(values)} values for {columns} columns", "unsupported"
                )
        mean, std = np.asarray(step.mean, np.float64), np.asarray(step.std, np.float64)
    scaled: Array = ((rows - mean) / std).astype(np.float32)
    return scaled


def arrange(rows: Array, order: str) -> Array:
    """A batch of one: ntc (1, rows, columns), nct (1, columns, rows), n1tc (1, 1, rows, columns)."""
    if order == "nct":
        return rows.T[None]
    return rows[None] if order == "ntc" else rows[None, None]
