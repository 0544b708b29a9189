import subprocess

import pytest

from edgeform.transport.hostkeys import MalformedHostKey, judge, parse_host_key, pins_of


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    made = {}
    for name, kind in (("one", "ed25519"), ("two", "ed25519"), ("rsa", "rsa")):
        path = directory / name
        subprocess.run(("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path), check=True)
        made[name] = path.with_suffix(".pub").read_text()
    made["directory"] = directory
    return made


def test_fingerprints_are_those_of_openssh(keys):
    said = subprocess.run(
        ("ssh-keygen", "-lf", keys["directory"] / "rsa.pub"),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert parse_host_key(keys["rsa"]).fingerprint == said.split()[1]


@pytest.mark.parametrize(
    "text",
    ["", "ssh-ed25519", "ssh-ed25519 ???", "ssh-ed25519 AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5"],
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(MalformedHostKey):
        parse_host_key(text)


@pytest.mark.parametrize(
    ("pattern", "host", "port", "found"),
    [
        ("10.0.0.3", "10.0.0.3", 22, True),
        ("10.0.0.3", "10.0.0.3", 2222, False),
        ("[10.0.0.3]:2222", "10.0.0.3", 2222, True),
        ("cam-*,!cam-9", "cam-1", 22, True),
        ("cam-*,!cam-9", "cam-9", 22, False),
        ("CAM-1", "cam-1", 22, True),
        ("[cam-?]:22??", "cam-1", 2201, True),
        ("other", "cam-1", 22, False),
    ],
)
def test_names_in_known_hosts(keys, pattern, host, port, found):
    pins = pins_of([f"{pattern} {keys['one']}"], host, port)
    assert bool(pins.keys) is found


def test_hashed_names_are_understood(keys, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(f"[10.0.0.3]:2222 {keys['one']}")
    subprocess.run(("ssh-keygen", "-q", "-H", "-f", known), check=True, capture_output=True)
    lines = known.read_text().splitlines()
    assert lines[0].startswith("|1|")
    assert pins_of(lines, "10.0.0.3", 2222).keys == (parse_host_key(keys["one"]),)
    assert pins_of(lines, "10.0.0.4", 2222).keys == ()


def test_lines_that_cannot_be_read_pin_nothing_and_hide_nothing(keys):
    lines = [
        "",
        "# comment",
        "cam",
        "cam ssh-ed25519 ???",
        "|1|x|y",
        "@odd cam x y",
        f"cam {keys['one']}",
    ]
    assert pins_of(lines, "cam", 22).keys == (parse_host_key(keys["one"]),)


def test_the_pinned_key_is_accepted_and_no_other(keys):
    one, two = parse_host_key(keys["one"]), parse_host_key(keys["two"])
    pins = pins_of([f"cam {keys['one']}"], "cam", 22)
    assert judge(pins, one, who="cam") is None
    assert "changed" in judge(pins, two, who="cam").detail
    assert "unknown" in judge(pins_of([], "cam", 22), one, who="cam").detail


def test_a_revoked_key_is_refused_even_if_it_is_pinned_too(keys):
    lines = [f"cam {keys['one']}", f"@revoked * {keys['one']}"]
    refusal = judge(pins_of(lines, "cam", 22), parse_host_key(keys["one"]), who="cam")
    assert "revoked" in refusal.detail
