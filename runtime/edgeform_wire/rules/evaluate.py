"""Whether a rule holds for a result: a walk over the tree, as many steps as nodes times items.

What cannot be known (the greatest of nothing, a division by zero, a field that a result lacks) makes
every comparison with it false.
"""

from typing import Any, Dict, List, Mapping, Optional, Union

from edgeform_wire.rules.tree import (
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

Value = Union[float, str, bool, None]
LIMIT = 1e300
"""Numbers beyond are unknown, so that nothing becomes infinite or not a number."""


def is_true(rule: Rule, vocabulary: Vocabulary, result: Mapping[str, Any]) -> bool:
    """Whether the rule holds for a result as postprocessors make them."""
    items: List[Mapping[str, Value]] = []
    if vocabulary.list_name:
        items = [_item(entry, result) for entry in result.get(vocabulary.list_name, ())]
    whole: Dict[str, Value] = {name: _plain(result.get(name)) for name in vocabulary.result}
    if vocabulary.list_name == "classes" and items:
        whole.update({"class": items[0]["class"], "score": items[0]["score"]})
    return _Walk(whole, items).value(rule.root, None) is True


def _item(entry: Mapping[str, Any], result: Mapping[str, Any]) -> Mapping[str, Value]:
    found = {name: _plain(value) for name, value in entry.items()}
    found["class"] = found.pop("label", None)
    box = entry.get("box")
    if box is not None:
        across, down = float(result["width"]), float(result["height"])
        width, height = (box[2] - box[0]) / across, (box[3] - box[1]) / down
        found.update(width=width, height=height, area=width * height)
        found.update(x=(box[0] + box[2]) / 2 / across, y=(box[1] + box[3]) / 2 / down)
    return found


def _plain(value: Any) -> Value:
    if isinstance(value, (bool, str)):
        return value
    return float(value) if isinstance(value, (int, float)) else None


class _Walk:
    def __init__(self, whole: Mapping[str, Value], items: List[Mapping[str, Value]]) -> None:
        self._whole, self._items = whole, items

    def value(self, node: Node, item: Optional[Mapping[str, Value]]) -> Value:
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Field):
            return (item or {}).get(node.name) if node.of_item else self._whole.get(node.name)
        if isinstance(node, Not):
            return self.value(node.inner, item) is not True
        if isinstance(node, Negative):
            inner = self.value(node.inner, item)
            return -inner if isinstance(inner, float) else None
        if isinstance(node, Both):
            return self._both(node, item)
        if isinstance(node, Aggregate):
            return self._aggregate(node)
        raise AssertionError(node)

    def _both(self, node: Both, item: Optional[Mapping[str, Value]]) -> Value:
        left = self.value(node.left, item)
        if node.sign == "and":
            return left is True and self.value(node.right, item) is True
        if node.sign == "or":
            return left is True or self.value(node.right, item) is True
        right = self.value(node.right, item)
        if node.sign in ("+", "-", "*", "/"):
            return _arithmetic(node.sign, left, right)
        return _compared(node.sign, left, right)

    def _aggregate(self, node: Aggregate) -> Value:
        where = node.where
        chosen = [i for i in self._items if where is None or self.value(where, i) is True]
        if node.name == "count":
            return float(len(chosen))
        if node.name == "any":
            return bool(chosen)
        if node.name == "all":
            return len(chosen) == len(self._items)
        if node.value is None:
            raise AssertionError(node)
        values = [self.value(node.value, i) for i in chosen]
        known = [v for v in values if isinstance(v, float)]
        if node.name == "sum":
            return _bounded(sum(known, 0.0))
        if not known:
            return None
        return max(known) if node.name == "max" else min(known)


def _arithmetic(sign: str, left: Value, right: Value) -> Value:
    if not isinstance(left, float) or not isinstance(right, float):
        return None
    if sign == "+":
        return _bounded(left + right)
    if sign == "-":
        return _bounded(left - right)
    if sign == "*":
        return _bounded(left * right)
    return _bounded(left / right) if right != 0.0 else None


def _bounded(value: float) -> Value:
    return value if -LIMIT < value < LIMIT else None


def _compared(sign: str, left: Value, right: Value) -> bool:
    if left is None or right is None:
        return False
    if sign == "==":
        return left == right
    if sign == "!=":
        return left != right
    if not isinstance(left, float) or not isinstance(right, float):
        return False
    if sign == "<":
        return left < right
    if sign == "<=":
        return left <= right
    return left > right if sign == ">" else left >= right
