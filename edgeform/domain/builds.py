"""How a variant is built out of a model: the recipe, its data sets, and what must still be true of it."""

from dataclasses import dataclass, field

Scalar = str | int | float | bool
SYNTHETIC = "synthetic"
"""Stands for a calibration data set that somebody did not have; refused unless it is forced."""
LADDER = ("per-channel", "more-calibration", "mixed-precision", "fp16")
"""What may be tried, in this order, when a recipe's result does not pass the gate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a recipe, with the parameters that differ from the kind's own."""

    name: str
    parameters: tuple[tuple[str, Scalar], ...] = ()

    def with_parameters(self, **changed: Scalar) -> "Step":
        return Step(
            name=self.name, parameters=tuple(sorted((dict(self.parameters) | changed).items()))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a variant must reach on the evaluation set, against the reference network.

    Args:
        accuracy_drop: at most so much less of the task's metric (0.01: one point of a hundred).
        agreement: at least this share of samples where variant and reference answer alike.
        sqnr_db: at least this signal to quantisation noise of the outputs.
        ladder: what may be tried when it does not pass; empty: nothing.
    """

    accuracy_drop: float = 0.01
    agreement: float = 0.98
    sqnr_db: float = 15.0
    ladder: tuple[str, ...] = LADDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A variant that is made here and not found in the registry.

    Args:
        source: the model file in the version's folder that the recipe begins with.
        calibration: folder of a data set, relative to the site; `synthetic`; None where no step needs one.
        evaluation: folder of the data set that the gate judges by.
        pipeline: whose preprocessing the samples go through; None: the only one that infers with the model.
        include: files of the source's folder that belong to the variant as they are (labels).
    """

    source: str
    recipe: tuple[Step, ...]
    evaluation: str
    calibration: str | None = None
    pipeline: str | None = None
    include: tuple[str, ...] = ()
    gate: Gate = field(default_factory=Gate)
