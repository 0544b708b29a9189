import os

import pytest

from edgeform_device import logs
from edgeform_device.identity import Identity
from edgeform_device.layout import layout_for
from edgeform_wire.errors import WireError

WHO = Identity(site="lab", device="cam-1", services="supervisor", run_dir="", user="root", root="/")


@pytest.fixture
def layout(tmp_path):
    made = layout_for(str(tmp_path))
    os.makedirs(made.supervisor_dir)
    return made


def write(layout, content):
    with open(logs.log_file(layout, "digits"), "wb") as stream:
        stream.write(content)


def test_the_last_lines_come_oldest_first(layout):
    write(layout, b"".join(b"line %d\n" % n for n in range(50)))
    assert logs.lines(WHO, layout, "digits", 3) == ["line 47", "line 48", "line 49"]


def test_control_characters_are_shown_and_not_obeyed(layout):
    write(layout, "\x1b[2Jgone \u202egnp\x07\xff\n".encode() + b"\xfe\n")
    first, second = logs.lines(WHO, layout, "digits", 10)
    assert first == "\\x1b[2Jgone \\u202egnp\\x07\xff"
    assert second == "\ufffd"


def test_an_endless_line_is_cut(layout):
    write(layout, b"x" * 100_000 + b"\n")
    (line,) = logs.lines(WHO, layout, "digits", 10)
    assert len(line) < 3000


def test_a_huge_log_is_read_from_its_end(layout):
    write(layout, b"old\n" * 2_000_000 + b"new\n")
    assert logs.lines(WHO, layout, "digits", 1) == ["new"]


def test_a_pipeline_that_never_wrote_has_no_lines(layout):
    assert logs.lines(WHO, layout, "digits", 10) == []


@pytest.mark.parametrize("name", ["../state/committed", "", "a b", "digits.shadow"])
def test_a_name_that_could_leave_the_folder_is_refused(layout, name):
    with pytest.raises(WireError):
        logs.lines(WHO, layout, name, 10)
