"""What one device should be: the generation, its drivers, and how the change is to be confirmed."""

from dataclasses import dataclass, field

from edgeform.domain.artifacts import LockedArtifact
from edgeform.domain.drivers import DriverTuple
from edgeform.domain.site import SecretRef
from edgeform_wire.generation import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """One device's wanted state, fully resolved.

    Args:
        generation_digest: digest of `manifest`, the canonical JSON of the generation manifest.
        generation: what `manifest` says, so that nobody has to read it again; devices of one kind share
            it, and its device's name is a placeholder.
        artifacts: what the manifest lists, with sizes and requirements.
        tool: digest of the device tool this controller ships.
    """

    device: str
    generation_digest: str
    manifest: str
    generation: Generation = field(compare=False, repr=False)
    artifacts: tuple[LockedArtifact, ...]
    drivers: DriverTuple
    secrets: tuple[tuple[str, SecretRef], ...] = ()
    tool: str = ""
    reasons: tuple[tuple[str, str], ...] = field(default=())
    """(model or pipeline, why this variant)."""
