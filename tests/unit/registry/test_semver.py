"""Semantic versions: the order of the specification, and the usual ranges."""

import itertools

import pytest

from edgeform.registry.semver import BadRange, parse, parse_range

# The order of semver.org, clause 11.
IN_ORDER = [
    "0.0.1",
    "0.1.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0-rc.1",
    "2.0.0",
    "2.1.0",
    "2.1.1",
]


def test_versions_are_in_the_order_of_the_specification():
    versions = [parse(text) for text in IN_ORDER]
    for lower, higher in itertools.combinations(versions, 2):
        assert lower < higher
        assert not higher < lower
    assert parse("1.0.0+a") == parse("1.0.0+b")


@pytest.mark.parametrize(
    "text", ["1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.3-", "", "1.2.x", "1.2.3\n"]
)
def test_what_is_no_version_is_none(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0 2.0.0-rc.1 0.9.0"),
        ("^1.2", "1.2.0 1.10.0", "1.1.9 2.0.0"),
        ("^1", "1.0.0 1.99.0", "0.9.9 2.0.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0 1.0.0"),
        ("^0.0.3", "0.0.3", "0.0.4 0.0.2"),
        ("^0.0", "0.0.0 0.0.9", "0.1.0"),
        ("^0", "0.0.1 0.9.0", "1.0.0"),
        ("~1.4", "1.4.0 1.4.9", "1.5.0 1.3.9"),
        ("~1.4.2", "1.4.2 1.4.9", "1.4.1 1.5.0"),
        ("~1", "1.0.0 1.9.9", "2.0.0"),
        ("1.x", "1.0.0 1.9.9", "2.0.0 0.9.9"),
        ("1.4.*", "1.4.0 1.4.9", "1.5.0"),
        ("1", "1.0.0 1.9.9", "2.0.0"),
        ("1.2.3", "1.2.3", "1.2.4 1.2.2"),
        ("=1.2.3", "1.2.3", "1.2.4"),
        (">=1.2, <2", "1.2.0 1.9.9", "2.0.0 1.1.9 2.0.0-rc.1"),
        (">=1.2 <2", "1.2.0 1.9.9", "2.0.0"),
        (">1.2", "1.3.0 2.0.0", "1.2.0 1.2.9"),
        (">1.2.3", "1.2.4", "1.2.3"),
        ("<=1.2", "1.2.9 0.1.0", "1.3.0"),
        ("<=1.2.3", "1.2.3", "1.2.4"),
        ("*", "0.0.0 9.9.9", "1.0.0-rc.1"),
        ("^1.2.3-rc.1", "1.2.3-rc.1 1.2.3-rc.2 1.2.3 1.9.0", "1.2.3-beta 1.4.0-rc.1 2.0.0"),
    ],
)
def test_a_range_holds_what_it_should(wanted, inside, outside):
    found = parse_range(wanted)
    assert [v for v in inside.split() if not found.holds(parse(v))] == []
    assert [v for v in outside.split() if found.holds(parse(v))] == []


@pytest.mark.parametrize(
    "text", ["", "latest", "^", ">=", "1.2.3.4", "^a.b", "1 2", "||", "^1 || ^2"]
)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(BadRange):
        parse_range(text)
