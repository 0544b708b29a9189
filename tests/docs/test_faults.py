"""The table of faults names tests that there are."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NAMED = re.findall(
    r"`([a-z0-9_/]+\.py)::(test_\w+)`", (REPOSITORY / "docs/reference/faults.md").read_text()
)


def test_there_is_a_table():
    assert len(NAMED) > 40


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_a_named_test_is_there(file, name):
    assert f"def {name}(" in (REPOSITORY / "tests" / file).read_text()
