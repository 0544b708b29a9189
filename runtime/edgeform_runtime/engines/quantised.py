"""Integer tensors at a model's edge as the numbers they stand for: (integer - zero point) * scale.

Goldens at the tensor level stay raw: what they compare is what the engine gave.
"""

from typing import Dict, Mapping, Optional, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.engines.base import TensorSpec


def to_integers(tensor: Array, spec: TensorSpec) -> Array:
    """Real numbers as the integers the model takes, rounded to even and clipped to its type."""
    if spec.scale is None or spec.zero_point is None:
        return tensor
    limits = np.iinfo(spec.dtype)
    integers = np.rint(tensor / np.float32(spec.scale)) + spec.zero_point
    found: Array = np.clip(integers, limits.min, limits.max).astype(spec.dtype)
    return found


def to_reals(specs: Tuple[TensorSpec, ...], outputs: Mapping[str, Array]) -> Dict[str, Array]:
    """Outputs by name with integers that have a scale as float32; others as they are."""
    by_name = {spec.name: spec for spec in specs}
    return {name: _real(array, by_name.get(name)) for name, array in outputs.items()}


def _real(array: Array, spec: Optional[TensorSpec]) -> Array:
    if spec is None or spec.scale is None or spec.zero_point is None:
        return array
    found: Array = (array.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)
    return found
