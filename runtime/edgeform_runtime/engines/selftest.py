"""The self test of engines whose models only a vendor's compiler makes: the model at hand stands in.

It shows that the accelerator answers, with the same finite numbers each time; goldens show that they are
right.
"""

import numpy as np

from edgeform_runtime.engines.base import Session
from edgeform_runtime.errors import EngineUnavailable


def check_twice(session: Session, where: str) -> None:
    """Nothing, when two runs on the same ramp give the same finite answer.

    Raises:
        EngineUnavailable: it does not.
        InferenceFailed: it does not run at all.
    """
    feeds = {}
    for spec in session.inputs:
        shape = [max(1, extent) for extent in spec.shape]
        count = int(np.prod(shape))
        feeds[spec.name] = (np.arange(count) % 7).reshape(shape).astype(spec.dtype)
    first, second = session.infer(feeds), session.infer(feeds)
    for name, array in first.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise EngineUnavailable(f"{where} answers {name} with numbers that are not finite")
        if not np.array_equal(array, second[name]):
            raise EngineUnavailable(
                f"{where} answers wrongly: {name} differs between two runs on the same input"
            )
