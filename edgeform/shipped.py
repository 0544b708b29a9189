"""Data that ships with edgeform: schemas and playbooks, found in a wheel and in a checkout alike."""

from importlib import resources
from pathlib import Path


def shipped(*segments: str) -> Path:
    """The path of a shipped file or folder, as `shipped("schemas", "plan.schema.json")`.

    Raises:
        FileNotFoundError: the installation is damaged.
    """
    package = Path(str(resources.files("edgeform")))
    for base in (package / "_data", package.parent):
        found = base.joinpath(*segments)
        if found.exists():
            return found
    raise FileNotFoundError(f"{'/'.join(segments)} is missing from this installation of edgeform")
