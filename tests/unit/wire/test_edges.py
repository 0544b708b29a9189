import unittest

from edgeform_wire import edges

CAMERA = {"kind": "image_directory"}
RESIZE = {"kind": "resize"}
LAYOUT = {"kind": "layout", "order": "nchw"}
ROWS = {"kind": "layout", "order": "ntc"}


class Edges(unittest.TestCase):
    def test_what_fits_is_accepted(self):
        for capture, steps in (
            (CAMERA, [RESIZE, {"kind": "colour"}, {"kind": "normalise"}, LAYOUT]),
            (CAMERA, []),
            ({"kind": "audio", "rate_hz": 16000}, [{"kind": "log_mel"}, {"kind": "z_score"}, ROWS]),
            ({"kind": "modbus"}, [{"kind": "window"}, {"kind": "z_score"}, ROWS]),
            ({"kind": "text_lines", "payload": "text"}, [{"kind": "tokenise"}]),
            ({"kind": "mqtt", "payload": "series"}, [ROWS]),
            ({"kind": "http_push"}, [RESIZE, LAYOUT]),
        ):
            self.assertEqual(edges.problem(capture, steps, "classify"), (-1, ""))

    def test_what_does_not_fit_is_named_with_both_sides(self):
        for capture, steps, number, words in (
            (CAMERA, [RESIZE, {"kind": "log_mel"}], 1, "after resize there is a picture"),
            (CAMERA, [{"kind": "log_mel"}], 0, "after capture image_directory there is a picture"),
            (CAMERA, [LAYOUT, LAYOUT], 1, "there is a finished tensor"),
            (CAMERA, [{"kind": "normalise"}, RESIZE], 1, "normalised pixels"),
            (CAMERA, [ROWS], 0, "layout ntc takes a series of numbers or features"),
            ({"kind": "modbus"}, [RESIZE], 0, "resize takes a picture"),
            ({"kind": "text_lines", "payload": "text"}, [{"kind": "z_score"}], 0, "there is text"),
            (
                {"kind": "audio", "rate_hz": 8000},
                [{"kind": "log_mel", "rate_hz": 16000}],
                0,
                "log_mel is for 16000 Hz, and capture audio gives 8000 Hz",
            ),
            ({"kind": "audio"}, [{"kind": "log_mel", "fft": 256}], 0, "shorter than its frames"),
            ({"kind": "audio"}, [{"kind": "log_mel", "high_hz": 9000}], 0, "below half"),
        ):
            found, sentence = edges.problem(capture, steps, "classify")
            self.assertEqual(found, number)
            self.assertIn(words, sentence)

    def test_a_crop_that_would_move_a_detectors_boxes_is_refused(self):
        steps = [{"kind": "crop"}, RESIZE, LAYOUT]
        self.assertEqual(edges.problem(CAMERA, steps, "classify")[0], -1)
        self.assertIn("would move its boxes", edges.problem(CAMERA, steps, "yolov8")[1])


if __name__ == "__main__":
    unittest.main()
