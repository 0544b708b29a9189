"""Reference histograms: what a model's inputs looked like when it was made, and how far inputs have moved.

`drift/reference.json` in a model artifact, signed with it. Both sides are here: the edges and shares that a
build writes, and the population stability index that the runtime computes against them.

    PSI = sum over bins of (share now - share then) * ln(share now / share then)

Sources: N. Siddiqi, Credit Risk Scorecards, 2006 (the index; under 0.1 no change, over 0.25 a shift);
B. Yurdakul, Statistical Properties of Population Stability Index, 2018 (without a shift the index is about
chi-square with bins - 1 degrees of freedom, times 1/n + 1/m; `chance_level` is the far end of that).
"""

import bisect
import math
from dataclasses import dataclass
from typing import Any, Dict, Sequence, Tuple

from edgeform_wire import canonical
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of

SCHEMA = "edgeform.reference/1"
PATH = "drift/reference.json"
MODERATE, SHIFTED = 0.1, 0.25
BINS = 10
LEAST_INPUTS = 50
MAX_FEATURES = 64
FAR_DEVIATIONS = 4.0
_EMPTY_SHARE = 0.5
"""An empty bin counts as half an input: the logarithm of nothing is no number."""


@dataclass(frozen=True)
class Feature:
    """How one number per input was spread: bin i has the inputs below edge i, the last bin the rest."""

    name: str
    edges: Tuple[float, ...]
    counts: Tuple[int, ...]

    def to_json(self) -> Dict[str, Any]:
        return {"name": self.name, "edges": list(self.edges), "counts": list(self.counts)}


@dataclass(frozen=True)
class Reference:
    """What was seen of `inputs` inputs that went through the preprocessing with that digest."""

    inputs: int
    preprocess_digest: str
    features: Tuple[Feature, ...]

    def encoded(self) -> bytes:
        return canonical.encode(
            {
                "schema": SCHEMA,
                "inputs": self.inputs,
                "preprocess_digest": self.preprocess_digest,
                "features": [feature.to_json() for feature in self.features],
            }
        )


def reference_of(
    seen: Sequence[Dict[str, float]], preprocess_digest: str, bins: int = BINS
) -> Reference:
    """The reference of inputs, each given by the same features; bins hold about as many inputs each.

    Raises:
        WireError: fewer inputs than can say anything, or features that differ or are not finite.
    """
    if len(seen) < LEAST_INPUTS:
        raise WireError(f"{len(seen)} inputs, {LEAST_INPUTS} are the least for a reference")
    names = sorted(seen[0])
    if any(sorted(one) != names for one in seen):
        raise WireError("the inputs have different features")
    features = []
    for name in names:
        values = sorted(one[name] for one in seen)
        if not all(math.isfinite(value) for value in values):
            raise WireError(f"feature {name} is not finite for every input")
        cuts = (values[len(values) * n // bins] for n in range(1, bins))
        # Equal edges would be bins of nothing.
        edges = tuple(sorted({cut for cut in cuts if cut > values[0]})) or _around(values[0])
        features.append(Feature(name, edges, counts_of(edges, values)))
    return Reference(len(seen), preprocess_digest, tuple(features))


def counts_of(edges: Sequence[float], values: Sequence[float]) -> Tuple[int, ...]:
    """How many values fall into each bin: bin i holds those below edge i and not below the one before."""
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bisect.bisect_right(edges, value)] += 1
    return tuple(counts)


def psi(then: Sequence[int], now: Sequence[int]) -> float:
    """The population stability index of two histograms with the same bins; 0 for the same shares.

    Raises:
        ValueError: other bins, or one of them is empty altogether.
    """
    if len(then) != len(now) or not sum(then) or not sum(now):
        raise ValueError("two histograms with the same bins and something in them")
    expected, actual = _shares(then), _shares(now)
    return math.fsum((a - e) * math.log(a / e) for e, a in zip(expected, actual))


def chance_level(bins: int, then: int, now: int) -> float:
    """What the index of so many inputs exceeds by chance hardly ever."""
    scale = 1.0 / then + 1.0 / now
    freedom = max(0, bins - 1)
    return scale * (freedom + FAR_DEVIATIONS * math.sqrt(2.0 * freedom))


def _around(value: float) -> Tuple[float, ...]:
    """Bins for inputs that all say the same: below it, it, and above it."""
    width = max(1e-9, abs(value) * 1e-6)
    return value - width, value + width


def _shares(counts: Sequence[int]) -> Tuple[float, ...]:
    filled = [count or _EMPTY_SHARE for count in counts]
    total = math.fsum(filled)
    return tuple(count / total for count in filled)


def decode(document: bytes) -> Reference:
    """The reference of a file's bytes.

    Raises:
        WireError: not the agreed form, or counts that do not add up.
    """
    fields = schema_of(canonical.decode(document, "drift reference"), SCHEMA, "drift reference")
    found = Reference(
        inputs=fields.integer("inputs", LEAST_INPUTS),
        preprocess_digest=fields.digest("preprocess_digest"),
        features=fields.each("features", _feature),
    )
    fields.done()
    names = [feature.name for feature in found.features]
    if not names or len(names) > MAX_FEATURES or len(set(names)) != len(names):
        raise WireError(f"drift reference: {len(names)} features, or one of them twice")
    if any(sum(feature.counts) != found.inputs for feature in found.features):
        raise WireError("drift reference: the counts of a feature are not as many as the inputs")
    return found


def _feature(value: Any, what: str) -> Feature:
    fields = Fields(value, what)
    found = Feature(
        name=fields.text("name"),
        edges=fields.each("edges", _edge),
        counts=fields.each("counts", _count),
    )
    fields.done()
    if len(found.counts) != len(found.edges) + 1 or len(found.counts) > 100:
        raise WireError(f"{what}: {len(found.edges)} edges and {len(found.counts)} counts")
    if any(a >= b for a, b in zip(found.edges, found.edges[1:])):
        raise WireError(f"{what}: the edges do not rise")
    return found


def _edge(value: Any, what: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise WireError(f"{what}: {value!r:.40} is no edge")
    return float(value)


def _count(value: Any, what: str) -> int:
    if type(value) is not int or value < 0:
        raise WireError(f"{what}: {value!r:.40} is no count")
    return value
