"""What every engine gives: open a model, say what goes in and out, infer, say what is in effect.

An engine is "there" only when its probe model gave the right output, never because it imports.
`infer` returns arrays of its own; `effective` is what the engine really does, not what was asked.
"""

from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Protocol, Tuple

from edgeform_runtime.arrays import Array


@dataclass(frozen=True)
class EngineConfig:
    """How an engine shall run. One thread by default: more threads than free cores is a cliff.

    Args:
        provider: what must compute, in the engine's own words; empty is the engine's own default.
        cache_dir: where this device keeps what it built for itself (TensorRT engines).
    """

    threads: int = 1
    precision: str = "f32"
    provider: str = ""
    cache_dir: Optional[str] = None


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output; -1 stands for an extent the model leaves open."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    scale: Optional[float] = None
    zero_point: Optional[int] = None


@dataclass(frozen=True)
class Effective:
    """What is in effect: a claim that the device tool cross-checks.

    Args:
        precision: the narrowest that the loaded model really computes in.
        delegate: the library that was loaded into the engine, and how much of the model it took.
        probe: how the engine's self test came out, and on what it ran.
    """

    provider: str
    precision: str
    threads: int
    device: str
    probe: str
    delegate: Optional[str] = None

    def to_json(self) -> Dict[str, object]:
        return dict(vars(self))


class Session(Protocol):
    """A model that is loaded; `infer` may be called from several threads."""

    @property
    def inputs(self) -> Tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> Tuple[TensorSpec, ...]: ...

    def infer(self, feeds: Mapping[str, Array]) -> Dict[str, Array]:
        """The outputs by name.

        Raises:
            InferenceFailed: the engine refused the tensors, or failed on them.
        """
        ...

    def effective(self) -> Effective: ...

    def close(self) -> None: ...


class Engine(Protocol):
    name: str
    version: str
    extensions: Tuple[str, ...]
    """File name endings of the models it reads, in order of preference."""

    def open(self, path: str, config: EngineConfig) -> Session:
        """A session on the model file.

        Raises:
            EngineUnavailable: what was asked for (provider) is not in effect.
            ModelRefused: the file is not a model, or not one that may be loaded.
        """
        ...
