import unittest
from pathlib import Path

from support.documents import EXAMPLES

GOLDEN = Path(__file__).parents[2] / "golden" / "wire"


class GoldenFiles(unittest.TestCase):
    def test_every_document_is_written_as_its_golden_file_on_this_python(self):
        for name, (make, _) in EXAMPLES.items():
            with self.subTest(name):
                assert make() == (GOLDEN / name).read_bytes()

    def test_every_golden_file_is_read_and_written_again_byte_for_byte(self):
        for name, (_, again) in EXAMPLES.items():
            with self.subTest(name):
                document = (GOLDEN / name).read_bytes()
                assert again(document) == document


if __name__ == "__main__":
    unittest.main()
