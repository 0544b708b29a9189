"""Packages that only some stages need: asked for on loading, imported where they are used."""

import importlib.util

from edgeform_runtime.errors import PipelineInvalid


def needs(stage: str, package: str) -> None:
    """Refuse a stage whose package the closure lacks.

    Raises:
        PipelineInvalid: it does.
    """
    if importlib.util.find_spec(package) is None:
        raise PipelineInvalid(
            f"action {stage} needs the package {package}, which is not in this runtime closure;"
            " lock the site again (edgeform lock), so that a closure with it is built"
        )
