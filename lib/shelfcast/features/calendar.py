"""What the calendar says about periods: holidays, the first week of the month, the place in the year."""

import difflib
from dataclasses import dataclass
from datetime import date, timedelta

import holidays

from shelfcast.errors import ConfigError
from shelfcast.settings import Calendar


@dataclass(frozen=True)
class Phases:
    """One value per period, oldest first.

    Attributes:
        holiday: public holidays in the period.
        month_start: share of its days that are the 1st to 7th of a month.
        year_phase: its middle as a share of the year the middle lies in, 0 to 1.
    """

    holiday: list[float]
    month_start: list[float]
    year_phase: list[float]


def phases(starts: list[date], days: int, calendar: Calendar) -> Phases:
    """Calendar features of the periods of ``days`` days that begin on ``starts``.

    Raises:
        ConfigError: if the country or its subdivision is unknown to the holiday library.
    """
    public = _public_holidays(calendar, range(starts[0].year, starts[-1].year + 2))
    covered = [[start + timedelta(days=n) for n in range(days)] for start in starts]
    return Phases(
        holiday=[float(sum(day in public for day in period)) for period in covered],
        month_start=[sum(day.day <= 7 for day in period) / days for period in covered],
        year_phase=[_year_phase(start, days) for start in starts],
    )


def _year_phase(start: date, days: int) -> float:
    middle = start + timedelta(days=days // 2)
    length = (date(middle.year + 1, 1, 1) - date(middle.year, 1, 1)).days
    return (middle - date(middle.year, 1, 1)).days / length


def _public_holidays(calendar: Calendar, years: range) -> set[date]:
    known = holidays.list_supported_countries()
    if calendar.country not in known:
        raise ConfigError(_unknown("calendar.country", calendar.country, sorted(known)))
    subdivision = calendar.subdivision
    if subdivision is not None and subdivision not in known[calendar.country]:
        raise ConfigError(_unknown("calendar.subdivision", subdivision, sorted(known[calendar.country])))
    return set(holidays.country_holidays(calendar.country, subdiv=subdivision, years=list(years), observed=False))


def _unknown(key: str, value: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(value.upper(), valid, n=1, cutoff=0.0) or ["none"]
    return f"{key}: {value!r} has no holiday calendar; the nearest valid value is {near[0]!r} (ISO 3166 codes)"
