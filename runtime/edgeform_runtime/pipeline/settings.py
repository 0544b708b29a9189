"""The settings of a pipeline that are no operators: the model's run, the server, the engine."""

from dataclasses import dataclass
from typing import Any, Dict, Optional

from edgeform_runtime.pipeline.bounds import among, at_least
from edgeform_wire import edges
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

WHEN_FULL = ("wait", "drop_oldest", "drop_latest")
MAX_QUEUE = 64


@dataclass(frozen=True)
class Infer:
    timeout_s: float
    queue: int
    when_full: str


@dataclass(frozen=True)
class Serving:
    """`token` is the name of a secret, or None where only this machine can ask."""

    address: str
    port: int
    token: Optional[str]


@dataclass(frozen=True)
class EngineSettings:
    """`stages.runtime`: how the engine is asked to run; `effective()` says how it does."""

    threads: int
    provider: str
    precision: str


def infer(value: Dict[str, Any]) -> Infer:
    fields = Fields(value, "stages.infer")
    fields.text("kind", "infer")
    fields.text("model", "")
    queue = fields.integer("queue", 1, 2)
    found = Infer(
        timeout_s=at_least(fields.number("timeout_s", 5.0), 0.001, "infer.timeout_s"),
        queue=min(queue, MAX_QUEUE),
        when_full=among(fields.text("when_full", "drop_oldest"), WHEN_FULL, "infer.when_full"),
    )
    fields.done()
    return found


def serving(value: Dict[str, Any]) -> Serving:
    fields = Fields(value, "stages.serving")
    found = Serving(
        address=fields.text("address", "127.0.0.1"),
        port=fields.integer("port", 0, 0),
        token=fields.optional_text("token"),
    )
    fields.done()
    if found.port > 65535:
        raise WireError(f"stages.serving.port: {found.port} is not a port")
    if found.port and found.token is None and not edges.is_loopback(found.address):
        raise WireError(f"stages.serving: {found.address} is open to others and has no token")
    return found


def engine(value: Dict[str, Any]) -> EngineSettings:
    fields = Fields(value, "stages.runtime")
    found = EngineSettings(
        threads=fields.integer("threads", 1, 1),
        provider=fields.optional_text("provider") or "",
        precision=fields.optional_text("precision") or "f32",
    )
    fields.done()
    return found
