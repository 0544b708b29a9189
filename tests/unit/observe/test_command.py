"""The look and the installation, run by a real shell as a device would run them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.device import a_publisher, a_tool, old_interpreters

from edgeform.domain.drivers import DriverTuple, Package, UdevRule
from edgeform.domain.observed import Observed, Unobserved, Unreachability
from edgeform.observe.command import (
    Questions,
    install_command,
    observe_command,
    questions_about,
    state_command,
)
from edgeform.observe.parse import observation
from edgeform_wire import digest as digests

QUESTIONS = Questions(groups=("root",), files=("/etc/hostname",))


def bin_with(folder: Path, python: str | None) -> dict[str, str]:
    """An environment whose PATH has a shell's tools and this Python, or none."""
    folder.mkdir(exist_ok=True)
    if python is not None and not (folder / "python3").exists():
        # A symbolic link would make Python look for its library beside the link.
        (folder / "python3").write_text(f'#!/bin/sh\nexec {python} "$@"\n')
        (folder / "python3").chmod(0o755)
    return {"PATH": str(folder)}


def look(prefix, env, questions=QUESTIONS):
    argv, stdin = observe_command(str(prefix), questions)
    done = subprocess.run(
        ("/bin/sh", *argv[1:]), input=stdin, capture_output=True, env=env, timeout=60, check=False
    )
    return observation("cam-1", done.returncode, done.stdout, done.stderr)


@pytest.fixture
def env(tmp_path):
    return bin_with(tmp_path / "bin", sys.executable)


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "p"


def install(prefix, tool, env, digest=None):
    content = tool.read_bytes()
    argv = install_command(str(prefix), digest or digests.of_bytes(content))
    done = subprocess.run(
        (env["PATH"] + "/python3", *argv[1:]),
        input=content,
        capture_output=True,
        env=env,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_a_virgin_device_is_seen_and_nothing_is_left_on_it(prefix, env):
    seen = look(prefix, env)
    assert isinstance(seen, Observed)
    assert seen.tool is None
    assert seen.facts.groups == ()
    assert seen.facts.files[0][1].startswith("sha256:")
    assert not prefix.exists()


def test_a_device_with_the_tool_answers_the_same_command_with_its_state(prefix, env, tmp_path):
    tool = a_tool(tmp_path)
    assert install(prefix, tool, env)[0] == 0
    publisher = a_publisher(tmp_path / "trust")
    wish = {
        "site": "lab",
        "device": "cam-1",
        "root": publisher.root.decode(),
        "services": "supervisor",
    }
    subprocess.run(
        (prefix / "bin/edgeform-device", "enrol"),
        input=json.dumps(wish).encode(),
        env=env,
        check=True,
        capture_output=True,
    )
    seen = look(prefix, env)
    assert isinstance(seen, Observed), seen
    assert seen.tool is not None
    assert seen.tool.digest == digests.of_file(str(tool))
    assert (seen.committed, seen.generation_digest) == (0, None)
    assert seen.root_digest == digests.of_bytes(publisher.root)
    assert seen.facts.groups == ()
    argv, stdin = state_command(str(prefix), QUESTIONS)
    done = subprocess.run(argv, input=stdin, capture_output=True, env=env, check=True)
    again = observation("cam-1", 0, done.stdout, b"")
    assert isinstance(again, Observed)
    assert again.facts.digest == seen.facts.digest


def test_a_tool_that_is_not_enrolled_yet_says_so(prefix, env, tmp_path):
    install(prefix, a_tool(tmp_path), env)
    seen = look(prefix, env)
    assert isinstance(seen, Unobserved)
    assert "not enrolled" in seen.detail


def test_a_device_without_python_is_blocked_with_a_sentence(prefix, tmp_path):
    seen = look(prefix, bin_with(tmp_path / "empty", None))
    assert isinstance(seen, Unobserved)
    assert seen.reason is Unreachability.PYTHON
    assert "missing" in seen.detail


@pytest.mark.skipif(
    not old_interpreters(), reason="no Python older than 3.8 stands on this machine"
)
def test_a_device_with_an_old_python_is_blocked_with_a_sentence(prefix, tmp_path):
    seen = look(prefix, bin_with(tmp_path / "old", str(old_interpreters()[0])))
    assert isinstance(seen, Unobserved)
    assert seen.reason is Unreachability.PYTHON
    assert "too old" in seen.detail


def test_questions_are_data_for_the_shell_too(prefix, env, tmp_path):
    evil = f"$(touch {tmp_path}/pwned)`touch {tmp_path}/pwned`'\"\\n;"
    seen = look(prefix, env, Questions(packages=(evil,), files=("/tmp/" + evil,)))
    assert isinstance(seen, Observed)
    assert not (tmp_path / "pwned").exists()


def test_a_tool_that_did_not_arrive_whole_is_not_installed(prefix, env, tmp_path):
    code, said = install(prefix, a_tool(tmp_path), env, digest="sha256:" + "0" * 64)
    assert (code, said["error"]["code"]) == (12, "corrupt")
    assert not (prefix / "bin/edgeform-device").exists()
    assert list((prefix / "tool").iterdir()) == []


def test_installing_again_changes_nothing(prefix, env, tmp_path):
    tool = a_tool(tmp_path)
    install(prefix, tool, env)
    before = (prefix / "bin/edgeform-device").read_bytes()
    assert install(prefix, tool, env)[0] == 0
    assert (prefix / "bin/edgeform-device").read_bytes() == before
    assert len(list((prefix / "tool").iterdir())) == 1


@pytest.mark.parametrize("prefix", ["relative", "/a b", "/$(id)", "/x;y", ""])
def test_a_prefix_a_script_could_misread_is_not_installed_into(prefix, env, tmp_path):
    code, said = install(prefix, a_tool(tmp_path), env)
    assert (code, said["ok"]) == (64, False)


def test_a_disk_that_refuses_is_said(env, tmp_path):
    (tmp_path / "file").write_text("")
    code, said = install(tmp_path / "file/prefix", a_tool(tmp_path), env)
    assert code == 3
    assert "cannot be written" in said["error"]["summary"]


def test_the_questions_of_a_driver_tuple():
    drivers = DriverTuple(
        packages=(Package(name="libedgetpu1-std"),),
        modules=("apex",),
        udev_rules=(UdevRule(name="65-apex.rules", content="..."),),
        groups=("apex",),
        sysctl=(("vm.swappiness", "10"),),
    )
    assert questions_about(drivers) == Questions(
        packages=("libedgetpu1-std",),
        modules=("apex",),
        files=("/etc/udev/rules.d/65-apex.rules",),
        sysctl=("vm.swappiness",),
        groups=("apex",),
    )
