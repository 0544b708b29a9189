"""The one name for numpy arrays of any dtype, and raw bytes to arrays and back."""

from typing import TYPE_CHECKING, Any, Tuple

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]
else:
    Array = np.ndarray

DTYPES = ("float32", "float16", "float64", "int8", "uint8", "int32", "int64", "bool")


def size_bytes(dtype: str, shape: Tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count * np.dtype(dtype).itemsize


def from_bytes(content: memoryview, dtype: str, shape: Tuple[int, ...]) -> Array:
    """A read-only view of row-major little-endian bytes, exactly as long as shape and dtype say."""
    return np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def to_bytes(array: Array) -> bytes:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
