"""What then happened: the events after an as-of date, aggregated to what was forecast."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.lake.cutoffs import period_days
from shelfcast.lake.measures import SOLD, units
from shelfcast.lake.visible import visible


@dataclass(frozen=True)
class Span:
    """The periods that a grain's forecasts are for.

    Attributes:
        grain: ``<period>.<entity>``.
        starts: horizon → first day of its period.
    """

    grain: str
    starts: Mapping[int, date]

    @property
    def days(self) -> int:
        """Days of one period."""
        return period_days(self.grain)

    @property
    def cutoff(self) -> date:
        """Last day of the history that the forecasts start from."""
        return min(self.starts.values()) - timedelta(days=1)

    @property
    def end(self) -> date:
        """Last day that was forecast."""
        return max(self.starts.values()) + timedelta(days=self.days - 1)

    def arrived(self, newest: date | None) -> "Span":
        """The horizons whose periods are complete when the newest event is of day ``newest``."""
        last = timedelta(days=self.days - 1)
        known = {h: start for h, start in self.starts.items() if newest is not None and start + last <= newest}
        return Span(self.grain, known)


def span(forecasts: DataFrame, grain: str) -> tuple[Span, str | None]:
    """The span of one as_of's forecasts, bounded by the horizon, and the model version they came from."""
    version = F.max("model_version").alias("version")
    rows = forecasts.where(F.col("grain") == grain).groupBy("horizon", "target_start").agg(version).collect()
    return Span(grain, {row["horizon"]: row["target_start"] for row in rows}), rows[0]["version"] if rows else None


def _later(after: date) -> Column:
    # week_start is the partition: older weeks are not opened.
    return (F.col("week_start") > F.lit(after - timedelta(days=7))) & (F.col("event_date") > F.lit(after))


def newest_day(events: DataFrame, after: date) -> date | None:
    """Store-local date of the newest event later than ``after``; None if there is none."""
    found = events.where(_later(after)).agg(F.max("event_date").alias("newest")).first()
    return found["newest"] if found else None


def events_between(events: DataFrame, after: date, last: date) -> DataFrame:
    """Events later than ``after`` and visible on ``last``."""
    return visible(events, last).where(_later(after))


def sold_units(events: DataFrame, known: Span) -> DataFrame:
    """Pieces per series and horizon, where anything was sold or returned.

    Args:
        events: ``silver/events``.
        known: horizons that have arrived.

    Returns:
        grain, product_id, store_id, horizon, y.
    """
    starts = F.create_map(*[F.lit(part) for h, start in known.starts.items() for part in (start, h)])
    period = F.col("week_start") if known.days > 1 else F.col("event_date")
    store = F.col("store_id") if known.grain.endswith("_store") else F.lit("*")
    return (
        events_between(events, known.cutoff, known.end)
        .where(F.col("event_type").isin(*SOLD))
        .select("product_id", store.alias("store_id"), starts[period].alias("horizon"), units().alias("units"))
        .where(F.col("horizon").isNotNull())
        .groupBy(F.lit(known.grain).alias("grain"), "product_id", "store_id", "horizon")
        .agg(F.sum("units").alias("y"))
    )
