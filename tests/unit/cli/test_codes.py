"""Codes: each one is described once, and says what the diagnostics say."""

import ast
import inspect

from edgeform.cli.codes import PLAN_CODES, every_code
from edgeform.plan import problems


def test_every_problem_of_a_plan_is_described_by_its_own_summary():
    said = {}
    for node in ast.walk(ast.parse(inspect.getsource(problems))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Diagnostic":
            words = {k.arg: k.value for k in node.keywords}
            said[words["code"].value] = words["summary"].value
    assert said == {code.code: code.summary for code in PLAN_CODES}


def test_no_code_means_two_things():
    codes = [code.code for code in every_code()]
    assert len(codes) == len(set(codes))
    assert all(code.text and code.cause for code in every_code())
