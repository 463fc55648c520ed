"""Sums that must close before anyone may read what features wrote."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError
from shelfcast.features.periods import Clock, Grain, in_days
from shelfcast.features.silver import Week

_TOLERANCE = 1e-6


def demand(
    stored: DataFrame, net: Mapping[date, float], grains: Sequence[Grain], clock: Clock, weeks: Sequence[date]
) -> None:
    """Each grain must hold exactly the pieces that silver holds, in every built week that is complete.

    Args:
        stored: gold/demand.
        net: week → pieces sold less pieces returned, from silver.
        weeks: the weeks that were built.

    Raises:
        ReconciliationError: naming grain, week and both sums.
    """
    rows = stored.where(in_days("week_start", weeks)).groupBy("grain", "week_start").agg(F.sum("units")).collect()
    found = {(row[0], row[1]): float(row[2]) for row in rows}
    complete = [week for week in weeks if clock.log_start <= week <= clock.as_of - timedelta(days=6)]
    for grain in grains:
        for week in complete:
            there, here = net.get(week, 0.0), found.get((grain.name, week), 0.0)
            if abs(there - here) > _TOLERANCE * max(1.0, abs(there)):
                raise ReconciliationError(
                    f"table gold/demand, grain {grain.name}, week {week}: {here:g} units, but silver/events holds "
                    f"{there:g}; if silver changed while features ran, run it again"
                )


def windows(stored: DataFrame, series: DataFrame, grain: Grain, cutoff: date) -> None:
    """Every active or new series must have exactly one window at the cutoff.

    Args:
        stored: gold/windows.
        series: the series as they stood at the cutoff.

    Raises:
        ReconciliationError: naming grain, cutoff and the counts.
    """
    of_grain = F.col("grain") == grain.name
    active = series.where(of_grain & F.col("status").isin("active", "new")).count()
    written = stored.where(of_grain & (F.col("cutoff") == F.lit(cutoff)))
    rows, distinct = written.agg(F.count("*"), F.count_distinct("product_id", "store_id")).collect()[0]
    if not active == rows == distinct:
        raise ReconciliationError(
            f"table gold/windows, grain {grain.name}, cutoff {cutoff}: {active} active series, but {rows} rows for "
            f"{distinct} series; if silver changed while features ran, run it again"
        )


def interactions(stored: DataFrame, census: Iterable[Week], types: Sequence[str], weeks: Sequence[date]) -> None:
    """The arrays of each built week must hold every event of the kept types that has a user.

    Raises:
        ReconciliationError: naming the week and both counts.
    """
    sizes = stored.where(in_days("week_start", weeks)).groupBy("week_start").agg(F.sum(F.size("items")))
    found = {row[0]: row[1] for row in sizes.collect()}
    wanted = dict.fromkeys(weeks, 0)
    for week in census:
        if week.event_type in types:
            wanted[week.week_start] += week.events - week.nameless
    for day, events in wanted.items():
        if found.get(day, 0) != events:
            raise ReconciliationError(
                f"table gold/interactions, week {day}: {found.get(day, 0)} events, but silver/events holds {events} "
                "with a user; if silver changed while features ran, run it again"
            )
