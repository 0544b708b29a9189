"""Which device tool this is. Bytes are built from this alone, so the same version is the same file."""

VERSION = "0.1.0"

STATE_FORMATS = (1,)
"""The state formats this tool reads: its own and the one before."""

BUILT_S = 1_795_305_600
"""2026-11-22: the earliest time it can be where this tool runs; a floor for devices without a clock."""
