"""The line that says what a result is: written by publisher and judge alike, on whatever a runtime answers."""

import unittest

from edgeform_wire.golden import answer_line


def detect(*labels):
    return {"kind": "detect", "detections": [{"label": label} for label in labels]}


class AnswerLine(unittest.TestCase):
    def test_a_classification_is_its_best_label(self):
        classes = [{"label": "dent"}, {"label": "good"}]
        self.assertEqual(answer_line({"kind": "classify", "classes": classes}), "dent")
        self.assertEqual(answer_line({"kind": "classify", "classes": []}), "nothing")

    def test_detections_are_all_their_labels_whatever_their_order(self):
        self.assertEqual(answer_line(detect("wedge", "disc", "disc")), "disc, disc, wedge")
        self.assertEqual(answer_line(detect("disc", "wedge", "disc")), "disc, disc, wedge")
        self.assertEqual(answer_line(detect()), "nothing")

    def test_entities_are_types_and_texts_in_their_order(self):
        entities = [{"label": "TIME", "text": "9:15"}, {"label": "PART", "text": "valve"}]
        self.assertEqual(
            answer_line({"kind": "ner", "entities": entities}), "TIME 9:15; PART valve"
        )
        self.assertEqual(answer_line({"kind": "ner", "entities": []}), "nothing")

    def test_numbers_are_what_they_were_judged_as(self):
        self.assertEqual(answer_line({"kind": "anomaly", "is_anomaly": True}), "anomaly")
        self.assertEqual(answer_line({"kind": "anomaly", "is_anomaly": False}), "normal")
        self.assertEqual(answer_line({"kind": "threshold", "is_over": True}), "over")
        self.assertEqual(answer_line({"kind": "threshold", "is_over": False}), "within")

    def test_what_is_no_result_has_no_line(self):
        for result in (None, [], "disc", {}, {"kind": "other"}, {"kind": ["detect"]}):
            self.assertIsNone(answer_line(result))

    def test_a_result_with_damaged_parts_has_a_line_that_no_golden_has(self):
        self.assertEqual(answer_line({"kind": "detect", "detections": [{"label": 3}, 7]}), "?")
        self.assertEqual(answer_line({"kind": "detect", "detections": "disc"}), "nothing")
        self.assertEqual(answer_line({"kind": "classify", "classes": [{}]}), "?")
