"""Which cutoffs of gold/windows a run needs, what each is made from, and the building of those that changed."""

from datetime import date, timedelta
from functools import reduce
from importlib.metadata import version
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from shelfcast.features import calendar, demand, dense, joins, periods, reconcile, series, stockouts, subset, windows
from shelfcast.features.contents import code_id
from shelfcast.features.periods import Grain
from shelfcast.features.work import Work
from shelfcast.lake.step import content_id


def update(work: Work) -> dict[str, Any]:
    """Build the chain of cutoffs that ends at as_of; returns what outlier clipping changed."""
    settings, clock = work.step.settings, work.clock
    chains = {grain: clock.chain(grain.days, settings.windows.stride) for grain in work.silver.grains}
    cutoffs = sorted({cutoff for chain in chains.values() for cutoff in chain})
    # A slice holds every grain with a period that ends there, whichever grain's chain asked for it.
    grains = {cutoff: [g for g in work.silver.grains if clock.is_cutoff(cutoff, g.days)] for cutoff in cutoffs}
    wanted = {cutoff: _content(work, cutoff, grains[cutoff]) for cutoff in cutoffs}
    clipped: list[Observation] = []
    stood: dict[tuple[Grain, date], DataFrame] = {}

    def build(slices: list[date]) -> DataFrame:
        (cutoff,) = slices
        for grain in grains[cutoff]:  # kept until they are checked, because a pass over all events finds them
            stood[grain, cutoff] = _stood(work, grain, cutoff).persist(StorageLevel.DISK_ONLY)
        frame = reduce(
            DataFrame.unionByName, [_at(work, grain, cutoff, stood[grain, cutoff]) for grain in grains[cutoff]]
        )
        if settings.demand.outliers != "none":
            clipped.append(Observation())
            frame = frame.observe(clipped[-1], F.sum("clipped").alias("clipped"))
        return frame.drop("clipped")

    for cutoff in work.write("gold/windows", wanted, build, "cutoff", each=True):
        for grain in grains[cutoff]:
            with work.step.part("check gold/windows"):
                reconcile.windows(work.step.read("gold/windows"), stood[grain, cutoff], grain, cutoff)
            stood.pop((grain, cutoff)).unpersist()
    return {"outliers_clipped": sum(int(observed.get["clipped"] or 0) for observed in clipped)}


def series_at(work: Work, grain: Grain, cutoff: date) -> DataFrame:
    """Series of a grain as they stood at any cutoff."""
    silver, sold, settings = work.silver, work.step.read("gold/demand"), work.step.settings
    found = series.build(
        silver.events, sold, silver.products, grain, work.clock, cutoff, settings.demand.active_weeks,
        evidence(work),
    )  # fmt: skip
    return subset.largest(found, settings.demand.products)


def evidence(work: Work) -> series.Evidence:
    """What tells of products that never sold."""
    settings = work.step.settings
    return series.Evidence(settings.demand.new_series, settings.windows.horizon, covariates(work))


def covariates(work: Work) -> DataFrame | None:
    """gold/covariates, None where the lake has no promotions."""
    return work.step.read("gold/covariates") if work.silver.promotions is not None else None


def until(work: Work, cutoff: date) -> list[object]:
    """Content ids of everything that says what series were up to a cutoff."""
    settings = work.step.settings
    weeks = periods.starts(work.clock.week_of(work.clock.log_start), cutoff, 7)
    longest = max(grain.days for grain in work.silver.grains)
    ahead = periods.starts(work.clock.week_of(cutoff), cutoff + timedelta(days=settings.windows.horizon * longest), 7)
    sold, made = work.stored("silver/events").of(weeks), work.made("gold/demand").of(weeks)
    planned = work.made("gold/covariates").of(ahead) if settings.demand.new_series else []
    known = work.stored("silver/products").whole()
    rules = settings.demand
    return [sold, made, planned, known, rules.active_weeks, rules.new_series, rules.products]


def _content(work: Work, cutoff: date, grains: list[Grain]) -> str:
    settings, clock = work.step.settings, work.clock
    last = cutoff + timedelta(days=settings.windows.horizon * max(grain.days for grain in grains))
    weeks = periods.starts(clock.week_of(clock.log_start), last, 7)
    return content_id(
        code_id(windows, dense, stockouts, demand, calendar, series, joins, periods),
        [grain.name for grain in grains],
        settings.windows.model_dump(exclude={"stride"}),
        settings.demand.model_dump(exclude={"grains"}),
        settings.calendar.model_dump(),
        version("holidays"),
        until(work, cutoff),
        work.made("gold/covariates").of(weeks),
        work.stored("silver/stock").whole(),
    )


def _stood(work: Work, grain: Grain, cutoff: date) -> DataFrame:
    """The stored series where they are those of this cutoff, else the series computed anew."""
    if cutoff == work.clock.cutoff(grain.days):
        return work.step.read("gold/series").where(F.col("as_of") == F.lit(work.step.day()))
    return series_at(work, grain, cutoff)


def _at(work: Work, grain: Grain, cutoff: date, stood: DataFrame) -> DataFrame:
    step = work.step
    tasks = step.spark.sparkContext.defaultParallelism
    return windows.build(
        stood, step.read("gold/demand"), covariates(work), grain, cutoff, step.settings, tasks,
        work.silver.stock,
    )  # fmt: skip
