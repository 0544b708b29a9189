"""What a result does, as values: one dataclass and one reader per operator."""

from dataclasses import dataclass
from typing import Callable, Dict

from edgeform_runtime.pipeline.bounds import among, at_least
from edgeform_wire import artifact
from edgeform_wire.fields import Fields


@dataclass(frozen=True)
class StoreLocally:
    directory: str
    max_bytes: int
    max_age_s: float
    frames: str


Action = StoreLocally


def _store(fields: Fields) -> StoreLocally:
    directory = fields.text("directory", "results")
    artifact.check_paths((directory,))
    return StoreLocally(
        directory=directory,
        max_bytes=fields.integer("max_bytes", 4096, 64 * 1024 * 1024),
        max_age_s=at_least(fields.number("max_age_s", 7 * 86400.0), 0.0, "store.max_age_s"),
        frames=among(fields.text("frames", "none"), ("none", "encoded"), "store.frames"),
    )


OPERATORS: Dict[str, Callable[[Fields], Action]] = {"store": _store}
