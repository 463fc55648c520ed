"""Arithmetic of store-local periods: complete weeks and days, cutoffs, and the grains that use them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PERIOD_DAYS = {"week": 7, "day": 1}
ALL_STORES = "*"


@dataclass(frozen=True)
class Grain:
    """What a series is: ``name`` as configured, ``days`` of a period, and whether stores are told apart."""

    name: str
    days: int
    by_store: bool

    @classmethod
    def parse(cls, name: str) -> "Grain":
        """From ``<period>.<entity>``, e.g. ``week.product_store``."""
        period, _, entity = name.partition(".")
        return cls(name, _PERIOD_DAYS[period], entity == "product_store")


@dataclass(frozen=True)
class Clock:
    """Where periods begin and which of them a run may see.

    Attributes:
        week_start: weekday that weeks begin on, e.g. ``monday``.
        log_start: day of the first event.
        as_of: last day the run may know of, inclusive.
    """

    week_start: str
    log_start: date
    as_of: date

    def week_of(self, day: date) -> date:
        """First day of the week that holds ``day``."""
        return day - timedelta(days=(day.weekday() - _WEEKDAYS.index(self.week_start)) % 7)

    def first(self, days: int) -> date:
        """First day of the first period the log covers from its start; a period it begins inside is dropped."""
        return self._floor(self.log_start + timedelta(days=days - 1), days)

    def cutoff(self, days: int) -> date:
        """Last day of the last period that ends on or before ``as_of``."""
        return self._floor(self.as_of + timedelta(days=1), days) - timedelta(days=1)

    def is_cutoff(self, day: date, days: int) -> bool:
        """Whether a period of this length ends on ``day`` and the log covers at least that one."""
        after = day + timedelta(days=1)
        return self._floor(after, days) == after and day >= self.first(days) + timedelta(days=days - 1)

    def chain(self, days: int, stride: int) -> list[date]:
        """The cutoff, and earlier ones ``stride`` periods apart back to the first complete period; newest first."""
        earliest = self.first(days) + timedelta(days=days - 1)
        found: list[date] = []
        cutoff = self.cutoff(days)
        while cutoff >= earliest:
            found.append(cutoff)
            cutoff -= timedelta(days=stride * days)
        return found

    def weeks(self, days: int, beyond: int = 0) -> list[date]:
        """First days of the weeks that the periods up to the cutoff, and ``beyond`` more, begin in."""
        last = self.cutoff(days) + timedelta(days=1 + days * (beyond - 1))
        return starts(self.week_of(self.first(days)), last, 7)

    def starts_in(self, week: date, days: int) -> list[date]:
        """First days of the periods from the first complete one to the cutoff that begin in a week."""
        last = min(week + timedelta(days=6), self.cutoff(days))
        return [day for day in starts(week, last, days) if day >= self.first(days)]

    def _floor(self, day: date, days: int) -> date:
        return self.week_of(day) if days == 7 else day


def starts(first: date, last: date, days: int) -> list[date]:
    """First days of the periods from the one that begins on ``first`` to the one that holds ``last``."""
    return [first + timedelta(days=n) for n in range(0, (last - first).days + 1, days)]


def known_by(period_start: date, days: int, horizon: int) -> date:
    """Last day on which a plan must be known to serve the longest horizon: the cutoff ``horizon`` periods before."""
    return period_start - timedelta(days=1 + days * (horizon - 1))


def period_start(day: Column, anchor: date, days: int) -> Column:
    """First day of the period that holds ``day``; ``anchor`` is the first day of any such period."""
    return F.date_sub(day, F.pmod(F.date_diff(day, F.lit(anchor)), F.lit(days)))


def periods_since(day: Column, first: date, days: int) -> Column:
    """Whole periods from ``first`` to ``day``."""
    return F.floor(F.date_diff(day, F.lit(first)) / F.lit(days)).cast("int")


def in_days(name: str, days: Iterable[date]) -> Column:
    """Whether the date column ``name`` is one of ``days``; as literals, so that slices are pruned."""
    return F.col(name).isin([F.lit(day) for day in sorted(days)])
