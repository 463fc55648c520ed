"""Whether what was scored looks like what sold lately and like the slice before; asked before it is written."""

from datetime import date, timedelta
from itertools import pairwise

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.lake import gates
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.step import Step
from shelfcast.models.ranking import REASONS

_CLASSES = 10
_PRECISION = 1000  # of the bounds of classes


def check_forecasts(step: Step, scored: DataFrame, windows: DataFrame, series: int) -> None:
    """Compare the units forecast per period with those of the newest periods, and the means with the slice before.

    Args:
        scored: rows of gold/forecasts.
        windows: the window of each series.
        series: how many series there are.

    Raises:
        GateFailed: naming the grain, what was found and what was expected.
    """
    given, as_of = step.settings.gates, step.day()
    if series < given.least:
        return
    each = scored.where(~F.col("cumulative"))
    recent = F.slice("units", -given.recent, given.recent)
    sold = windows.select("grain", F.posexplode(recent).alias("period", "units")).groupBy("grain", "period")
    sums = sold.agg(F.sum("units").alias("units")).orderBy("grain", "period").collect()
    ahead = each.groupBy("grain").agg((F.sum("mean") / F.max("horizon")).alias("units")).collect()
    for row in ahead:
        before = [float(one["units"]) for one in sums if one["grain"] == row["grain"]]
        what = f"gold/forecasts of {as_of}, {row['grain']}, units a period"
        gates.near(what, row["units"], before, given.forecast_times, key="forecast_times")
    earlier = _before(step, "gold/forecasts")
    if earlier is not None and given.shift is not None:
        _check_shift(step, earlier.where(~F.col("cumulative")), each)


def _check_shift(step: Step, before: DataFrame, now: DataFrame) -> None:
    tenths = [place / _CLASSES for place in range(1, _CLASSES)]
    bounds = before.groupBy("grain").agg(F.percentile_approx("mean", tenths, _PRECISION).alias("bounds")).collect()
    for row in bounds:
        classes = _classes(sorted(set(row["bounds"])))
        counts = [frame.where(F.col("grain") == row["grain"]).agg(*classes).first() for frame in (before, now)]
        then, found = ([float(one or 0) for one in count or ()] for count in counts)
        what = f"gold/forecasts of {step.day()}, {row['grain']}, tenths of the means before"
        gates.stable(what, then, found, step.settings.gates.shift, key="shift")


def _classes(bounds: list[float]) -> list[Column]:
    """Counts of the means up to each bound, and beyond the last."""
    edges = [float("-inf"), *bounds, float("inf")]
    return [F.count_if((F.col("mean") > low) & (F.col("mean") <= high)) for low, high in pairwise(edges)]


def _before(step: Step, table: str) -> DataFrame | None:
    """The newest slice that was published for an earlier day, None if that is too long ago to say what is usual."""
    as_of, seen = step.day(), Ledger(step.lake.uri).publications()
    oldest = as_of - timedelta(weeks=step.settings.gates.recent)
    days = [day for day in seen if oldest <= day < as_of and table in seen[day]]
    if not days:
        return None
    return step.lake.read(table, seen[days[-1]][table]).where(F.col("as_of") == F.lit(days[-1]))


def check_lists(step: Step, counts: dict[str, int]) -> None:
    """Compare how many users have a list, and why products are in it, with the slices scored before.

    Args:
        counts: of this slice: users, and rows by reason.

    Raises:
        GateFailed: with what was found and what was expected.
    """
    given, as_of = step.settings.gates, step.day()
    if counts["users"] < given.least:
        return
    oldest = as_of - timedelta(weeks=given.recent)
    earlier = {
        date.fromisoformat(record.slice): record.counts
        for record in Ledger(step.lake.uri).records()
        if record.step == "score recommendations" and record.status == "done"
        if oldest.isoformat() <= record.slice < as_of.isoformat()
    }
    users = [float(earlier[day]["users"]) for day in sorted(earlier)]
    what = f"gold/recommendations of {as_of}"
    gates.near(f"{what}, users", counts["users"], users, given.volume_times, key="volume_times", least=given.least)
    if earlier:
        before, now = (
            [float(one.get(f"reason_{reason}", 0)) for reason in REASONS] for one in (earlier[max(earlier)], counts)
        )
        gates.stable(f"{what}, {', '.join(REASONS)}", before, now, given.shift, key="shift")
