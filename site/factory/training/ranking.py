"""How well a number tells two kinds apart: the area under the ROC curve, by ranks. numpy alone."""

from collections.abc import Sequence

import numpy as np


def area_under_curve(normal: Sequence[float], unusual: Sequence[float]) -> float:
    """The chance that an unusual one has the higher number than a normal one; ties count half.

    Raises:
        ValueError: one of the two is empty.
    """
    if not len(normal) or not len(unusual):
        raise ValueError("an area under a curve needs both kinds")
    low = np.asarray(normal, np.float64)[None, :]
    high = np.asarray(unusual, np.float64)[:, None]
    return float(np.mean((high > low) + 0.5 * (high == low)))
