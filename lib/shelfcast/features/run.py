"""The features step: builds every slice of gold that a run at as_of needs and whose inputs have changed."""

from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.features import (
    covariate_slices,
    demand,
    interactions,
    joins,
    launches,
    lifecycle,
    lost_demand,
    periods,
    reconcile,
    series,
    stockouts,
    survival,
    usual,
    window_slices,
)
from shelfcast.features.contents import code_id
from shelfcast.features.silver import see
from shelfcast.features.work import Work
from shelfcast.lake.step import Outcome, Step, content_id

_EVENTS_A_FILE = 1_000_000


def run(step: Step) -> Outcome:
    """Build gold/covariates, demand, series, launches, windows, lost_demand and interactions as of ``step.as_of``.

    Raises:
        TableMissing: if silver has no event or no complete period up to as_of.
        GateFailed: if the newest week looks unlike those before it; nothing is written then.
        ReconciliationError: if what was written does not add up with what was read.
    """
    with step.part("census of silver/events"):
        work = Work(step, see(step))
        usual.check(work)
    for table in work.silver.missing():
        step.say(f"{table}: not in this lake, going on without it")
    covariate_slices.update(work)
    _demand(work)
    _series(work)
    _launches(work)
    counts = window_slices.update(work)
    _lost_demand(work)
    counts |= _interactions(work)
    return Outcome(
        rows_in=sum(week.events for week in work.silver.census),
        rows_out=sum(work.rows.values()),
        counts={
            "log_start": work.clock.log_start.isoformat(),
            "cutoffs": {grain.name: work.clock.cutoff(grain.days).isoformat() for grain in work.silver.grains},
            "missing": work.silver.missing(),
            "slices": work.slices,
            "rows": work.rows,
            **counts,
        },
        contents=work.contents,
    )


def _demand(work: Work) -> None:
    silver, clock, grains = work.silver, work.clock, work.silver.grains
    sold, stocked, planned = work.stored("silver/events"), work.stored("silver/stock"), work.made("gold/covariates")
    code = code_id(demand, periods)
    wanted = {}
    for week in sorted({week for grain in grains for week in clock.weeks(grain.days)}):
        days = {grain.name: clock.starts_in(week, grain.days) for grain in grains}
        wanted[week] = content_id(code, days, sold.of([week]), planned.of([week]), stocked.whole())

    def build(weeks: list[date]) -> DataFrame:
        plans = work.step.read("gold/covariates") if silver.promotions is not None else None
        salts = silver.salts(weeks, _EVENTS_A_FILE)
        return demand.build(silver.events, plans, silver.stock, grains, clock, weeks, salts)

    changed = work.write("gold/demand", wanted, build, "week_start")
    if changed:
        with work.step.part("check gold/demand"):
            reconcile.demand(work.step.read("gold/demand"), silver.net_units(), grains, clock, changed)


def _series(work: Work) -> None:
    as_of, grains = work.step.day(), work.silver.grains
    cutoffs = {grain: work.clock.cutoff(grain.days) for grain in grains}
    named = {grain.name: cutoff for grain, cutoff in cutoffs.items()}
    known = window_slices.until(work, max(cutoffs.values()))
    wanted = {as_of: content_id(code_id(series, lifecycle, survival, joins, periods), named, known)}

    def build(_: list[date]) -> DataFrame:
        horizon = work.step.settings.windows.horizon
        frames = [
            lifecycle.marked(window_slices.series_at(work, grain, cutoff), grain, cutoff, horizon)
            for grain, cutoff in cutoffs.items()
        ]
        return reduce(DataFrame.unionByName, frames).withColumn("as_of", F.lit(as_of)).coalesce(4)

    work.write("gold/series", wanted, build, "as_of")


def _launches(work: Work) -> None:
    """Nothing where silver/products or the evidence for new series is missing."""
    step, products, kinds = work.step, work.silver.products, work.step.settings.demand.new_series
    as_of, horizon = step.day(), step.settings.windows.horizon
    earlier = {
        grain: launches.origins(grain, work.clock.first(grain.days), work.clock.cutoff(grain.days), horizon)
        for grain in work.silver.grains
        if not grain.by_store
    }
    if products is None or not kinds or not any(earlier.values()):
        return
    named = {grain.name: days for grain, days in earlier.items()}
    known = work.made("gold/series").of([as_of])
    wanted = {as_of: content_id(code_id(launches, joins, periods), named, known, horizon, kinds)}

    def build(_: list[date]) -> DataFrame:
        series_then = step.read("gold/series").where(F.col("as_of") == F.lit(as_of))
        sold, evidence = step.read("gold/demand"), window_slices.evidence(work)
        frames = [
            launches.build(series_then, sold, products, grain, work.clock.cutoff(grain.days), days, evidence)
            for grain, days in earlier.items()
            if days
        ]
        return reduce(DataFrame.unionByName, frames).withColumn("as_of", F.lit(as_of)).coalesce(1)

    work.write("gold/launches", wanted, build, "as_of")


def _lost_demand(work: Work) -> None:
    """Nothing without evidence that anything was out of stock."""
    step, as_of = work.step, work.step.day()
    censoring = step.settings.demand.censoring
    if not lost_demand.evident(work.silver.stock, censoring):
        return
    cutoffs = {grain: work.clock.cutoff(grain.days) for grain in work.silver.grains}
    made = work.made("gold/windows").of(sorted(set(cutoffs.values())))
    wanted = {as_of: content_id(code_id(lost_demand, stockouts), made)}

    def build(_: list[date]) -> DataFrame:
        windows = step.read("gold/windows")
        frames = [lost_demand.build(windows, grain, cutoff) for grain, cutoff in cutoffs.items()]
        return reduce(DataFrame.unionByName, frames).withColumn("as_of", F.lit(as_of))

    work.write("gold/lost_demand", wanted, build, "as_of")


def _interactions(work: Work) -> dict[str, Any]:
    types, clock, silver = work.step.settings.recommender.event_types, work.clock, work.silver
    weeks = periods.starts(clock.week_of(clock.log_start), clock.cutoff(7), 7)
    code, sold = code_id(interactions, periods), work.stored("silver/events")
    wanted = {week: content_id(code, sorted(types), sold.of([week])) for week in weeks}

    def build(changed: list[date]) -> DataFrame:
        return interactions.build(silver.events, types, changed, silver.salts(changed, _EVENTS_A_FILE))

    changed = work.write("gold/interactions", wanted, build, "week_start")
    counted = [week for week in silver.census if week.week_start in set(changed)]
    if changed:
        with work.step.part("check gold/interactions"):
            reconcile.interactions(work.step.read("gold/interactions"), counted, types, changed)
    return {
        "events_without_user": sum(week.nameless for week in counted if week.event_type in types),
        "events_of_other_types": sum(week.events for week in counted if week.event_type not in types),
    }
