"""What building can fail with, beside the tree of edgeform.errors."""

from typing import TYPE_CHECKING

from edgeform.errors import EdgeformError

if TYPE_CHECKING:
    from edgeform.build.figures import BuildReport


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


class DataSetUnusable(EdgeformError):
    """A data set that could not prove anything, or could prove anything."""

    summary = "Data set unusable"
    exit_code = 3


class BuilderUnavailable(EdgeformError):
    """The closure of a builder cannot be had here: no lock, no network, no room, no wheel."""

    summary = "Builder unavailable"
    exit_code = 13


class VariantRefused(EdgeformError):
    """What the recipe and its ladder gave does not pass the gate; `report` says what was tried."""

    summary = "Variant refused by its gate"
    exit_code = 3
    report: "BuildReport | None" = None
