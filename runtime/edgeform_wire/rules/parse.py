"""Rules out of text: recursive descent, types checked on the way, depth and length bounded.

rule       = or
or         = and { "or" and }            and        = not { "and" not }
not        = "not" not | comparison
comparison = sum [ ("==" | "!=" | "<" | "<=" | ">" | ">=") sum ]
sum        = product { ("+" | "-") product }
product    = unary { ("*" | "/") unary }
unary      = "-" unary | primary
primary    = number | text | "true" | "false" | field | "(" or ")" | aggregate
aggregate  = ("count" | "any" | "all") "(" [ or ] ")" | ("max" | "min" | "sum") "(" sum [ "," or ] ")"
"""

from typing import Callable, Iterable, Tuple

from edgeform_wire.rules import tokens
from edgeform_wire.rules.tokens import RuleError, Token, tokens_of
from edgeform_wire.rules.tree import (
    NUMBER,
    TEXT,
    TRUTH,
    Aggregate,
    Both,
    Constant,
    Field,
    Negative,
    Node,
    Not,
    Rule,
)
from edgeform_wire.rules.vocabulary import Vocabulary

MAX_DEPTH = 32
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
VALUES = ("max", "min", "sum")
_TYPES = {"count": NUMBER, "any": TRUTH, "all": TRUTH, "max": NUMBER, "min": NUMBER, "sum": NUMBER}
Typed = Tuple[Node, str]


def parse(text: str, vocabulary: Vocabulary) -> Rule:
    """The rule that the text says, about results of that vocabulary.

    Raises:
        RuleError: it cannot be read, or compares what cannot be compared; with its place.
    """
    reader = _Reader(text, vocabulary)
    start = reader.next
    node = reader.disjunction()
    reader.expect_end()
    reader.want(node, TRUTH, start, "a rule is a condition")
    return Rule(text=text, root=node[0])


class _Reader:
    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text, self._vocabulary = text, vocabulary
        self._tokens = tokens_of(text)
        self._place = 0
        self._depth = 0
        self._is_in_aggregate = False

    @property
    def next(self) -> Token:
        return self._tokens[self._place]

    def want(self, found: Typed, wanted: str, at: Token, why: str) -> None:
        if found[1] != wanted:
            raise self._error(f"{why}: this is {found[1]}, not {wanted}", at)

    def expect_end(self) -> None:
        if self.next.kind != tokens.END:
            raise self._error(f"{self.next.text!r} comes after the end of the rule", self.next)

    def disjunction(self) -> Typed:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} brackets within each other", self.next)
        found = self._chain(("or",), self._conjunction, TRUTH)
        self._depth -= 1
        return found

    def _conjunction(self) -> Typed:
        return self._chain(("and",), self._negation, TRUTH)

    def _negation(self) -> Typed:
        signs = 0
        while self._is_name("not"):
            self._take()
            signs += 1
        at = self.next
        found = self._comparison()
        if signs:
            self.want(found, TRUTH, at, "'not' turns a condition round")
        return (Not(found[0]), TRUTH) if signs % 2 else found

    def _comparison(self) -> Typed:
        left = self._sum()
        if self.next.text not in COMPARISONS or self.next.kind != tokens.SIGN:
            return left
        sign = self._take()
        right = self._sum()
        if left[1] != right[1]:
            raise self._error(f"{left[1]} cannot be compared with {right[1]}", sign)
        if left[1] != NUMBER and sign.text not in ("==", "!="):
            raise self._error(f"{sign.text!r} compares numbers; this is {left[1]}", sign)
        if self.next.kind == tokens.SIGN and self.next.text in COMPARISONS:
            raise self._error("comparisons do not chain; join them with 'and'", self.next)
        return Both(sign.text, left[0], right[0]), TRUTH

    def _sum(self) -> Typed:
        return self._chain(("+", "-"), self._product, NUMBER)

    def _product(self) -> Typed:
        return self._chain(("*", "/"), self._unary, NUMBER)

    def _chain(self, signs: Tuple[str, ...], part: Callable[[], Typed], kind: str) -> Typed:
        at = self.next
        found = part()
        while self.next.text in signs and self.next.kind in (tokens.SIGN, tokens.NAME):
            sign = self._take()
            self.want(found, kind, at, f"left of {sign.text!r}")
            at = self.next
            right = part()
            self.want(right, kind, at, f"right of {sign.text!r}")
            found = Both(sign.text, found[0], right[0]), kind
        return found

    def _unary(self) -> Typed:
        signs = 0
        while self.next.kind == tokens.SIGN and self.next.text == "-":
            self._take()
            signs += 1
        at = self.next
        found = self._primary()
        if signs:
            self.want(found, NUMBER, at, "'-' turns a number round")
        return (Negative(found[0]), NUMBER) if signs % 2 else found

    def _primary(self) -> Typed:
        token = self._take()
        if token.kind == tokens.NUMBER:
            return Constant(float(token.text)), NUMBER
        if token.kind == tokens.TEXT:
            return Constant(token.text[1:-1]), TEXT
        if token.text == "(" and token.kind == tokens.SIGN:
            found = self.disjunction()
            self._close()
            return found
        if token.kind == tokens.NAME and token.text not in ("and", "or", "not"):
            return self._named(token)
        what = "the rule ends" if token.kind == tokens.END else f"{token.text!r} stands"
        raise self._error(f"{what} where a value should be", token)

    def _named(self, token: Token) -> Typed:
        if token.text in ("true", "false"):
            return Constant(token.text == "true"), TRUTH
        if self.next.kind == tokens.SIGN and self.next.text == "(":
            return self._aggregate(token)
        known = self._vocabulary.items if self._is_in_aggregate else self._vocabulary.result
        if token.text not in known:
            raise self._error(self._unknown(token.text), token)
        return Field(token.text, self._is_in_aggregate), known[token.text]

    def _unknown(self, name: str) -> str:
        if self._is_in_aggregate:
            return f"{name!r} is no field of an item; known: {_listed(self._vocabulary.items)}"
        if name in self._vocabulary.items:
            return f"{name!r} is a field of each item; use it within count(), any(), max() ..."
        return f"{name!r} is no field of the result; known: {_listed(self._vocabulary.result)}"

    def _aggregate(self, name: Token) -> Typed:
        if name.text not in _TYPES:
            raise self._error(f"there is no {name.text}(); known: {', '.join(_TYPES)}", name)
        if self._is_in_aggregate:
            raise self._error(f"{name.text}() cannot stand within another of its kind", name)
        if not self._vocabulary.list_name:
            raise self._error("results of this pipeline have no items to count", name)
        self._take()
        self._is_in_aggregate = True
        value = where = None
        if name.text in VALUES:
            at = self.next
            amount = self._sum()
            self.want(amount, NUMBER, at, f"{name.text}() takes a number")
            value = amount[0]
            if self.next.text == "," and self.next.kind == tokens.SIGN:
                self._take()
                where = self._condition()
        elif not (self.next.kind == tokens.SIGN and self.next.text == ")"):
            where = self._condition()
        self._close()
        self._is_in_aggregate = False
        return Aggregate(name.text, value, where), _TYPES[name.text]

    def _condition(self) -> Node:
        at = self.next
        found = self.disjunction()
        self.want(found, TRUTH, at, "items are chosen by a condition")
        return found[0]

    def _is_name(self, name: str) -> bool:
        return self.next.kind == tokens.NAME and self.next.text == name

    def _take(self) -> Token:
        token = self.next
        if token.kind != tokens.END:
            self._place += 1
        return token

    def _close(self) -> None:
        token = self._take()
        if token.text != ")" or token.kind != tokens.SIGN:
            raise self._error("a ')' is missing here", token)

    def _error(self, reason: str, token: Token) -> RuleError:
        return RuleError(reason, self._text, token.column)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
