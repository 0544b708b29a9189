"""Layers: what wins, what is removed, what is shared, and where everything came from."""

from edgeform.spec.merge import Layer, merge, merged, origins
from edgeform.spec.read import read_bytes


def yaml(text):
    return read_bytes(text.encode(), "f.yaml").documents[0].value


def test_mappings_merge_and_null_removes():
    found = merge(yaml("{a: 1, b: {c: 2, d: 3}}"), yaml("{b: {c: 9, d: null}, e: 4}"))
    assert found == {"a": 1, "b": {"c": 9}, "e": 4}


def test_null_in_something_new_leaves_nothing():
    assert merge(yaml("{a: 1}"), yaml("{b: {c: null, d: 1}}")) == {"a": 1, "b": {"d": 1}}


def test_plain_lists_replace():
    assert merge(yaml("{a: [1, 2]}"), yaml("{a: [3]}")) == {"a": [3]}


def test_named_lists_merge_by_name_in_order_of_first_appearance():
    lower = yaml("{p: [{name: a, x: 1}, {name: b}]}")
    upper = yaml("{p: [{name: c}, {name: a, y: 2}]}")
    assert merge(lower, upper) == {
        "p": [{"name": "a", "x": 1, "y": 2}, {"name": "b"}, {"name": "c"}]
    }


def test_an_empty_list_replaces_nothing_of_a_named_list():
    assert merge(yaml("{p: [{name: a}]}"), yaml("{p: []}")) == {"p": [{"name": "a"}]}


def test_layers_are_not_changed():
    lower, upper = (
        yaml("{a: {b: 1}, p: [{name: x, v: 1}]}"),
        yaml("{a: {c: 2}, p: [{name: x, v: 2}]}"),
    )
    merged([lower, upper])
    assert lower == {"a": {"b": 1}, "p": [{"name": "x", "v": 1}]}
    assert upper == {"a": {"c": 2}, "p": [{"name": "x", "v": 2}]}


def test_what_one_layer_says_alone_is_shared():
    lower, upper = yaml("{a: {b: 1}}"), yaml("{c: {d: 1}}")
    found = merged([lower, upper])
    assert found["a"] is lower["a"]
    assert found["c"] is upper["c"]


def test_merged_blocks_know_whether_they_have_references():
    assert merge(yaml("{a: {b: 1}}"), yaml("{a: {c: '${n}'}}")).is_dynamic
    assert not merge(yaml("{a: {c: '${n}'}}"), yaml("{a: {c: 1}}")).is_dynamic


def test_origins_name_each_layer_from_the_highest_down():
    layers = (
        Layer(name="low", root=yaml("{p: [{name: x, v: 1}]}")),
        Layer(name="none", root=yaml("{q: 1}")),
        Layer(name="high", root=yaml("{p: [{name: y}, {name: x, v: 2}]}")),
    )
    found = origins(layers, ("p", "x", "v"))
    assert [(o.layer, o.value, str(o.source.position)) for o in found] == [
        ("high", 2, "f.yaml:1:30"),
        ("low", 1, "f.yaml:1:19"),
    ]


def test_a_null_above_is_an_origin_of_its_own():
    layers = (
        Layer(name="low", root=yaml("{a: {b: 1}}")),
        Layer(name="high", root=yaml("{a: null}")),
    )
    assert [o.value for o in origins(layers, ("a", "b"))] == [None, 1]
