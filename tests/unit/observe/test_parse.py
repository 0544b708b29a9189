import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeform.domain.observed import Observed, Unobserved, Unreachability
from edgeform.observe.parse import MAX_ANSWER_BYTES, clean, observation
from edgeform_wire import generation

CASES = Path(__file__).parents[2] / "cases" / "observe"


def case(name):
    return json.loads((CASES / f"{name}.json").read_text())


def read(name):
    found = case(name)
    return observation(
        "cam-1", found["exit_code"], found["stdout"].encode(), found["stderr"].encode()
    )


def answer(name="committed"):
    return json.loads(case(name)["stdout"])


def of(value):
    return observation("cam-1", 0, json.dumps(value).encode(), b"")


def test_a_recorded_virgin_device():
    seen = read("virgin")
    assert isinstance(seen, Observed)
    assert seen.tool is None
    assert seen.committed == 0
    assert seen.facts.packages == (("bash", "5.2.15-2+b8"),)
    assert seen.facts.groups == ("root",)
    assert dict(seen.facts.files)["/etc/nope"] == ""
    assert [a.kind for a in seen.facts.accelerators] == ["cpu"]


def test_a_recorded_device_with_a_generation():
    seen = read("committed")
    assert isinstance(seen, Observed)
    assert (seen.current, seen.committed, seen.deployment) == (1, 1, 1)
    assert generation.decode(seen.manifest.encode()).digest == seen.generation_digest
    assert seen.drift == ()
    assert [h.name for h in seen.health] == ["digits"]
    assert seen.health[0].state == "stopped"


def test_a_recorded_device_in_trouble():
    seen = read("troubled")
    assert isinstance(seen, Observed)
    assert seen.needs_hands == "the old generation is not healthy either"
    assert seen.quarantined == ("sha256:" + "1" * 64,)
    assert (seen.transaction.id, seen.transaction.who) == ("t3-cc", "ci")
    assert [d.path.rsplit("/", 1)[-1] for d in seen.drift] == ["labels.txt"]


@pytest.mark.parametrize(
    ("name", "reason", "said"),
    [
        ("old-python", Unreachability.PYTHON, "too old"),
        ("not-enrolled", Unreachability.PROTOCOL, "not enrolled"),
        ("banner", Unreachability.PROTOCOL, "not JSON"),
        ("no-shell", Unreachability.PROTOCOL, "not found\\x1b[31m"),
    ],
)
def test_a_recorded_refusal_is_an_observation_too(name, reason, said):
    seen = read(name)
    assert isinstance(seen, Unobserved)
    assert seen.reason is reason
    assert said in seen.detail
    assert seen.hint


def test_the_facts_digest_ignores_what_changes_by_itself():
    before = of(answer()).facts
    changed = answer()
    changed["facts"].update(wall_time="2027", disk_free_bytes=1, boot_id="other", clock="ntp")
    assert of(changed).facts.digest == before.digest
    changed["facts"]["packages"] = {"bash": "6"}
    assert of(changed).facts.digest != before.digest


def test_a_manifest_that_is_not_its_digest_is_not_believed():
    changed = answer()
    changed["generation"]["manifest"]["device"] = "cam-2"
    seen = of(changed)
    assert seen.manifest is None
    assert seen.generation_digest is not None


def test_what_a_newer_tool_adds_is_passed_over():
    changed = answer()
    changed["weather"] = {"rain": True}
    changed["facts"]["weather"] = 7
    assert isinstance(of(changed), Observed)


def test_a_devices_words_are_shown_and_not_obeyed():
    changed = answer()
    changed["facts"]["hostname"] = "{{7*7}}\x1b[2J$(id)\n\u202e" + "x" * 5000
    seen = of(changed).facts.hostname
    assert seen.startswith("{{7*7}}\\x1b[2J$(id)\\n\\u202e")
    assert len(seen) < 1100


def test_a_gigabyte_is_refused_unread():
    seen = observation("cam-1", 0, b" " * (MAX_ANSWER_BYTES + 1), b"x" * 1000)
    assert isinstance(seen, Unobserved)
    assert len(seen.detail) < 500


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("facts",), None),
        (("facts",), []),
        (("facts", "cpus"), "2"),
        (("facts", "cpus"), -1),
        (("facts", "cpus"), 2**70),
        (("facts", "cpus"), True),
        (("facts", "is_root"), 1),
        (("facts", "clock"), "sundial"),
        (("facts", "hostname"), {"a": 1}),
        (("facts", "packages"), ["bash"]),
        (("facts", "packages"), {"bash": 5}),
        (("facts", "modules"), {"a": 1}),
        (("facts", "modules"), [1]),
        (("facts", "accelerators"), [{"kind": "cpu", "state": "fine"}]),
        (("facts", "accelerators"), ["cpu"]),
        (("generation",), 7),
        (("generation", "committed"), "1"),
        (("generation", "digest"), "sha256:zz"),
        (("quarantine",), ["sha256:" + "0" * 64]),
        (("quarantine",), [{}]),
        (("quarantine",), {}),
        (("drift",), [[]]),
        (("health",), [{"name": "x", "state": "splendid"}]),
        (("transaction",), "t1"),
        (("tool",), {"version": 1}),
        (("tool",), {"version": "1", "digest": "x"}),
        (("needs_hands",), 1),
        (("ok",), "yes"),
    ],
)
def test_a_value_of_another_type_is_refused_and_named(where, value):
    changed = answer()
    inner = changed
    for name in where[:-1]:
        inner = inner[name]
    inner[where[-1]] = value
    seen = of(changed)
    assert isinstance(seen, Unobserved)
    assert seen.reason is Unreachability.PROTOCOL


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_observation(content):
    assert isinstance(observation("cam-1", 0, content, content), Unobserved)


@given(st.sampled_from(sorted(answer())), JSON)
def test_any_value_anywhere_is_an_observation(name, value):
    changed = answer()
    changed[name] = value
    assert isinstance(of(changed), Observed | Unobserved)


@given(st.sampled_from(sorted(answer()["facts"])), JSON)
def test_any_fact_is_an_observation(name, value):
    changed = answer()
    changed["facts"][name] = value
    assert isinstance(of(changed), Observed | Unobserved)


@given(st.text(max_size=2000))
def test_clean_text_has_no_control_characters_left(text):
    import unicodedata

    assert all(unicodedata.category(c)[0] != "C" for c in clean(text))
