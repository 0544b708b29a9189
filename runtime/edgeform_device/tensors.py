"""Comparing tensors with nothing but the standard library.

The judge must not share the judged one's arithmetic, so this is plain Python over `array`: about 10 M
values a second would be numpy's job, but goldens have thousands.
"""

import math
import struct
import sys
from array import array
from dataclasses import dataclass
from typing import List, Optional, Sequence

from edgeform_device.control import RawTensor

_CODES = {
    "float32": "f",
    "int8": "b",
    "uint8": "B",
    "int32": "i",
    "int64": "q",
    "bool": "B",
}
FLAT = 1e-12
"""A range below this is no range: such a reference cannot scale a deviation."""


@dataclass(frozen=True)
class Deviation:
    """How far an output is from its reference.

    Args:
        max_relative: largest absolute difference, over the reference's range.
        sqnr_db: signal-to-noise ratio of the difference; infinite for equality.
        top1_same: whether the largest element is the same one; None where a near tie or a shape
            without classes makes the question meaningless.
    """

    max_relative: float
    sqnr_db: float
    top1_same: Optional[bool]


def values(tensor: RawTensor) -> List[float]:
    """The tensor's elements as Python floats."""
    if tensor.dtype == "float16":
        count = len(tensor.content) // 2
        return [float(v) for v in struct.unpack(f"<{count}e", tensor.content)]
    found = array(_CODES[tensor.dtype])
    found.frombytes(tensor.content)
    if sys.byteorder == "big":
        found.byteswap()
    return [float(v) for v in found]


def count(tensor: RawTensor) -> int:
    """How many elements it has."""
    found = 1
    for extent in tensor.shape:
        found *= extent
    return found


def best(tensor: RawTensor) -> int:
    """The place of the largest element."""
    numbers = values(tensor)
    return max(range(len(numbers)), key=numbers.__getitem__)


def is_finite(numbers: Sequence[float]) -> bool:
    return all(math.isfinite(v) for v in numbers)


def is_constant(numbers: Sequence[float]) -> bool:
    return len(numbers) > 1 and min(numbers) == max(numbers)


def deviation(got: Sequence[float], want: Sequence[float], margin: float) -> Deviation:
    """The deviation of finite values from finite references of the same length.

    Args:
        margin: the tolerance, relative to the range, within which a top-1 change is a near tie.
    """
    span = max(max(want) - min(want), FLAT)
    worst = max(abs(g - w) for g, w in zip(got, want)) / span
    signal = math.fsum(w * w for w in want)
    noise = math.fsum((g - w) * (g - w) for g, w in zip(got, want))
    if noise == 0:
        sqnr_db = math.inf
    elif signal == 0:
        sqnr_db = -math.inf
    else:
        sqnr_db = 10 * math.log10(signal / noise)
    return Deviation(worst, sqnr_db, _top1(got, want, 2 * margin * span))


def _top1(got: Sequence[float], want: Sequence[float], tie: float) -> Optional[bool]:
    if len(want) < 2:
        return None
    order = sorted(range(len(want)), key=want.__getitem__)
    best, second = order[-1], order[-2]
    if want[best] - want[second] <= tie:
        return None
    return max(range(len(got)), key=got.__getitem__) == best
