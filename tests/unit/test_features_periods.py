"""Period arithmetic: what holds for every as-of date, week start and log."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfcast.features.periods import Clock, Grain, known_by, starts

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
days = st.dates(date(2015, 1, 1), date(2019, 12, 31))
clocks = st.builds(Clock, week_start=st.sampled_from(WEEKDAYS), log_start=days, as_of=days)
lengths = st.sampled_from([1, 7])


def test_a_grain_is_read_from_its_name() -> None:
    assert Grain.parse("week.product") == Grain("week.product", 7, False)
    assert Grain.parse("day.product_store") == Grain("day.product_store", 1, True)


def test_the_complete_journey_log_begins_with_a_partial_week() -> None:
    clock = Clock("monday", date(2017, 1, 1), date(2017, 11, 26))
    assert clock.first(7) == date(2017, 1, 2)
    assert clock.cutoff(7) == date(2017, 11, 26)
    assert clock.weeks(7)[0] == date(2017, 1, 2)
    assert clock.weeks(7)[-1] == date(2017, 11, 20)


def test_an_as_of_inside_a_week_sees_the_week_before() -> None:
    clock = Clock("monday", date(2017, 1, 2), date(2017, 11, 25))
    assert clock.cutoff(7) == date(2017, 11, 19)
    assert clock.cutoff(1) == date(2017, 11, 25)


def test_a_log_that_begins_on_the_first_day_of_a_week_keeps_that_week() -> None:
    assert Clock("sunday", date(2017, 1, 1), date(2017, 3, 1)).first(7) == date(2017, 1, 1)


def test_a_log_without_a_complete_week_has_no_cutoffs() -> None:
    assert Clock("monday", date(2017, 1, 3), date(2017, 1, 14)).chain(7, 1) == []


def test_a_plan_must_be_known_at_the_cutoff_that_has_its_period_as_longest_horizon() -> None:
    assert known_by(date(2017, 11, 27), 7, 1) == date(2017, 11, 26)
    assert known_by(date(2017, 12, 18), 7, 4) == date(2017, 11, 26)


@given(clocks, lengths)
def test_a_cutoff_is_the_newest_end_of_a_period_up_to_as_of(clock: Clock, length: int) -> None:
    cutoff = clock.cutoff(length)
    assert cutoff <= clock.as_of < cutoff + timedelta(days=length)
    if length == 7:
        assert (cutoff + timedelta(days=1)).weekday() == WEEKDAYS.index(clock.week_start)


@given(clocks, lengths)
def test_the_first_period_is_the_oldest_one_wholly_inside_the_log(clock: Clock, length: int) -> None:
    first = clock.first(length)
    assert clock.log_start <= first < clock.log_start + timedelta(days=length)


@given(clocks, lengths, st.integers(1, 60))
def test_a_chain_goes_back_in_strides_and_stays_inside_the_log(clock: Clock, length: int, stride: int) -> None:
    chain = clock.chain(length, stride)
    assert all(a - b == timedelta(days=stride * length) for a, b in pairwise(chain))
    assert all(clock.is_cutoff(cutoff, length) for cutoff in chain)
    if chain:
        assert chain[0] == clock.cutoff(length)
        assert not clock.is_cutoff(chain[-1] - timedelta(days=stride * length), length)


@given(clocks, lengths, st.integers(0, 90))
def test_a_later_as_of_changes_no_earlier_cutoff_and_no_week(clock: Clock, length: int, later: int) -> None:
    after = Clock(clock.week_start, clock.log_start, clock.as_of + timedelta(days=later))
    if clock.chain(length, 1):
        assert set(clock.chain(length, 1)) <= set(after.chain(length, 1))
        assert set(clock.weeks(length)) <= set(after.weeks(length))


@given(clocks, lengths)
def test_the_periods_of_all_weeks_are_the_complete_periods(clock: Clock, length: int) -> None:
    inside = [start for week in clock.weeks(length) for start in clock.starts_in(week, length)]
    last = clock.cutoff(length) - timedelta(days=length - 1)
    assert inside == starts(clock.first(length), last, length)


@pytest.mark.parametrize(("days_", "horizon"), [(7, 4), (1, 7), (7, 1)])
def test_plans_of_a_horizon_are_known_by_its_cutoff(days_: int, horizon: int) -> None:
    cutoff = date(2017, 11, 26)
    for period in starts(cutoff + timedelta(days=1), cutoff + timedelta(days=days_ * horizon), days_):
        assert known_by(period, days_, horizon) <= cutoff
