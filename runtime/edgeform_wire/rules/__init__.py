"""The rule language: conditions on results, as `count(class == "person") > count(class == "helmet")`.

Both sides read it: the controller to refuse a wrong rule with its place, the runtime to judge results.
Nothing of it can run code: a rule is a tree of the few nodes in `tree`, and evaluation walks it.
"""

from edgeform_wire.rules.evaluate import is_true
from edgeform_wire.rules.parse import parse
from edgeform_wire.rules.tokens import RuleError
from edgeform_wire.rules.tree import Rule
from edgeform_wire.rules.vocabulary import VOCABULARIES, Vocabulary

__all__ = ["VOCABULARIES", "Rule", "RuleError", "Vocabulary", "is_true", "parse"]
