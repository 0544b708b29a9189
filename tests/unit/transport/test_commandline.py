import shlex
import subprocess

import pytest

from edgeform.transport.commandline import bounded, shell_line, sudo_refusal, with_sudo


def test_the_device_tool_stays_the_first_word_because_gates_and_sudoers_name_it():
    argv = ("/var/lib/edgeform/bin/edgeform-device", "ingest", "--offset", "5")
    assert bounded(argv, 30.0) == argv
    assert with_sudo(argv, asks_password=False) == ("sudo", "-n", "--", *argv)


def test_any_other_command_is_bounded_on_the_device_a_little_later_than_here():
    assert bounded(("python3", "-"), 2.5) == ("timeout", "-k", "5", "4", "python3", "-")


def test_quoting_survives_a_shell():
    words = ("a b", "it's", "$x", "", "*", "\n", "ü")
    said = subprocess.run(
        ("sh", "-c", shell_line(("printf", "%s\\0", *words))), check=True, capture_output=True
    ).stdout
    assert said.decode().split("\0")[:-1] == list(words)


def test_a_password_is_nowhere_in_the_words():
    argv = with_sudo(("id",), asks_password=True)
    assert argv[:3] == ("sudo", "-S", "-p")
    assert shlex.split(shell_line(argv)) == list(argv)


@pytest.mark.parametrize(
    "said",
    [
        "sudo: a password is required",
        "sudo: a terminal is required to read the password; either use the -S option\nsudo: a password is required",
        "sudo-rs: interactive authentication is required",
        "Sorry, user ef may not run sudo on cam-01.",
        "Sorry, user ef is not allowed to execute '/bin/true' as root on cam-01.",
        "ef is not in the sudoers file.",
        "sh: 1: sudo: not found",
        "bash: line 1: sudo: command not found",
    ],
)
def test_what_sudo_says_is_a_refusal(said):
    code = 127 if "not found" in said else 1
    assert sudo_refusal(code, b"", said.encode() + b"\n") == said.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "stdout", "stderr"),
    [
        (1, b"", b"grep: no such file\n"),
        (1, b"output\n", b"sudo: a password is required\n"),
        (2, b"", b"sudo: a password is required\n"),
        (0, b"", b"sudo: unable to resolve host cam-01\n"),
        (1, b"", b"sudo: unable to resolve host cam-01\nthe command failed\n"),
        (1, b"", b""),
    ],
)
def test_what_a_command_says_is_none(code, stdout, stderr):
    assert sudo_refusal(code, stdout, stderr) is None
