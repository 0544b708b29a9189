"""Malformed metadata is refused with a sentence: never a KeyError, never a crash, never accepted."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.soak import examples
from support.tuf_repo import ARepository, a_clock, refused

from edgeform_device import p256
from edgeform_device.errors import DeviceError, NotTrusted
from edgeform_device.tuf_metadata import Envelope
from edgeform_device.tuf_set import TrustedSet

REPOSITORY = ARepository(profile="development")
REPOSITORY.delegate("models", ["artifacts/model/*/*/*"])
REPOSITORY.delegate("site-lab", ["sites/lab/*"], bins=1)
REPOSITORY.add("artifacts/model/digits/1.0/cpu.json", custom={"epoch": 1}, role="models").publish()

KINDS = {
    "1.root.json": ("root", Envelope.root),
    "timestamp.json": ("timestamp", Envelope.timestamp),
    "1.snapshot.json": ("snapshot", Envelope.snapshot),
    "1.targets.json": ("targets", Envelope.targets),
    "1.models.json": ("targets", Envelope.targets),
    "1.site-lab.json": ("targets", Envelope.targets),
}
ODD = [None, True, False, 0, -1, 2**63, "", "x", "\x00", [], [1], {}, {"x": 1}, [[]], ["x", "x"]]


def places(value, path=()):
    """Every place in a document, as a path of keys."""
    yield path
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


def changed(document, path, how):
    document = copy.deepcopy(document)
    if not path:
        return how[1] if how[0] == "set" else None
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if how[0] == "set":
        parent[path[-1]] = how[1]
    else:
        del parent[path[-1]]
    return document


def read(name, data):
    kind, make = KINDS[name]
    envelope = Envelope.parse(data, kind, kind)
    make(envelope)
    return envelope


def refusal(name, data):
    try:
        read(name, data)
    except NotTrusted as exc:
        return exc
    return None


@pytest.mark.parametrize("name", KINDS)
def test_each_field_missing_or_of_another_type_is_a_clear_refusal(name):
    """Every place of every file, removed and replaced: refused in words, or still well-formed."""
    document = json.loads(REPOSITORY.files[name])
    for path in places(document):
        for how in [("remove", None), *[("set", odd) for odd in ODD]]:
            data = json.dumps(changed(document, path, how)).encode()
            error = refusal(name, data)
            if error is not None:
                assert "not well-formed" in error.summary, (path, how)
                assert error.detail.isprintable(), (path, how)


@pytest.mark.parametrize("name", KINDS)
def test_an_edited_file_never_carries_a_valid_signature(name):
    """Whatever is changed inside `signed` breaks every signature over it."""
    document = json.loads(REPOSITORY.files[name])
    keys = Envelope.parse(REPOSITORY.files["1.root.json"], "root", "root").root().roles
    kind = KINDS[name][0]
    for path in places(document["signed"]):
        for odd in ("x", 7, None):
            edited = changed(document, ("signed", *path), ("set", odd))
            if edited == document:
                continue
            with pytest.raises(NotTrusted):
                Envelope.parse(json.dumps(edited).encode(), kind, kind).check_signatures(
                    keys[kind], p256.verify
                )


@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_bytes_changed_anywhere_never_raise_anything_but_a_device_error(data):
    name = data.draw(st.sampled_from(sorted(KINDS)))
    content = bytearray(REPOSITORY.files[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    trusted = TrustedSet(REPOSITORY.files["1.root.json"], a_clock(), p256.verify)
    feed = {
        "1.root.json": trusted.update_root,
        "timestamp.json": trusted.update_timestamp,
    }
    try:
        if name in feed:
            feed[name](bytes(content))
        else:
            read(name, bytes(content))
    except DeviceError:
        pass


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe", "can't decode"),
        (b"[]", "not an object"),
        (b'{"signed": {}, "signed": {}, "signatures": []}', "one key stands twice"),
        (b'{"signed": 1.5, "signatures": []}', "1.5 is not an integer"),
        (b'{"signed": NaN, "signatures": []}', "NaN is not an integer"),
        (b'{"signed": ' + b"9" * 10_000 + b', "signatures": []}', "more than 19 digits"),
        (b'{"signatures": []}', "'signed' is missing"),
        (b'{"signed": {"_type": "root"}, "signatures": []}', "_type"),
    ],
)
def test_what_is_no_metadata_says_what_is_wrong_with_it(data, why):
    with refused(NotTrusted, why):
        Envelope.parse(data, "timestamp", "timestamp")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused(opening):
    with pytest.raises(NotTrusted):
        Envelope.parse(opening * 100_000, "timestamp", "timestamp")


def test_deep_nesting_inside_signed_is_refused_before_anything_is_signed():
    deep = '{"signed":{"_type":"timestamp","spec_version":"1.0.31","x":%s%s},"signatures":[]}'
    data = (deep % ("[" * 900, "]" * 900)).encode()

    with pytest.raises(NotTrusted):
        Envelope.parse(data, "timestamp", "timestamp").check_signatures(
            Envelope.parse(REPOSITORY.files["1.root.json"], "root", "root")
            .root()
            .roles["timestamp"],
            p256.verify,
        )


def test_a_lone_surrogate_cannot_be_signed_and_is_refused():
    data = b'{"signed":{"_type":"timestamp","spec_version":"1.0.31","x":"\\ud800"},"signatures":[]}'
    root = Envelope.parse(REPOSITORY.files["1.root.json"], "root", "root").root()

    with refused(NotTrusted, "surrogates"):
        Envelope.parse(data, "timestamp", "timestamp").check_signatures(
            root.roles["timestamp"], p256.verify
        )


@pytest.mark.parametrize("version", ["2.0.0", "1", "1.x", "01.0", "", "1.0.31.4"])
def test_another_specification_is_refused(version):
    document = json.loads(REPOSITORY.files["timestamp.json"])
    document["signed"]["spec_version"] = version

    with refused(NotTrusted, "spec_version"):
        Envelope.parse(json.dumps(document).encode(), "timestamp", "timestamp")
