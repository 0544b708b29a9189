"""Reading: positions, the core schema, and files that are refused quickly."""

import subprocess
import sys
import time

import pytest

from edgeform.diagnostics import rendered
from edgeform.spec import read
from edgeform.spec.nodes import at, place_of


def values(text):
    found = read.read_bytes(text.encode(), "f.yaml")
    assert found.diagnostics == ()
    return [document.value for document in found.documents]


def codes(text):
    content = text if isinstance(text, bytes) else text.encode()
    return [d.code for d in read.read_bytes(content, "f.yaml").diagnostics]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2026-11-22", "2026-11-22"),
        ("1_000", "1_000"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("012", 12),
        ("0o14", 12),
        ("0xff", 255),
        ("-3", -3),
        ("+3", 3),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("''", ""),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(written, value):
    (found,) = values(f"a: {written}")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_every_value_knows_its_line_and_column():
    (root,) = values("a:\n  - {b: 1, 'c d': [x, y]}\n  - z\n")
    assert str(place_of(root, ("a", 0, "b")).position) == "f.yaml:2:9"
    assert str(place_of(root, ("a", 0, "c d"), key=True).position) == "f.yaml:2:12"
    assert str(place_of(root, ("a", 0, "c d", 1)).position) == "f.yaml:2:23"
    assert str(place_of(root, ("a", 1)).position) == "f.yaml:3:5"
    assert place_of(root, ("a", 1)).line_text == "  - z"


def test_columns_count_characters_not_bytes():
    (root,) = values('{"ä": "ö", b: 1}')
    assert str(place_of(root, ("b",)).position) == "f.yaml:1:15"


def test_many_documents_in_one_file():
    assert values("a: 1\n---\nb: 2\n---\n---\n") == [{"a": 1}, {"b": 2}]


def test_a_byte_order_mark_is_no_character():
    assert values("\ufeffa: 1") == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: &x 1", "EF1013"),
        ("a: !!int 1", "EF1014"),
        ("a: ! 1", "EF1014"),
        ("<<: {a: 1}", "EF1015"),
        ("a: 1\na: 2", "EF1012"),
        ("? [a]\n: 1", "EF1020"),
        ("a: .nan", "EF1021"),
        ("a: -.inf", "EF1021"),
        ("a: 1e999", "EF1021"),
        ("a: " + "9" * 5000, "EF1021"),
        ("a: [", "EF1011"),
        ("a: \x00", "EF1018"),
        (b"a: \xff", "EF1018"),
        ("a: 1".encode("utf-16"), "EF1018"),
        ("{" * 70, "EF1016"),
        ("- " * 70, "EF1016"),
        ("# x", "EF1022"),
    ],
)
def test_what_is_refused_has_a_code(text, code):
    assert code in codes(text)


def test_alias_bomb_is_refused_without_being_blown_up():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    before = time.process_time()
    assert set(codes("\n".join(lines))) <= {"EF1013", "EF1023"}
    assert time.process_time() - before < 5


def test_both_places_of_a_duplicate_key_are_named():
    (found,) = read.read_bytes(b"a: 1\nb: 2\na: 3\n", "f.yaml").diagnostics
    assert str(found.source.position) == "f.yaml:3:1"
    assert "1:1" in found.detail


def test_a_duplicate_value_does_not_hide_the_first():
    reading = read.read_bytes(b"a: 1\na: 3\n", "f.yaml")
    assert at(reading.documents[0].value, ("a",)) == 1


def test_what_came_before_a_syntax_error_is_kept():
    reading = read.read_bytes(b"a: 1\n---\nb: [\n", "f.yaml")
    assert [d.value for d in reading.documents] == [{"a": 1}]
    assert not reading.is_whole


def test_many_problems_in_one_file_are_counted_not_listed():
    found = codes("\n".join(f"k{n}: !t {n}" for n in range(1000)))
    assert found.count("EF1014") == read.MAX_PROBLEMS
    assert found[-1] == "EF1023"


def test_too_many_values_are_refused(monkeypatch):
    monkeypatch.setattr(read, "MAX_NODES", 1000)
    assert codes("[" + "x," * 2000 + "]") == ["EF1017"]
    assert codes("[" + "[]," * 2000 + "]") == ["EF1017"]


def test_quoted_values_count_as_well(monkeypatch):
    monkeypatch.setattr(read, "MAX_NODES", 1000)
    assert codes("[" + "'x'," * 2000 + "]") == ["EF1017"]
    assert codes("{" + "".join(f"'k{n}': 'x'," for n in range(2000)) + "}") == ["EF1017"]


def test_a_message_never_carries_control_characters():
    for text in ("a: \x1b[31m", "\x1b]0;x\x07: 1", 'a: "\\e[31m"\nb: !t x'):
        shown = "".join(rendered(d) for d in read.read_bytes(text.encode(), "f.yaml").diagnostics)
        assert not any(ord(c) < 32 and c != "\n" for c in shown)


def test_a_missing_file_a_folder_and_a_dangling_link_are_diagnostics(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yaml").symlink_to("nowhere.yaml")
    for name in ("none.yaml", "folder.yaml", "link.yaml"):
        found = read.read_file(tmp_path / name, name)
        assert [d.code for d in found.diagnostics] == ["EF1019"]


def test_fifty_megabytes_are_refused_at_once_and_in_little_memory(tmp_path):
    big = tmp_path / "big.yaml"
    with big.open("wb") as stream:
        stream.truncate(50 * 1024 * 1024)
    script = (
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from edgeform.spec.read import read_file\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start = time.process_time()\n"
        "found = read_file(Path(sys.argv[1]), 'big.yaml')\n"
        "assert [d.code for d in found.diagnostics] == ['EF1017'], found.diagnostics\n"
        "assert time.process_time() - start < 0.5\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "assert grown < 4096, grown\n"
    )
    subprocess.run((sys.executable, "-c", script, str(big)), check=True)


def test_eight_megabytes_of_brackets_end_quickly(tmp_path):
    path = tmp_path / "deep.yaml"
    path.write_bytes(b"[" * read.MAX_BYTES)
    before = time.process_time()
    assert [d.code for d in read.read_file(path, "deep.yaml").diagnostics] == ["EF1016"]
    assert time.process_time() - before < 5
