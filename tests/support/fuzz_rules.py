"""Fuzzing of the rule parser and evaluator: texts grown from seeds, by a seed that makes the run repeatable.

`fuzz(seconds, seed)` raises AssertionError with the text and the seed at the first text that is neither
refused with a place in it nor judged true or false, or that takes longer than `SLOWEST_S`.
"""

import builtins
import random
import time
from dataclasses import dataclass
from pathlib import Path

from edgeform_wire.rules import VOCABULARIES, RuleError, is_true, parse

SEEDS = Path(__file__).parents[1] / "cases" / "rules" / "seeds.txt"
SLOWEST_S = 1.0
MAX_LENGTH = 1200
WORDS = (
    *[
        "count",
        "any",
        "all",
        "max",
        "min",
        "sum",
        "class",
        "score",
        "index",
        "x",
        "y",
        "width",
        "height",
        "area",
        "value",
        "is_over",
        "is_anomaly",
        "text",
    ],
    *[
        "and",
        "or",
        "not",
        "true",
        "false",
        "(",
        ")",
        ",",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "*",
        "/",
        '"',
        "'",
        ".",
        "0",
        "1",
        "9",
        "1e9",
        "0.5",
        "eval",
        "exec",
        "__import__",
        "lambda",
    ],
    *[
        "\\",
        "\x00",
        "\n",
        "\t",
        ";",
        ":",
        "[",
        "]",
        "{",
        "}",
        "@",
        "#",
        "$",
        "%",
        "&",
        "|",
        "^",
        "~",
        "`",
        "_",
        "é",
        "中",
        "😀",
        "�",
        "%s",
        "{0}",
        "${x}",
    ],
)
RESULTS = {
    "classify": (
        {"kind": "classify", "classes": []},
        {"kind": "classify", "classes": [{"index": 1, "label": "person", "score": 0.5}]},
    ),
    "detect": tuple(
        {"kind": "detect", "width": 8, "height": 4, "detections": found}
        for found in (
            [],
            [{"index": 0, "label": "a'\"", "score": 0.9, "box": [0, 0, 5, 5]}],
            [
                {"index": n, "label": "b", "score": 1e-30, "box": [9, 9, -1e300, 1e300]}
                for n in (1, 2)
            ],
        )
    ),
    "ner": tuple(
        {"kind": "ner", "entities": found}
        for found in (
            [],
            [{"label": "PER", "text": "Ada'", "score": 1.0, "first": 0, "last": 1}],
            [{"label": "PER", "score": 1.0, "first": 0, "last": 1}],
        )
    ),
    "threshold": tuple(
        {"kind": "threshold", "value": value, "is_over": True} for value in (0.0, 1e308, -1e308)
    ),
    "anomaly": tuple(
        {"kind": "anomaly", "score": value, "is_anomaly": False} for value in (0.0, 1e308, -1e308)
    ),
}
"""What each operator gives; the kinds of detectors share one."""
DETECTORS = ("yolov8", "anchors")


@dataclass(frozen=True)
class Tally:
    """What a run did."""

    texts: int
    rules: int
    seed: int


def seeds() -> list[str]:
    """The texts that a run begins with: one a line, `\\n` written out."""
    lines = SEEDS.read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines if line and not line.startswith("# ")]


def fuzz(seconds: float, seed: int, at_least: int = 1) -> Tally:
    """Try texts until the time is over, and at least so many."""
    chance = random.Random(seed)
    grown, texts, rules = seeds(), 0, 0
    deadline = time.monotonic() + seconds
    with no_code():
        while time.monotonic() < deadline or texts < at_least:
            text = mutated(chance, grown)
            is_rule = check(text, seed)
            texts += 1
            rules += is_rule
            if is_rule and len(grown) < 4000:
                grown.append(text)
    return Tally(texts=texts, rules=rules, seed=seed)


def check(text: str, seed: int = 0) -> bool:
    """Whether any vocabulary takes the text as a rule; what it gives then is true or false."""
    is_rule = False
    started = time.monotonic()
    for kind, vocabulary in VOCABULARIES.items():
        try:
            rule = parse(text, vocabulary)
        except RuleError as exc:
            refused = exc
        else:
            refused = None
        if refused is not None:
            assert 0 <= refused.column <= len(text), (text, seed)
            assert str(refused), (text, seed)
            continue
        is_rule = True
        for result in RESULTS["detect" if kind in DETECTORS else kind]:
            assert is_true(rule, vocabulary, result) in (True, False), (text, seed)
    assert time.monotonic() - started < SLOWEST_S, (text, seed)
    return is_rule


def mutated(chance: random.Random, grown: list[str]) -> str:
    """A text made of one or two of those that are there."""
    text = chance.choice(grown)
    for _ in range(chance.randint(1, 5)):
        place = chance.randint(0, len(text))
        end = min(len(text), place + chance.randint(0, 8))
        what = chance.randrange(6)
        if what == 0:
            text = text[:place] + chance.choice(WORDS) + text[place:]
        elif what == 1:
            text = text[:place] + text[end:]
        elif what == 2:
            text = text[:place] + text[place:end] * chance.randint(2, 60) + text[end:]
        elif what == 3:
            text = text[:place] + chance.choice(grown)[chance.randint(0, 10) :]
        elif what == 4:
            text = f"({text})" if chance.random() < 0.5 else f"not {text}"
        else:
            text = f"{text} {chance.choice(WORDS)} {chance.choice(grown)}"
    return text[:MAX_LENGTH]


class no_code:  # noqa: N801 - reads as what it does
    """While it lasts, whoever runs a text as code is found."""

    NAMES = ("eval", "exec", "compile", "__import__")

    def __enter__(self) -> None:
        self._kept = {name: getattr(builtins, name) for name in self.NAMES}

        def refuse(name):
            def refused(*arguments, **named):
                raise AssertionError(f"a rule ran {name}{arguments!r:.200}")

            return refused

        for name in ("eval", "exec", "compile"):
            setattr(builtins, name, refuse(name))

    def __exit__(self, *_) -> None:
        for name, value in self._kept.items():
            setattr(builtins, name, value)
