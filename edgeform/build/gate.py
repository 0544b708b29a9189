"""The gate: whether a variant is still right, by figures of the evaluation set; pure.

All of it must hold: accuracy, agreement and SQNR, on held-out samples that calibration never saw, from a set
that is large enough for the figure (`datasets.check_evaluation`). Nothing passes by being measured badly: a
figure that is missing fails.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgeform.build.datasets import CONFIDENCE
from edgeform.domain.builds import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One demand, what was wanted and what was found."""

    name: str
    wanted: str
    found: str
    passed: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "wanted": self.wanted,
            "found": self.found,
            "passed": self.passed,
        }


def judged(gate: Gate, figures: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """Every demand of the gate against the figures of an evaluation with a reference."""
    return tuple(_verdicts(gate, figures))


def _verdicts(gate: Gate, figures: Mapping[str, Any]) -> Iterator[Verdict]:
    bad = int(figures["non_finite"])
    if bad or figures["constant"]:
        said = f"{bad} samples not finite" if bad else "the same answer for every sample"
        yield Verdict(name="sane outputs", wanted="finite, not constant", found=said, passed=False)
    if figures.get("accuracy") is not None:
        drop = accuracy_drop(figures)
        yield Verdict(
            name="accuracy drop",
            wanted=f"at most {gate.accuracy_drop:.4g}",
            found=f"{drop:.4f} ({figures['reference_accuracy']:.4f} to {figures['accuracy']:.4f};"
            f" at most {worst_drop(figures):.4f}, {CONFIDENCE:.0%} sure)",
            passed=drop <= gate.accuracy_drop + 1e-9,
        )
    agreement = float(figures["agreement"])
    yield Verdict(
        name="agreement",
        wanted=f"at least {gate.agreement:.4g}",
        found=f"{agreement:.4f}",
        passed=agreement >= gate.agreement - 1e-9,
    )
    sqnr_db = float(figures["sqnr_db"])
    yield Verdict(
        name="SQNR",
        wanted=f"at least {gate.sqnr_db:.4g} dB",
        found=f"{sqnr_db:.1f} dB",
        passed=sqnr_db >= gate.sqnr_db,
    )


def accuracy_drop(figures: Mapping[str, Any]) -> float:
    """How much less of the task's metric than the reference; negative when it is more."""
    return float(figures["reference_accuracy"]) - float(figures["accuracy"])


def worst_drop(figures: Mapping[str, Any]) -> float:
    """The largest drop that the samples do not exclude, with CONFIDENCE.

    Of n samples `worse` got worse and `better` got better. The share that gets worse is at most the upper
    Clopper-Pearson bound; what got better is taken as it was seen.
    """
    count, worse = int(figures["samples"]), int(figures["worse"])
    return upper_bound(worse, count) - int(figures["better"]) / count


def upper_bound(events: int, trials: int) -> float:
    """The one-sided Clopper-Pearson bound: the share for which so few events are just not unlikely."""
    if events >= trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(events, trials, middle) > 1.0 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(events: int, trials: int, share: float) -> float:
    """Probability of at most so many events; summed in logarithms, so that large sets do not underflow."""
    if share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    return sum(
        math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(k + 1)
            - math.lgamma(trials - k + 1)
            + k * math.log(share)
            + (trials - k) * math.log1p(-share)
        )
        for k in range(events + 1)
    )
