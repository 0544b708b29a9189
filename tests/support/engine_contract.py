"""The contract of every engine, as a program: it runs inside an engine's closure, without pytest.

    python -s -m support.engine_contract '{"engine": "litert", ...}'

Prints one JSON object: behaviour -> null, or what went wrong. Needs numpy, the runtime and the engine.
"""

import json
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeform_runtime.engines import engine_of, probe
from edgeform_runtime.engines.base import Engine, EngineConfig, Session
from edgeform_runtime.errors import EngineUnavailable, InferenceFailed, ModelRefused, RuntimeFault

GIVEN = (2.0, -1.0, 4.0, 0.25)
EXPECTED = (2.5, -1.5, 12.5, 1.5)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An engine, and a model of it that gives x * (1, 2, 3, 4) + 0.5.

    Args:
        provider: what must be in effect.
        absent: a provider that the engine knows and this machine does not have.
        virtual: one that would choose by itself, or that nobody knows.
        damage: how many cuts of the model file to try.
        wrong_model: for engines whose self test is the model itself: one that computes wrongly.
    """

    engine: str
    model: str
    provider: str
    absent: str
    virtual: str
    precision: str = "f32"
    impossible_precision: str = "int8"
    cache_dir: str | None = None
    wrong_model: str | None = None
    damage: int = 40

    def config(self, **changes: object) -> EngineConfig:
        whole = EngineConfig(
            provider=self.provider, precision=self.precision, cache_dir=self.cache_dir
        )
        return replace(whole, **changes)  # type: ignore[arg-type]


Behaviour = Callable[[Engine, Subject], None]
BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(function: Behaviour) -> Behaviour:
    BEHAVIOURS[function.__name__] = function
    return function


def given(session: Session) -> dict[str, np.ndarray]:
    return {session.inputs[0].name: np.asarray([GIVEN], np.float32)}


def answer_of(session: Session) -> tuple[float, ...]:
    return tuple(float(v) for v in session.infer(given(session))[session.outputs[0].name].ravel())


def refusal(call: Callable[[], object], *kinds: type[RuntimeFault]) -> RuntimeFault:
    try:
        call()
    except kinds as exc:
        return exc
    raise AssertionError(f"not refused with {kinds}")


@behaviour
def it_has_a_name_a_version_and_the_endings_it_reads(engine: Engine, subject: Subject) -> None:
    assert engine.name == subject.engine
    assert engine.version[0].isdigit(), engine.version
    assert os.path.splitext(subject.model)[1] in engine.extensions


@behaviour
def it_opens_a_model_and_answers_exactly(engine: Engine, subject: Subject) -> None:
    session = engine.open(subject.model, subject.config())
    assert answer_of(session) == EXPECTED
    session.close()


@behaviour
def it_names_inputs_and_outputs(engine: Engine, subject: Subject) -> None:
    session = engine.open(subject.model, subject.config())
    (x,), (y,) = session.inputs, session.outputs
    assert (x.name, x.dtype, x.shape, x.scale) == ("x", "float32", (1, 4), None), x
    assert (y.name, y.dtype, y.shape) == ("y", "float32", (1, 4)), y


@behaviour
def answers_are_repeatable_and_belong_to_the_caller(engine: Engine, subject: Subject) -> None:
    session = engine.open(subject.model, subject.config())
    first = session.infer(given(session))["y"]
    kept = first.copy()
    for _ in range(20):
        session.infer({"x": np.zeros((1, 4), np.float32)})
        assert (session.infer(given(session))["y"] == kept).all()
    assert (first == kept).all()
    first[:] = 7
    assert answer_of(session) == EXPECTED


@behaviour
def several_threads_may_ask_at_once(engine: Engine, subject: Subject) -> None:
    session = engine.open(subject.model, subject.config())
    wrong: list[object] = []

    def ask(factor: float) -> None:
        for _ in range(50):
            fed = np.asarray([GIVEN], np.float32) * np.float32(factor)
            found = session.infer({"x": fed})["y"]
            if not (found == fed * np.asarray([1, 2, 3, 4], np.float32) + np.float32(0.5)).all():
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(2.0**n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


@behaviour
def what_is_in_effect_is_told(engine: Engine, subject: Subject) -> None:
    effective = engine.open(subject.model, subject.config(threads=1)).effective()
    assert effective.provider == subject.provider
    assert effective.precision == subject.precision, effective
    assert effective.threads == 1
    assert effective.probe.startswith("right on"), effective.probe
    json.dumps(effective.to_json())


@behaviour
def a_provider_that_is_not_here_is_refused_and_the_cpu_does_not_step_in(
    engine: Engine, subject: Subject
) -> None:
    config = subject.config(provider=subject.absent)
    refused = refusal(lambda: engine.open(subject.model, config), EngineUnavailable)
    assert subject.absent.lower() in refused.summary.lower(), refused.summary


@behaviour
def a_provider_that_chooses_by_itself_or_is_unknown_is_refused(
    engine: Engine, subject: Subject
) -> None:
    config = subject.config(provider=subject.virtual)
    refusal(lambda: engine.open(subject.model, config), EngineUnavailable)


@behaviour
def a_precision_that_is_not_in_effect_is_refused(engine: Engine, subject: Subject) -> None:
    config = subject.config(precision=subject.impossible_precision)
    refused = refusal(lambda: engine.open(subject.model, config), EngineUnavailable)
    assert subject.impossible_precision in refused.summary


@behaviour
def an_engine_that_computes_wrongly_is_not_there(engine: Engine, subject: Subject) -> None:
    if subject.wrong_model is not None:
        wrong = subject.wrong_model
        refused = refusal(lambda: engine.open(wrong, subject.config()), EngineUnavailable)
        assert "wrongly" in refused.summary
        return
    right = probe.OUTPUT
    probe.OUTPUT = (1.5, -3.5, 1.25, 32.0)  # type: ignore[assignment]
    try:
        refused = refusal(lambda: engine.open(subject.model, subject.config()), EngineUnavailable)
    finally:
        probe.OUTPUT = right  # type: ignore[assignment]
    assert "wrongly" in refused.summary


@behaviour
def wrong_tensors_are_refused_and_the_session_goes_on(engine: Engine, subject: Subject) -> None:
    session = engine.open(subject.model, subject.config())
    for feeds in (
        {"x": np.zeros((1, 5), np.float32)},
        {"x": np.zeros((3, 2, 2), np.float32)},
        {"other": np.zeros((1, 4), np.float32)},
    ):
        refusal(lambda feeds=feeds: session.infer(feeds), InferenceFailed)
    assert answer_of(session) == EXPECTED


@behaviour
def a_file_that_is_no_model_is_refused(engine: Engine, subject: Subject) -> None:
    ending = os.path.splitext(subject.model)[1]
    whole = Path(subject.model).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model" + ending)
        step = max(1, len(whole) // subject.damage)
        for content in (b"", b"garbage" * 20, *(whole[:n] for n in range(1, len(whole), step))):
            path.write_bytes(content)
            refusal(
                lambda: engine.open(str(path), subject.config()), ModelRefused, EngineUnavailable
            )
        path.unlink()
        refusal(lambda: engine.open(str(path), subject.config()), ModelRefused, EngineUnavailable)


@behaviour
def a_closed_session_says_so(engine: Engine, subject: Subject) -> None:
    session = engine.open(subject.model, subject.config())
    session.close()
    session.close()
    refused = refusal(
        lambda: session.infer({"x": np.asarray([GIVEN], np.float32)}), InferenceFailed
    )
    assert "closed" in refused.summary


def kept(subject: Subject) -> dict[str, str | None]:
    """What each behaviour came to: None, or what went wrong."""
    engine = engine_of(subject.engine)
    found: dict[str, str | None] = {}
    for name, check in BEHAVIOURS.items():
        try:
            check(engine, subject)
            found[name] = None
        except Exception:
            found[name] = traceback.format_exc()
    return found


if __name__ == "__main__":
    print(json.dumps(kept(Subject(**json.loads(sys.argv[1])))))
