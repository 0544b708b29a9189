"""How many things were found exactly: precision, recall and F1 of entities. numpy is not even needed."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Counts of what was right, of what was told, and of what was there."""

    right: int
    told: int
    there: int

    @property
    def precision(self) -> float:
        return self.right / self.told if self.told else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.there if self.there else 0.0

    @property
    def f1(self) -> float:
        both = self.told + self.there
        return 2 * self.right / both if both else 0.0


def matches(
    told: Iterable[tuple[str, Hashable]], there: Iterable[tuple[str, Hashable]]
) -> tuple[Matches, Mapping[str, Matches]]:
    """Of all, and of each label; things are (label, place), right where both are the same."""
    counts = (Counter(told), Counter(there))
    right = counts[0] & counts[1]
    labels = sorted({label for count in counts for label, _ in count})

    def of(wanted: Iterable[str]) -> Matches:
        kept = set(wanted)
        sums = [
            sum(n for (label, _), n in count.items() if label in kept) for count in (right, *counts)
        ]
        return Matches(right=sums[0], told=sums[1], there=sums[2])

    return of(labels), {label: of((label,)) for label in labels}
