"""Calendar features of a few known periods."""

from datetime import date

import pytest

from shelfcast.errors import ConfigError
from shelfcast.features.calendar import phases
from shelfcast.features.periods import starts
from shelfcast.settings import Calendar

US = Calendar(week_start="monday", country="US", subdivision=None)


def test_a_week_counts_its_public_holidays() -> None:
    weeks = phases(starts(date(2017, 11, 13), date(2017, 12, 31), 7), 7, US)
    assert weeks.holiday == [0, 1, 0, 0, 0, 0, 1]


def test_the_share_of_the_first_days_of_a_month() -> None:
    weeks = phases(starts(date(2017, 4, 24), date(2017, 5, 14), 7), 7, US)
    assert weeks.month_start == pytest.approx([0, 1, 0])
    crossing = phases([date(2017, 2, 27)], 7, US)
    assert crossing.month_start == pytest.approx([5 / 7])


def test_the_place_in_the_year_is_that_of_the_middle() -> None:
    weeks = phases([date(2016, 12, 26), date(2017, 1, 2), date(2017, 12, 25)], 7, US)
    assert weeks.year_phase == pytest.approx([363 / 366, 4 / 365, 361 / 365])


def test_days_are_periods_too() -> None:
    assert phases(starts(date(2017, 7, 3), date(2017, 7, 5), 1), 1, US).holiday == [0, 1, 0]


def test_an_unknown_country_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"calendar\.country: 'USX' .* 'US'"):
        phases([date(2017, 1, 2)], 7, US.model_copy(update={"country": "USX"}))


def test_an_unknown_subdivision_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"calendar\.subdivision"):
        phases([date(2017, 1, 2)], 7, US.model_copy(update={"subdivision": "QQ"}))
