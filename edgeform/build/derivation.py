"""What a built variant follows from, as one digest: the same derivation, the same artifact.

Nothing that says when, where or by whom belongs in here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeform.domain.build_request import gate_json, step_json
from edgeform.domain.builds import Gate, Step
from edgeform.domain.recipes import whole
from edgeform_wire import canonical

SCHEMA = "edgeform.derivation/1"
_WORDS = {
    "source": "the source model",
    "entry": "the source's file",
    "include": "the files beside it",
    "recipe": "the recipe",
    "calibration": "the calibration set",
    "evaluation": "the evaluation set",
    "stages": "the pipeline's capture, preprocess or postprocess",
    "gate": "the gate",
    "builders": "a builder's closure",
    "target": "the accelerators it is for",
    "engine": "the engine",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """Everything that decides what comes out.

    Args:
        source: digest over every file of the model's version. entry: the file in it.
        calibration: digest of the data set; `synthetic`; None where no step calibrates.
        stages: capture, preprocess and postprocess of the pipeline, as in a pipeline file.
        builders: (name, digest) of every closure that a rung of the ladder may use, and of the evaluator.
        target: the accelerators that the variant is for.
        engine: (name, version) that judged it and that its goldens are of.
    """

    source: str
    entry: str
    include: tuple[str, ...]
    recipe: tuple[Step, ...]
    calibration: str | None
    evaluation: str
    stages: Mapping[str, Any]
    gate: Gate
    builders: tuple[tuple[str, str], ...]
    target: tuple[str, ...]
    engine: tuple[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "source": self.source,
            "entry": self.entry,
            "include": list(self.include),
            "recipe": [step_json(whole(step)) for step in self.recipe],
            "calibration": self.calibration,
            "evaluation": self.evaluation,
            "stages": dict(self.stages),
            "gate": gate_json(self.gate),
            "builders": dict(self.builders),
            "target": list(self.target),
            "engine": {"name": self.engine[0], "version": self.engine[1]},
        }

    @property
    def digest(self) -> str:
        return canonical.digest_of(self.to_json())


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Why a derivation is another one: each input that changed, as a sentence with old and new."""
    found = []
    for key, words in _WORDS.items():
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            found += [
                f"{words}: {name} {_shown(before.get(name))} -> {_shown(after.get(name))}"
                for name in sorted({*before, *after})
                if before.get(name) != after.get(name)
            ]
        else:
            found.append(f"{words}: {_shown(before)} -> {_shown(after)}")
    return tuple(found)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value[:19] if value.startswith("sha256:") else value
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, dict) and "step" in v for v in value)
    ):
        return " > ".join(_step(v) for v in value)
    text = canonical.encode(value).decode()
    return text if len(text) <= 60 else f"{canonical.digest_of(value)[:19]}"


def _step(value: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{k} {v}" for k, v in sorted(value["parameters"].items()))
    return f"{value['step']}({shown})" if shown else str(value["step"])
