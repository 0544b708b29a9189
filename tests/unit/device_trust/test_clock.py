import pytest
from support.tuf_repo import BUILT_S, NOW_S, a_clock

from edgeform_device.clock import (
    DAY_S,
    KNOWN,
    PLAUSIBLE_AHEAD_S,
    UNKNOWN,
    TimeFloor,
    check_required,
    read_clock,
    time_floor,
)
from edgeform_device.errors import Stale

Y1970 = 3600
Y2036 = 2_085_978_496  # where NTP's 32 bits end, and dead clocks wake up


def test_a_vouched_plausible_clock_is_the_time():
    assert time_floor(a_clock()) == TimeFloor(NOW_S, KNOWN)


def test_a_clock_at_1970_gives_way_to_the_build_time_of_the_tool():
    assert time_floor(a_clock(Y1970)) == TimeFloor(BUILT_S, UNKNOWN)


def test_the_newest_signed_time_raises_the_floor():
    assert time_floor(a_clock(Y1970), NOW_S - DAY_S) == TimeFloor(NOW_S - DAY_S, UNKNOWN)


def test_a_clock_in_2036_is_ignored_and_expires_nothing():
    assert time_floor(a_clock(Y2036), NOW_S) == TimeFloor(NOW_S, UNKNOWN)


def test_a_clock_that_goes_back_between_runs_does_not_lower_the_floor():
    first = time_floor(a_clock(NOW_S), NOW_S - 60)
    second = time_floor(a_clock(NOW_S - 40 * DAY_S), NOW_S - 60)

    assert first.floor_s == NOW_S
    assert second == TimeFloor(NOW_S - 60, UNKNOWN)


def test_a_plausible_clock_that_nobody_vouches_for_is_a_floor_but_not_the_time():
    assert time_floor(a_clock(is_vouched=False)) == TimeFloor(NOW_S, UNKNOWN)


def test_a_signer_a_little_ahead_does_not_make_the_clock_wrong():
    assert time_floor(a_clock(NOW_S), NOW_S + 60) == TimeFloor(NOW_S + 60, KNOWN)


def test_the_last_plausible_second_is_five_years_ahead():
    assert time_floor(a_clock(BUILT_S + PLAUSIBLE_AHEAD_S)).freshness == KNOWN
    assert time_floor(a_clock(BUILT_S + PLAUSIBLE_AHEAD_S + 1)).freshness == UNKNOWN


def test_require_clock_refuses_an_unknown_time_and_says_what_to_do():
    clock = a_clock(Y1970, is_required=True)

    with pytest.raises(Stale, match="require_clock") as caught:
        check_required(clock, time_floor(clock))
    assert "1970-01-01" in caught.value.detail
    assert "timedatectl" in caught.value.hint


def test_require_clock_accepts_a_known_time():
    clock = a_clock(is_required=True)

    check_required(clock, time_floor(clock))


def test_this_machine_has_a_clock_that_can_be_read():
    clock = read_clock(built_s=BUILT_S)

    assert clock.now_s > 1_700_000_000
    assert isinstance(clock.is_vouched, bool)
