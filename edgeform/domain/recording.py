"""What a pipeline keeps of its recent frames on the device, for captures; off unless a spec asks for it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A rectangle in parts of the picture (0 to 1), so that another resolution uncovers nothing."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """What is blacked out before anything is kept.

    Args:
        regions: of pictures. channels: of series, numbered from 0. text: `digits`, `emails`.
    """

    regions: tuple[Region, ...] = ()
    channels: tuple[int, ...] = ()
    text: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Which kinds of masks there are."""
        return tuple(name for name in ("regions", "channels", "text") if getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A ring of recent frames and answers in memory, and the capture files that are made of it.

    Args:
        frames, ring_bytes: the ring's bounds.
        when: a rule on results. drift_above: stability index of the inputs. on_failure: failed checks and
            rollbacks. cooldown_s: between two files that the pipeline makes by itself.
        max_bytes, max_age_s: of the files on the device.
    """

    frames: int = 32
    ring_bytes: int = 16 * 1024 * 1024
    when: str | None = None
    drift_above: float | None = None
    on_failure: bool = True
    cooldown_s: float = 300.0
    mask: Mask = field(default_factory=Mask)
    max_bytes: int = 64 * 1024 * 1024
    max_age_s: float = 604800.0
