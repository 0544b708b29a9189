"""How deep the random tests go: shallow in `make test`, deep and with other seeds in `make soak`."""

import os

SEED = int(os.environ.get("EDGEFORM_SOAK_SEED", "41"))
DEPTH = int(os.environ.get("EDGEFORM_SOAK_DEPTH", "1"))


def examples(count: int) -> int:
    """So many examples in every run, `EDGEFORM_SOAK_DEPTH` times as many in a soak."""
    return count * DEPTH
