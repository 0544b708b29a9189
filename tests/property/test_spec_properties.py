"""Loading never raises, expansion ends, merging keeps its promises; for whatever hypothesis thinks of."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from support.soak import examples

from edgeform.spec import shape
from edgeform.spec.expand import BadReference, Scope, expanded, expanded_text
from edgeform.spec.load import load
from edgeform.spec.merge import Layer, merge, merged, origins
from edgeform.spec.nodes import at
from edgeform.spec.objects import object_of
from edgeform.spec.read import read_bytes
from edgeform.spec.schema import validator

KEYS = st.sampled_from(["a", "b", "c", "name", "spec", "devices"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text("ab$`{}n. ", max_size=12))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)

# Shapes that stay the same from layer to layer, as the schema sees to: here merging is associative.
TYPED = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text("xyz", max_size=3),
        "part": st.dictionaries(KEYS, st.integers(0, 9), max_size=3),
        "plain": st.lists(st.integers(0, 9), min_size=1, max_size=3),
        "named": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from("pqr")},
                optional={"x": st.integers(0, 9), "y": st.integers(0, 9)},
            ),
            max_size=3,
            unique_by=lambda item: item["name"],
        ),
    },
)


def block(value):
    return read_bytes(json.dumps(value).encode(), "f.yaml").documents[0].value


def sorted_names(value):
    """Named lists keep the order of first appearance; what belongs to a name does not depend on it."""
    found = dict(value)
    found["named"] = sorted(found.get("named", []), key=lambda item: item["name"])
    return found


@given(TYPED, TYPED, TYPED)
def test_merging_layers_of_one_shape_is_associative(a, b, c):
    x, y, z = block(a or {"text": ""}), block(b or {"text": ""}), block(c or {"text": ""})
    assert sorted_names(merge(merge(x, y), z)) == sorted_names(merge(x, merge(y, z)))


@given(st.dictionaries(KEYS, VALUES, min_size=1), st.dictionaries(KEYS, VALUES, min_size=1))
def test_merging_twice_changes_nothing_more(a, b):
    lower, upper = block(a), block(b)
    once = merged([lower, upper])
    assert merged([once, upper]) == once


@given(st.lists(st.dictionaries(KEYS, VALUES, min_size=1), min_size=1, max_size=4))
def test_the_first_origin_of_a_value_is_the_value_that_counts(values):
    layers = tuple(Layer(name=str(n), root=block(v)) for n, v in enumerate(values))
    whole = merged([layer.value for layer in layers])
    for key, value in whole.items():
        if isinstance(value, (dict, list)):
            continue
        first = origins(layers, (key,))[0]
        assert first.value == value
        assert at(layers[int(first.layer)].root, (key,)) == value


@given(
    st.text("ab${}n.vars", max_size=60),
    st.dictionaries(st.sampled_from("ab"), st.text("${a}n", max_size=9)),
)
def test_replacing_ends_and_is_not_looked_at_again(text, variables):
    scope = Scope(site={"name": "s"}, vars=variables, n="1")
    try:
        found = expanded_text(text, scope)
    except BadReference:
        return
    assert len(str(found)) <= len(text) + text.count("$") * 40


@given(VALUES)
def test_a_value_without_references_comes_back_as_it_is(value):
    document = block({"v": value})
    if not document.is_dynamic:
        refused = []
        assert expanded(document, Scope(), lambda p, e: refused.append(p)) is document
        assert refused == []


@given(st.binary(max_size=200))
def test_reading_bytes_never_raises(content):
    read_bytes(content, "f.yaml")


@given(st.text("a:-[]{}#&*!|>'\"%@`,?\n\t $1.", max_size=120))
def test_reading_what_looks_like_yaml_never_raises(text):
    for document in read_bytes(text.encode(), "f.yaml").documents:
        found = shape.problems(validator(), document.value, address="x")
        object_of(document, frozenset(p.path for p in found))


@given(VALUES)
def test_json_reads_as_itself(value):
    assert block({"v": value}) == {"v": value}


KINDS = st.sampled_from(
    ["Site", "HardwareClass", "Model", "Pipeline", "DeviceList", "Rollout", "CheckSuite", "X"]
)
SPEC_KEYS = st.sampled_from(
    [
        "extends",
        "arch",
        "os",
        "runtime",
        "drivers",
        "device",
        "devices",
        "common",
        "name",
        "class",
        "labels",
        "connect",
        "pipelines",
        "vars",
        "each",
        "host",
        "registries",
        "defaults",
        "overlays",
        "select",
        "patch",
        "capture",
        "infer",
        "postprocess",
        "variants",
        "version",
        "source",
    ]
)
SPEC_VALUES = st.recursive(
    st.one_of(
        SCALARS, st.sampled_from(["pc", "gate", "${vars.a}", "${n}", "builtin/jetson-orin", "1..3"])
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SPEC_KEYS, inner, max_size=5),
    max_leaves=20,
)
OBJECTS = st.fixed_dictionaries(
    {
        "api_version": st.just("edgeform/v1"),
        "kind": KINDS,
        "metadata": st.fixed_dictionaries({"name": st.sampled_from(["pc", "gate", "A", "x"])}),
        "spec": st.dictionaries(SPEC_KEYS, SPEC_VALUES, max_size=5) | SPEC_VALUES,
    }
)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(OBJECTS, max_size=5))
def test_loading_never_raises_whatever_the_objects_say(tmp_path_factory, objects):
    folder = tmp_path_factory.mktemp("site", numbered=True)
    site = {"api_version": "edgeform/v1", "kind": "Site", "metadata": {"name": "s"}, "spec": {}}
    text = "\n---\n".join(json.dumps(value) for value in [site, *objects])
    (folder / "site.yaml").write_text(text)
    found = load(folder)
    assert (found.site is None) == any(d.severity == "error" for d in found.diagnostics)
