"""The version of this distribution, in one place that costs no import."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("edgeform")
except PackageNotFoundError:  # running from a checkout that was never installed
    VERSION = "0.0.0+checkout"
