"""What the figures of site/factory are made with: average precision, area under a curve, F1."""

import pytest
from average_precision import COCO_OVERLAPS, average_precision, mean_average_precision, overlap
from matching import matches
from ranking import area_under_curve
from support.worked import Box


def a_box(left=0.0, side=10.0, picture=0, label="disc", score=1.0):
    return Box(picture=picture, label=label, edges=(left, 0.0, left + side, side), score=score)


def test_overlap_is_shared_area_over_the_whole():
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0.0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_what_is_found_exactly_has_precision_one():
    truth = [a_box(0), a_box(50), a_box(0, picture=1)]
    assert average_precision(truth, truth) == 1.0


def test_nothing_found_has_precision_zero():
    assert average_precision([], [a_box()]) == 0.0


def test_a_class_that_is_nowhere_has_no_precision():
    with pytest.raises(ValueError, match="nowhere"):
        average_precision([a_box()], [])


def test_a_false_alarm_above_the_hit_halves_precision_and_one_below_does_not():
    truth = [a_box(0)]
    wrong_first = [a_box(50, score=0.9), a_box(0, score=0.8)]
    wrong_last = [a_box(50, score=0.7), a_box(0, score=0.8)]
    assert average_precision(wrong_first, truth) == 0.5
    assert average_precision(wrong_last, truth) == 1.0


def test_a_part_that_is_told_twice_is_found_once():
    truth = [a_box(0), a_box(50)]
    twice = [a_box(0, score=0.9), a_box(1, score=0.8), a_box(50, score=0.7)]
    # hit, miss, hit: recall 1/2 at precision 1, recall 1 at precision 2/3
    assert average_precision(twice, truth) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_a_box_in_another_picture_is_no_hit():
    assert average_precision([a_box(picture=1)], [a_box(picture=0)]) == 0.0


def test_a_box_that_is_too_far_off_is_no_hit():
    truth = [a_box(0)]
    shifted = [a_box(2.0)]  # 8 of 12 columns shared
    assert average_precision(shifted, truth, 0.65) == 1.0
    assert average_precision(shifted, truth, 0.7) == 0.0
    whole, _ = mean_average_precision(shifted, truth, COCO_OVERLAPS)
    assert whole == pytest.approx(0.4)  # 0.5, 0.55, 0.6 and 0.65 of ten


def test_the_mean_is_over_classes_and_not_over_boxes():
    truth = [a_box(20 * n) for n in range(9)] + [a_box(label="plate")]
    found = [box for box in truth if box.label == "disc"]
    mean, by_class = mean_average_precision(found, truth)
    assert by_class == {"disc": 1.0, "plate": 0.0}
    assert mean == 0.5


def test_area_under_the_curve_counts_pairs():
    assert area_under_curve([1, 2], [3, 4]) == 1.0
    assert area_under_curve([3, 4], [1, 2]) == 0.0
    assert area_under_curve([1, 3], [2, 4]) == 0.75
    assert area_under_curve([1, 1], [1, 1]) == 0.5
    with pytest.raises(ValueError, match="both kinds"):
        area_under_curve([], [1])


def test_f1_counts_whole_entities_of_the_right_type():
    there = [("PART", (0, 3, 7)), ("TIME", (0, 9, 12))]
    told = [("PART", (0, 3, 7)), ("TIME", (0, 9, 11)), ("PERSON", (1, 0, 4))]
    every, by_type = matches(told, there)
    assert (every.right, every.told, every.there) == (1, 3, 2)
    assert every.precision == pytest.approx(1 / 3)
    assert every.recall == 0.5
    assert every.f1 == pytest.approx(0.4)
    assert by_type["PART"].f1 == 1.0
    assert by_type["TIME"].f1 == 0.0


def test_an_entity_that_is_told_twice_is_right_once():
    every, _ = matches([("PART", 1), ("PART", 1)], [("PART", 1)])
    assert (every.right, every.told) == (1, 2)


def test_nothing_told_and_nothing_there_is_no_division_by_zero():
    every, by_type = matches([], [])
    assert (every.precision, every.recall, every.f1, by_type) == (0.0, 0.0, 0.0, {})
