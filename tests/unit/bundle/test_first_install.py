"""The tool on a virgin machine, as a person starts it: believed is what stands on paper, and nothing on the stick."""

import shutil
import sys

import pytest
from support.device import ask

from edgeform_wire import bundle
from edgeform_wire import digest as digests


@pytest.fixture
def stick(press):
    return press.stick("stick", press.a_small_one())


@pytest.fixture
def machine(tmp_path, stick):
    """install(typed): the answer of a copy of the stick's tool, and the prefix that it was to make."""
    tool = tmp_path / "tool.pyz"
    shutil.copy(stick / "edgeform" / bundle.TOOL, tool)
    prefix = tmp_path / "prefix"

    def install(*typed: str, name: str = "lab/cam-1"):
        words = (sys.executable, "-I", str(tool), "--prefix", str(prefix), "bundle", str(stick))
        return ask((*words, "--first-install", name), *typed), prefix

    return install


def is_virgin(prefix):
    return not (prefix / "state/device.json").exists() and not (prefix / "trust").exists()


def test_another_fingerprint_is_not_trusted_and_the_machine_stays_virgin(machine, press, stick):
    root = bundle.fingerprint(digests.of_bytes(press.publisher.root))
    of_tool = bundle.fingerprint(digests.of_bytes(press.tool.read_bytes()))
    one_digit_off = ("1" if root[0] != "1" else "2") + root[1:]
    for wrong in ("0" * 32, one_digit_off, of_tool, root[:-1], root[:9], "*"):
        answer, prefix = machine("--fingerprint", wrong)
        assert (answer.exit_code, answer.said["error"]["code"]) == (8, "not_trusted"), wrong
        assert "do not use this stick" in answer.said["error"]["hint"]
        assert root not in answer.talk + str(answer.said), "the stick must not vouch for itself"
        assert is_virgin(prefix), wrong
    assert not (stick / "edgeform" / bundle.RETURN).exists()


def test_without_a_fingerprint_nothing_is_believed_and_none_is_shown(machine, press):
    answer, prefix = machine()
    assert answer.exit_code == 3
    assert "typed from paper" in answer.said["error"]["summary"]
    assert bundle.fingerprint(digests.of_bytes(press.publisher.root)) not in str(answer.said)
    assert is_virgin(prefix)


def test_the_right_fingerprint_enrols_and_a_stick_swapped_afterwards_has_another(
    machine, press, stick
):
    root = bundle.fingerprint(digests.of_bytes(press.publisher.root))
    first = stick / "edgeform" / bundle.METADATA / "1.root.json"
    honest = first.read_bytes()
    first.write_bytes(honest.replace(b'"version"', b'"Version"', 1))
    answer, prefix = machine("--fingerprint", root)
    assert (answer.exit_code, is_virgin(prefix)) == (8, True), answer
    first.write_bytes(honest)
    answer, prefix = machine("--fingerprint", root)
    assert not is_virgin(prefix), answer
    assert (prefix / "state/device.json").exists()
