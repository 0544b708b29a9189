"""The inference daemon of edgeform: one process per pipeline, from a sensor to an action.

Runs from a signed closure on the device (numpy, Pillow and one engine beside it) and never imports
the controller. Modules without numpy: `errors`, `pipeline`, `onnxfile`.
"""

VERSION = "0.1.0"
