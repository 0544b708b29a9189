import os
import pty
import socket
import termios
import threading

import numpy as np
import pytest
from support.sources import Heard, listening, quick_backoff

from edgeform_runtime.errors import FrameError
from edgeform_runtime.pipeline.capture import Serial, TextLines
from edgeform_runtime.stages.capture.following import Backoff
from edgeform_runtime.stages.capture.lines import LineSource, LineSplitter
from edgeform_runtime.stages.capture.rows import Windows, numbers_of
from edgeform_runtime.stages.content import series_of


def text_lines(**changes):
    fields = {
        "path": "in.log",
        "mode": "tail",
        "start": "end",
        "payload": "text",
        "channels": 0,
        "window": 1,
        "hop": 0,
        "separator": ",",
        "max_line_bytes": 1024,
    }
    return TextLines(**(fields | changes))


def lines(stage, path, stop):
    return LineSource(stage, str(path), stop, quick_backoff())


def contents(frames):
    return [frame.content for frame in frames]


def test_lines_appended_to_a_file_are_frames_and_old_ones_are_not(tmp_path):
    log, stop = tmp_path / "in.log", threading.Event()
    log.write_text("yesterday\n")
    with listening(lines(text_lines(), tmp_path, stop), stop) as at_work:
        at_work.until(lambda: at_work.heard.findings, "the file")
        with log.open("a") as stream:
            stream.write("first\nsecond, with ümlaut\nhalf")
            stream.flush()
            at_work.wait_for(2)
            stream.write(" a line\n")
        assert contents(at_work.wait_for(3)) == [
            b"first",
            "second, with ümlaut".encode(),
            b"half a line",
        ]
    assert at_work.frames[0].name == "in.log#1"


def test_a_rotated_file_loses_nothing_and_is_followed(tmp_path):
    log, stop = tmp_path / "in.log", threading.Event()
    log.write_text("")
    with listening(lines(text_lines(), tmp_path, stop), stop) as at_work:
        at_work.until(lambda: at_work.heard.findings, "the file")
        with log.open("a") as stream:
            stream.write("a\nb\n")
        log.rename(tmp_path / "in.log.1")
        log.write_text("c\n")
        assert contents(at_work.wait_for(3)) == [b"a", b"b", b"c"]
        assert set(at_work.heard.reasons()) <= {"rotated", "missing"}


def test_a_file_that_appears_later_is_read_from_its_beginning(tmp_path):
    stop = threading.Event()
    with listening(lines(text_lines(), tmp_path, stop), stop) as at_work:
        at_work.until(lambda: "missing" in at_work.heard.reasons(), "a loss")
        (tmp_path / "in.log").write_text("all new\n")
        assert contents(at_work.wait_for(1)) == [b"all new"]


def test_a_unix_socket_takes_one_writer_after_the_other(tmp_path):
    stage = text_lines(path="run/in.sock", mode="listen", payload="series", window=2)
    path, stop = tmp_path / "run" / "in.sock", threading.Event()
    with listening(lines(stage, tmp_path, stop), stop) as at_work:
        at_work.until(lambda: at_work.heard.findings, "the socket")
        for text in (b"1,2\n3,4\n5,6", b"7,8\n"):
            with socket.socket(socket.AF_UNIX) as writer:
                writer.connect(str(path))
                writer.sendall(text)
        frames = at_work.wait_for(2)
        assert series_of(frames[0].content).tolist() == [[1, 2], [3, 4]]
        assert series_of(frames[1].content).tolist() == [[5, 6], [7, 8]]
        assert os.stat(path).st_mode & 0o777 == 0o660


def test_a_file_in_the_place_of_the_socket_is_not_removed(tmp_path):
    (tmp_path / "in.log").write_text("precious")
    stop = threading.Event()
    with listening(lines(text_lines(mode="listen"), tmp_path, stop), stop) as at_work:
        at_work.until(lambda: "not_a_socket" in at_work.heard.reasons(), "a refusal")
    assert (tmp_path / "in.log").read_text() == "precious"


def serial(path, **changes):
    fields = {
        "path": path,
        "baud": 9600,
        "payload": "series",
        "channels": 3,
        "window": 4,
        "hop": 2,
        "separator": ",",
        "max_line_bytes": 256,
    }
    return Serial(**(fields | changes))


def test_rows_of_a_serial_port_become_windows_at_the_asked_rate(tmp_path):
    ours, theirs = pty.openpty()
    stop = threading.Event()
    try:
        with listening(lines(serial(os.ttyname(theirs)), tmp_path, stop), stop) as at_work:
            at_work.until(lambda: at_work.heard.findings, "the port")
            for n in range(8):
                os.write(ours, f"{n},{n * 10},{n / 2}\r\n".encode())
            os.write(ours, b"1,2\n,,\n")
            frames = at_work.wait_for(3)
            at_work.until(lambda: len(at_work.heard.failures) == 2, "failures")
        firsts = [series_of(frame.content)[:, 0].tolist() for frame in frames]
        assert firsts == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
        assert series_of(frames[0].content)[3].tolist() == [3, 30, 1.5]
        assert at_work.heard.failures == ["channels", "not_numbers"]
        settings = termios.tcgetattr(theirs)
        assert settings[4] == termios.B9600
        assert not settings[3] & termios.ECHO
    finally:
        os.close(theirs)
        os.close(ours)


def test_an_unplugged_port_is_lost_and_a_new_one_found(tmp_path):
    link, stop = tmp_path / "port", threading.Event()
    ours, theirs = pty.openpty()
    link.symlink_to(os.ttyname(theirs))
    stage = serial("port", window=1, hop=0)
    with listening(lines(stage, tmp_path, stop), stop) as at_work:
        at_work.until(lambda: at_work.heard.findings, "the port")
        os.close(theirs)
        link.unlink()
        os.close(ours)
        at_work.until(lambda: at_work.heard.losses, "a loss")
        ours, theirs = pty.openpty()
        link.symlink_to(os.ttyname(theirs))
        at_work.until(lambda: at_work.heard.findings == 2, "the new port")
        os.write(ours, b"1,2,3\n")
        at_work.wait_for(1)
    os.close(theirs)
    os.close(ours)


def test_a_port_that_is_no_port_is_said(tmp_path):
    (tmp_path / "port").write_text("1,2,3\n")
    stop = threading.Event()
    with listening(lines(serial("port"), tmp_path, stop), stop) as at_work:
        at_work.until(lambda: "not_a_port" in at_work.heard.reasons(), "a refusal")


def test_a_line_without_end_is_left_out_and_counted_once():
    splitter, heard = LineSplitter(8), Heard()
    found = []
    for chunk in (b"short\n", b"x" * 6, b"x" * 6, b"x" * 100, b"\nnext\r\n", b"123456789\n"):
        found += splitter.add(chunk, heard.notices())
    assert found == [b"short", b"next"]
    assert heard.failures == ["too_large", "too_large"]


def test_windows_overlap_by_what_hop_leaves_and_rows_never_mix_after_a_gap():
    windows = Windows(channels=1, length=3, hop=1)
    made = [windows.add((float(n),)) for n in range(5)]
    assert [m is not None for m in made] == [False, False, True, True, True]
    assert series_of(made[4])[:, 0].tolist() == [2, 3, 4]
    windows.restart()
    assert windows.add((9.0,)) is None
    assert windows.add((10.0,)) is None
    assert series_of(windows.add((11.0,)))[:, 0].tolist() == [9, 10, 11]


@pytest.mark.parametrize("row", [(float("nan"),), (float("inf"),), (), (1.0, 2.0)])
def test_a_row_that_is_not_what_was_agreed_is_a_failure(row):
    with pytest.raises(FrameError):
        Windows(channels=1, length=2, hop=0).add(row)


@pytest.mark.parametrize(
    ("line", "separator", "numbers"),
    [
        (b"1, 2.5 ,-3e2\r", ",", [1.0, 2.5, -300.0]),
        (b" 1  2\t3 ", "space", [1.0, 2.0, 3.0]),
        (b"[1, 2]", ";", [1.0, 2.0]),
        (b"1;2", ";", [1.0, 2.0]),
    ],
)
def test_rows_are_read_as_they_are_written(line, separator, numbers):
    assert numbers_of(line, separator) == numbers


@pytest.mark.parametrize(
    "line", [b"a,b", b"[true]", b"[[1]]", b"[1", b"\xff", b"[" * 5000, b"[null]"]
)
def test_what_is_no_row_of_numbers_is_a_frame_error(line):
    with pytest.raises(FrameError):
        numbers_of(line, ",")


def test_waits_double_to_a_limit_and_are_shortened_at_random():
    full = Backoff(1.0, 5.0, chance=lambda: 0.0)
    assert [full.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    full.reset()
    assert full.next_s() == 1.0
    assert Backoff(1.0, 5.0, chance=lambda: 1.0).next_s() == 0.5


def test_series_go_on_as_npy_files_that_numpy_reads():
    import io

    from edgeform_runtime.stages.content import npy_of

    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert (np.load(io.BytesIO(npy_of(rows)), allow_pickle=False) == rows).all()
    stream = io.BytesIO()
    np.save(stream, np.arange(4, dtype=np.int16))
    assert series_of(stream.getvalue()).tolist() == [[0], [1], [2], [3]]
