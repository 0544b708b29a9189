import io
import random
import unittest

from support.captures import a_kept, a_model, an_about, read, written

from edgeform_wire import capture, frames
from edgeform_wire.capture import CaptureDamaged


def damage_of(content):
    try:
        read(content)
    except CaptureDamaged as exc:
        return exc.damage
    return ""


def resealed(records):
    """A file whose digests are right, whatever its headers and bodies say."""
    stream = io.BytesIO()
    writer = capture.Writer(stream)
    for header, body in records:
        writer._write(header, (body,))
    return stream.getvalue()


def raw(content):
    """(header, body) of every record."""
    stream = io.BytesIO(content[len(capture.MAGIC) :])
    while True:
        found = frames.read(stream, 2**20)
        if found is None:
            return
        stream.read(capture.DIGEST_BYTES)
        yield found


class Captures(unittest.TestCase):
    def test_what_was_written_is_read_back(self):
        records = [an_about(), a_model(), a_kept(1), a_model(generation=4), a_kept(2)]
        assert read(written(*records)) == records

    def test_a_capture_without_frames_is_one(self):
        assert read(written(an_about())) == [an_about()]

    def test_every_single_flipped_bit_is_refused(self):
        content = written()
        found = set()
        for place in range(len(content)):
            for bit in range(8):
                changed = bytearray(content)
                changed[place] ^= 1 << bit
                damage = damage_of(bytes(changed))
                assert damage, (place, bit)
                found.add(damage)
        assert found == {"foreign", "changed", "truncated"}

    def test_every_cut_is_called_a_cut(self):
        content = written()
        for length in range(len(content)):
            expected = "foreign" if length < len(capture.MAGIC) else "truncated"
            assert damage_of(content[:length]) == expected, length

    def test_the_damage_names_the_record_and_where_it_begins(self):
        content = bytearray(written())
        place = bytes(content).index(b"pixelspixels")
        content[place] ^= 1
        with self.assertRaises(CaptureDamaged) as caught:
            read(bytes(content))
        assert caught.exception.record == 3
        assert 0 < caught.exception.at_byte < place
        assert str(caught.exception).startswith("changed: record 3 at byte ")

    def test_bytes_behind_the_end_are_refused(self):
        assert damage_of(written() + b"x") == "trailing"

    def test_a_record_that_is_left_out_doubled_or_moved_is_refused(self):
        parts = list(raw(written()))
        sealed = resealed(parts)
        assert sealed == written()
        bounds = []
        at = len(capture.MAGIC)
        for header, body in parts:
            end = at + len(frames.head(header, len(body))) + len(body) + capture.DIGEST_BYTES
            bounds.append(sealed[at:end])
            at = end
        for order in (
            (0, 1, 3, 4),
            (0, 1, 2, 2, 3, 4),
            (0, 1, 3, 2, 4),
            (0, 2, 3, 4),
            (1, 2, 3, 4),
        ):
            moved = capture.MAGIC + b"".join(bounds[n] for n in order)
            assert damage_of(moved), order

    def test_a_well_sealed_file_of_another_form_is_refused_as_unfit(self):
        about, model, first, _, end = raw(written())
        cases = {
            "no about": [model, first, end],
            "frame before its model": [about, first, end],
            "about twice": [about, about, end],
            "wrong count": [about, model, first, ({**end[0], "frames": 7}, b"")],
            "wrong number": [about, model, ({**first[0], "number": 5}, first[1]), end],
            "newer": [({**about[0], "schema": "edgeform.capture/2"}, b""), end],
            "unknown field": [({**about[0], "extra": 1}, b""), end],
            "unknown kind": [about, ({"kind": "program"}, b""), end],
            "input too long": [about, model, ({**first[0], "input_bytes": 10**9}, first[1]), end],
            "negative input": [about, model, ({**first[0], "input_bytes": -1}, first[1]), end],
            "output too large": [
                about,
                model,
                (
                    {
                        **first[0],
                        "outputs": [{"name": "y", "dtype": "int64", "shape": [2**30, 2**30]}],
                    },
                    first[1],
                ),
                end,
            ],
            "stages with an address": [
                about,
                ({**model[0], "stages": {**model[0]["stages"], "report": []}}, b""),
                end,
            ],
        }
        for name, records in cases.items():
            assert damage_of(resealed(records)) == "unfit", name

    def test_random_bytes_behind_the_magic_never_do_anything_but_be_refused(self):
        chance = random.Random(7)
        for _ in range(500):
            content = capture.MAGIC + bytes(
                chance.getrandbits(8) for _ in range(chance.randrange(200))
            )
            assert damage_of(content) in {"changed", "truncated", "unfit"}

    def test_a_capture_is_called_by_time_process_number_and_reason(self):
        assert capture.FILE_NAME.match("20261128T101500Z-812-0001-gate_failure.efcap")
        for name in (
            "../20261128T101500Z-1-0001-request.efcap",
            "20261128T101500Z-1-0001-request.efcap.part",
            "20261128T101500Z-1-0001-request.efcap\n",
            "20261128T101500Z-1-0001-other.efcap",
        ):
            assert not capture.FILE_NAME.match(name), name
