"""A device's health from /proc and /sys: read by the device tool for `state`, by the runtime for reports and
metrics.

Pure but for reading below a root; nothing is run, nothing is asked over a network.
"""

from edgeform_wire.vitals.vitals import Vitals, vitals, worries

__all__ = ["Vitals", "vitals", "worries"]
