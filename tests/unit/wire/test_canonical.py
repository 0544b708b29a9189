import unittest

from edgeform_wire import canonical, digest
from edgeform_wire.errors import WireError


def refused(document, words):
    try:
        canonical.decode(document)
    except WireError as exc:
        assert words in str(exc), exc
        return
    raise AssertionError("it was accepted")


class Canonical(unittest.TestCase):
    def test_keys_are_sorted_by_code_point_and_nothing_is_escaped_without_need(self):
        assert canonical.encode({"b": 1, "é": "ü", "a": [True, None]}) == (
            '{"a":[true,null],"b":1,"é":"ü"}'.encode()
        )

    def test_floats_are_the_shortest_that_read_back(self):
        assert canonical.encode([0.1, 1.0, 1e22, 1e-7, -0.0]) == b"[0.1,1.0,1e+22,1e-07,-0.0]"

    def test_what_was_decoded_encodes_to_the_same_bytes(self):
        document = b'{"a":[1,2.5,"\xc3\xa9",{"b":null}],"z":false}'
        assert canonical.encode(canonical.decode(document)) == document

    def test_a_key_that_stands_twice_is_refused_at_any_depth(self):
        refused(b'{"a":{"b":1,"b":2}}', "duplicate key 'b'")

    def test_nan_and_infinity_are_refused_both_ways(self):
        refused(b"[NaN]", "NaN is not a number")
        refused(b"[-Infinity]", "-Infinity is not a number")
        for value in (float("nan"), float("inf")):
            self.assertRaises(WireError, canonical.encode, [value])

    def test_what_is_not_json_is_refused(self):
        for document in (b"", b"{", b"\xff", b'{"a":1}x', b"'a'"):
            refused(document, "is not JSON")

    def test_a_deeply_nested_document_is_refused_and_does_not_kill_the_process(self):
        refused(b"[" * 200000, "is not JSON")

    def test_a_huge_document_is_refused_before_it_is_parsed(self):
        refused(b" " * (canonical.MAX_DOCUMENT_BYTES + 1), "bytes, more than")

    def test_a_lone_surrogate_cannot_be_written(self):
        self.assertRaises(WireError, canonical.encode, "\ud800")

    def test_types_that_json_lacks_cannot_be_written(self):
        for value in ({1, 2}, b"bytes", object()):
            self.assertRaises(WireError, canonical.encode, value)

    def test_the_digest_is_that_of_the_canonical_bytes(self):
        value = {"b": 1, "a": 2}
        assert canonical.digest_of(value) == digest.of_bytes(b'{"a":2,"b":1}')


class Digests(unittest.TestCase):
    good = "sha256:" + "ab" * 32

    def test_only_the_one_form_is_a_digest(self):
        assert digest.parse(self.good) == self.good
        bad = (
            "",
            "ab" * 32,
            self.good.upper(),
            self.good + "\n",
            self.good[:-1],
            self.good + "0",
            None,
            7,
        )
        for text in bad:
            with self.subTest(repr(text)):
                self.assertRaises(WireError, digest.parse, text)

    def test_stream_file_and_bytes_agree(self):
        import io
        import tempfile

        content = bytes(range(256)) * 5000  # more than one chunk
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            assert digest.of_file(file.name) == digest.of_bytes(content)
        assert digest.of_stream(io.BytesIO(content)) == digest.of_bytes(content)

    def test_hex_and_short_leave_the_prefix_out(self):
        assert digest.hex_of(self.good) == "ab" * 32
        assert digest.short(self.good) == "ab" * 6


if __name__ == "__main__":
    unittest.main()
