"""Cutoffs: the last day of the last complete period up to an as-of date, per grain."""

from datetime import date, timedelta

from shelfcast.settings import Settings

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def period_days(grain: str) -> int:
    """Days of a period of the grain ``<period>.<entity>``."""
    return 7 if grain.startswith("week.") else 1


def cutoffs(settings: Settings, as_of: date) -> dict[str, date]:
    """Configured grain → its cutoff at ``as_of``."""
    first = _WEEKDAYS.index(settings.calendar.week_start)
    into_week = (as_of + timedelta(days=1)).weekday() - first
    week_end = as_of - timedelta(days=into_week % 7)
    return {grain: week_end if period_days(grain) == 7 else as_of for grain in settings.demand.grains}
