import io
import struct
import unittest

from support.documents import a_frame

from edgeform_wire import frames
from edgeform_wire.errors import WireError


class Dribble(io.RawIOBase):
    """A stream that gives one byte at a time, as a slow link may."""

    def __init__(self, content):
        self._left = content

    def read(self, size=-1):
        part, self._left = self._left[:1], self._left[1:]
        return part if size else b""


def raw(header, body=b""):
    return struct.pack("<I", len(header)) + header + body


class Frames(unittest.TestCase):
    def test_a_frame_reads_back_with_its_body(self):
        assert frames.read(io.BytesIO(a_frame()), 100) == (
            {"op": "infer", "slot": "live"},
            b"\x00\x01\x02",
        )

    def test_frames_follow_each_other_and_end_cleanly(self):
        stream = io.BytesIO(a_frame() * 3)
        for _ in range(3):
            assert frames.read(stream, 100) is not None
        assert frames.read(stream, 100) is None

    def test_a_stream_that_dribbles_is_read_whole(self):
        assert frames.read(Dribble(a_frame()), 100) == frames.read(io.BytesIO(a_frame()), 100)

    def test_a_stream_cut_anywhere_is_an_error_and_never_a_shorter_frame(self):
        whole = a_frame()
        for end in range(1, len(whole)):
            with self.subTest(end):
                self.assertRaises(WireError, frames.read, io.BytesIO(whole[:end]), 100)

    def test_a_huge_header_is_refused_before_it_is_read(self):
        stream = io.BytesIO(struct.pack("<I", 2**32 - 1))
        self.assertRaises(WireError, frames.read_head, stream)

    def test_a_body_over_the_limit_is_refused_before_it_is_read(self):
        stream = io.BytesIO(raw(b'{"body_bytes":1000000000000}'))
        self.assertRaises(WireError, frames.read, stream, 100)

    def test_a_hostile_header_is_refused(self):
        for header in (
            b"[]",
            b"7",
            b"{}",
            b'{"body_bytes":-1}',
            b'{"body_bytes":true}',
            b'{"body_bytes":1.0}',
            b'{"body_bytes":"3"}',
            b'{"body_bytes":1,"body_bytes":2}',
            b"\xff\xff",
        ):
            with self.subTest(header):
                self.assertRaises(WireError, frames.read, io.BytesIO(raw(header)), 100)

    def test_a_body_of_another_length_than_announced_is_not_written_silently(self):
        for body in ((b"ab",), (b"abcd",)):
            with self.subTest(body):
                self.assertRaises(WireError, frames.write, io.BytesIO(), {}, body, 3)

    def test_a_header_that_no_reader_would_take_is_not_written(self):
        self.assertRaises(WireError, frames.head, {"x": "y" * frames.MAX_HEADER_BYTES})

    def test_body_bytes_in_the_header_cannot_lie(self):
        stream = io.BytesIO()
        frames.write(stream, {"body_bytes": 999}, (b"abc",), 3)
        stream.seek(0)
        assert frames.read(stream, 100) == ({}, b"abc")


if __name__ == "__main__":
    unittest.main()
