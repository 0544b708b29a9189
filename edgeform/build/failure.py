"""What building can fail with, beside the tree of edgeform.errors."""

from edgeform.errors import EdgeformError


class ModelUnusable(EdgeformError):
    """The model that the site names is damaged, hostile or incomplete."""

    summary = "Model unusable"
    exit_code = 3


class ClosureUnavailable(EdgeformError):
    """No closure can be made for this kind of device: an engine, Python or wheel that does not exist."""

    summary = "No runtime for this device"
    exit_code = 3


class BuildFailed(EdgeformError):
    """A tool, the network or the disk failed while building; nothing half-written is left."""

    summary = "Build failed"
    exit_code = 13
