"""Lines of a shift's logbook with their entities, made from patterns: which machine, which part, who, when.

    "14:20 Press 3: hose at valve V12 burst, Miller called the fitter"

Entities: MACHINE (press 3, robot R2), PART (valve V12, hose), PERSON (Miller), TIME (14:20, Tuesday).
A plant knows its machines and parts, so those are words that training has seen, with numbers that it may
not have. Patterns, people, verbs and states of the held-out split are in training nowhere: what is
measured is whether the tagger reads sentences that it has never seen.
"""

import re
from dataclasses import dataclass

import numpy as np

TYPES = ("MACHINE", "PART", "PERSON", "TIME")
TAGS = ("O", *(f"{place}-{name}" for name in TYPES for place in "BI"))
SPLITS = {"train": 1, "held-out": 2}
LENGTH = 128
"""Characters; no line is longer."""
ALPHABET = (
    "[PAD]",
    "[UNK]",
    *" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;-/()'%+",
)

MACHINES = (
    "press", "robot", "oven", "lathe", "mill", "crane", "conveyor", "welder", "furnace", "packer",
    "mixer", "grinder", "loader", "palletiser", "saw", "extruder", "dryer", "stacker", "shear",
)  # fmt: skip
PARTS = (
    "valve", "pump", "hose", "bearing", "belt", "filter", "sensor", "motor", "seal", "fan", "gear",
    "spindle", "cable", "fuse", "nozzle", "clutch", "chain", "brake", "coupling", "gripper",
    "light curtain", "oil line", "limit switch", "gasket", "relay", "encoder", "cylinder",
    "guide rail", "drive shaft",
)  # fmt: skip
PEOPLE = {
    "train": (
        "Miller", "Novak", "Costa", "Weber", "Silva", "Okafor", "Jansen", "Rossi", "Kim", "Larsen",
        "Fischer", "Moreau", "Patel", "Lopez", "Andersson", "Kowalski", "Santos", "Braun", "Dubois",
        "Nguyen", "Schmidt", "Almeida", "Petrov", "Haas", "Berg", "Ferreira", "Lang", "O'Neill",
        "Wolf", "Ito", "Horvat", "Sato", "Meyer", "Ramos", "Popescu", "Eriksen", "Demir", "Singh",
    ),
    "held-out": (
        "Keller", "Tavares", "Nowak", "Richter", "Bianchi", "Osei", "Lindgren", "Marques", "Vogel",
        "Chen", "Hughes",
    ),
}  # fmt: skip
SYLLABLES = (
    ("b", "br", "c", "d", "f", "g", "h", "j", "k", "kr", "l", "m", "n", "p", "r", "s", "sch", "st",
     "t", "tr", "v", "w", "z", ""),
    ("a", "e", "i", "o", "u", "ei", "au", "ie", "y"),
    ("", "", "n", "r", "l", "s", "t", "ck", "nd", "rg", "ch", "m", "sen", "ner", "ski", "ez"),
)  # fmt: skip
"""Half of the people in training have names made of these, and some verbs: a list must not be learnt."""
DONE = {
    "train": (
        "changed", "checked", "cleaned", "greased", "replaced", "adjusted", "tested", "moved",
        "repaired", "watched", "fixed", "took", "saw", "heard", "ordered", "tightened", "removed",
        "welded", "measured", "reset", "restarted", "closed", "switched off", "looked at", "filled",
        "emptied", "drained", "lifted", "blamed", "asked for", "needs", "wants", "will fetch",
        "is waiting for", "must order", "has no", "knows", "can see", "should check",
    ),
    "held-out": ("opened", "exchanged", "inspected", "will bring", "suspects", "stopped", "found"),
}  # fmt: skip
STATES = {
    "train": (
        "worn", "loose", "blocked", "too hot", "broken", "dirty", "cracked", "noisy", "leaking",
        "empty", "missing", "late", "out of line", "tight again", "bent", "rusty", "wet", "ready",
        "in the store", "not here yet", "stuck", "slow", "overdue", "as good as new", "burnt",
        "without oil", "under test", "down", "on order", "free", "clear", "locked",
    ),
    "held-out": ("squeaking", "smoking", "torn", "damaged", "on the table", "too old"),
}  # fmt: skip
EXTRAS = {
    "train": (
        "again", "today", "please", "as usual", "for the third time", "and wrote it down", "soon",
        "before lunch", "with the fitter", "by hand", "in a hurry", "at last", "once more",
        "without success", "and all is well", "but it came back", "as agreed", "twice",
    ),
    "held-out": ("this shift", "with care", "and went home", "in vain"),
}  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PATTERNS = {
    "train": (
        "{M}: {p} {s}, {N} informed",
        "{T} {M} {s}, {p} {s}",
        "{T} {M}: {p} {s}, {N} called the fitter",
        "{N} {d} the {p} of {m} at {T}",
        "{N} {d} {p} and {p} on {m}",
        "{N} {d} the {p} {e}",
        "{T} {N} {d} {m} {e}",
        "{N} and {N} {d} {m} on {T}",
        "{p} of {m} is {s}, order a new one by {T}",
        "{p} on {m} {s} {e}",
        "The {p} of {m} is {s}",
        "The {p} on {m} was {s} and is {s}",
        "A {p} near {m} is {s}, {N} {d} it",
        "{M} {s} since {T}, waiting for {p}",
        "No fault found at {m}, {N} {d} the {p}",
        "{M} and {m} run again since {T}",
        "{T}: {N} took over from {N}",
        "Tell {N} that the {p} is {s}",
        "Call {N} when {m} is {s}",
        "Asked {N} for a {p}, comes {T}",
        "{p} at {m} {s}, {N} reduced the speed",
        "Noise from {m}, probably the {p}",
        "{N}: {m} makes scrap, {p} {s}",
        "{D} {m} and {d} the {p}",
        "{D} the {p} of {m} {e}",
        "{D} {p}, test with {N} on {T}",
        "{T} alarm at {m}, reset by {N}",
        "Shift handed over to {N} at {T}",
        "{M} ran 3 hours without {p}, {N} knows",
        "Since {T} {m} is {s}",
        "After {T} {N} {d} {m}",
        "Until {T} only {m} may run, says {N}",
        "Before {T} nobody {d} the {p}",
        "On {T} the {p} of {m} was {s}",
        "At {T} {m} was {s} and {N} {d} it",
        "From {T} on {N} {d} {m}",
        "{p} {d} by {N}",
        "{M} ok, {m} ok, {p} checked by {N}",
        "{M} {s} {e}, {N} thinks of the {p}",
        "Oil under {m}: {p} or {p}, {N} looks {T}",
        "Spare {p} is {s} since {T}",
        "{M} lost pressure at {T} because of the {p}",
        "All quiet, nothing to report",
        "Nobody was here {e}",
        "Safety check of {m} done {T}, {p} {s}",
        "{M} waits for {N}",
        "Do not start {m} before {T}",
        "{N} will be here at {T} and then {m} is {s}",
    ),
    "held-out": (
        "{T} {N} {d} a crack in the {p} of {m}",
        "{M} trips again and again, {N} {d} the {p}",
        "{D} {p} at {m}, test run {T}",
        "{N} {d} the {p} on {T}",
        "Since {T} the {p} of {m} is {s}",
        "{M}: {p} ordered by {N}",
        "{p} near {m} {s}, switched off at {T}",
        "Ask {N} before touching the {p}",
        "{N} {d} {m} at {T} and then the {p} {e}",
        "Nothing happened {e}",
    ),
}
MAY_BE_LOWER, MADE_UP = 0.05, 0.3
ENDINGS = {"{d}": ("ed", "s", "t"), "{D}": ("ed",), "{s}": ("ed", "ing", "y", "")}
"""Of verbs and states in training that no language has: the tagger must not need to know every word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    label: str
    start: int
    end: int
    """Places in the text; `end` is behind the last character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    text: str
    entities: tuple[Entity, ...]

    def line(self) -> str:
        """The right answer, as `golden.answer_line` writes it."""
        said = [f"{e.label} {self.text[e.start : e.end]}" for e in self.entities]
        return "; ".join(said) or "nothing"


def sentence(split: str, number: int) -> Sentence:
    """The sentence of that number; always the same one."""
    rng = np.random.default_rng([SPLITS[split], number])
    pattern = _one(PATTERNS[split], rng)
    text, entities = "", []
    for piece in re.split(r"(\{[a-zA-Z]\})", pattern):
        words = piece
        if piece in _WORDS:
            words = _one(_WORDS[piece][split], rng)
            if split == "train" and piece in ENDINGS and rng.random() < MADE_UP:
                words = _made_up(rng) + _one(ENDINGS[piece], rng)
        elif piece in _ENTITIES:
            label, words = _ENTITIES[piece](split, rng)
            if not text:
                words = words[0].upper() + words[1:]
            entities.append(Entity(label=label, start=len(text), end=len(text) + len(words)))
        text += words
    text = text[0].upper() + text[1:]
    if rng.random() < 0.3:
        text += "."
    if rng.random() < MAY_BE_LOWER:
        text = text.lower()
    return Sentence(text=text, entities=tuple(entities))


def tags_of(found: Sentence) -> np.ndarray:
    """(128,) places in TAGS, one a character; what is behind the text is O."""
    tags = np.zeros(LENGTH, np.int64)
    for entity in found.entities:
        tags[entity.start] = TAGS.index(f"B-{entity.label}")
        tags[entity.start + 1 : entity.end] = TAGS.index(f"I-{entity.label}")
    return tags


def _one(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _made_up(rng: np.random.Generator) -> str:
    return "".join(_one(part, rng) for part in SYLLABLES * 2)[:10]


def _code(rng: np.random.Generator) -> str:
    letter = "ABCDEFGHKLMPRSTVX"[int(rng.integers(17))]
    join = ("", "-", "")[int(rng.integers(3))]
    return f"{letter}{join}{int(rng.integers(1, 100))}"


def _machine(split: str, rng: np.random.Generator) -> tuple[str, str]:
    del split
    name = _one(MACHINES, rng)
    kind = int(rng.integers(4))
    number = str(int(rng.integers(1, 30)))
    whole = (f"{name} {number}", f"{name} {_code(rng)}", f"{name} no. {number}", name)[kind]
    return "MACHINE", whole


def _machine_first(split: str, rng: np.random.Generator) -> tuple[str, str]:
    label, words = _machine(split, rng)
    return label, words[0].upper() + words[1:]


def _part(split: str, rng: np.random.Generator) -> tuple[str, str]:
    del split
    name = _one(PARTS, rng)
    return "PART", f"{name} {_code(rng)}" if rng.random() < 0.4 else name


def _person(split: str, rng: np.random.Generator) -> tuple[str, str]:
    name = _one(PEOPLE[split], rng)
    if split == "train" and rng.random() < 0.5:
        name = _made_up(rng).capitalize()
    if rng.random() < 0.25:
        name = f"{'ABCDEFGHJKLMNOPRSTW'[int(rng.integers(19))]}. {name}"
    return "PERSON", name


def _time(split: str, rng: np.random.Generator) -> tuple[str, str]:
    del split
    hour, minute = int(rng.integers(24)), int(rng.integers(60))
    choices = (
        f"{hour:02d}:{minute:02d}",
        f"{hour}:{minute:02d}",
        f"{_one(DAYS, rng)}",
        f"{_one(DAYS, rng)} {hour:02d}:{minute:02d}",
        f"{int(rng.integers(1, 29))}.{int(rng.integers(1, 13))}.",
    )
    return "TIME", _one(choices, rng)


_ENTITIES = {"{M}": _machine_first, "{m}": _machine, "{p}": _part, "{N}": _person, "{T}": _time}
_WORDS = {"{d}": DONE, "{D}": DONE, "{s}": STATES, "{e}": EXTRAS}
