"""Which weeks of gold/covariates a run needs, what each is made from, and the building of those that changed."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.features import covariates, periods, plans
from shelfcast.features.contents import Inputs, code_id
from shelfcast.features.periods import Clock, Grain, known_by
from shelfcast.features.work import Work
from shelfcast.lake.step import content_id

_Starts = Mapping[Grain, Sequence[date]]


def update(work: Work) -> None:
    """Build the weeks up to the last horizon of the cutoff; nothing where the lake has no promotions."""
    promotions = work.silver.promotions
    if promotions is None:
        return
    horizon = work.step.settings.windows.horizon
    weeks = _by_week(work.silver.grains, work.clock, horizon)
    deadlines = {
        week: max(known_by(max(starts), grain.days, horizon) for grain, starts in within.items())
        for week, within in weeks.items()
    }
    stores = plans.store_bits(promotions).persist()
    packed = plans.pack(promotions, stores).persist()
    with work.step.part("pack silver/promotions"):
        found = plans.fingerprints(packed, deadlines, work.clock.week_of(work.clock.log_start))
    planned = Inputs("plans", found)
    sold = work.stored("silver/events")
    code = code_id(covariates, periods, plans)
    wanted = {}
    for week, within in weeks.items():
        first, last = _weighed(within, horizon)
        named = {grain.name: list(starts) for grain, starts in within.items()}
        weighing = sold.of(periods.starts(work.clock.week_of(first), last, 7))
        wanted[week] = content_id(code, horizon, named, planned.of([week]), weighing)

    def build(changed: list[date]) -> DataFrame:
        needed = {
            grain: starts
            for grain in work.silver.grains
            if (starts := [start for week in changed for start in weeks[week].get(grain, [])])
        }
        first, last = _weighed(needed, horizon)
        seen = work.silver.events.where(F.col("event_date").between(F.lit(first), F.lit(last)))
        built = covariates.build(packed, stores, covariates.store_days(seen), needed, horizon)
        week_start = periods.period_start(F.col("period_start"), changed[0], 7)
        return built.withColumn("week_start", week_start).repartition("week_start")

    work.write("gold/covariates", wanted, build, "week_start")
    packed.unpersist()
    stores.unpersist()


def _by_week(grains: Sequence[Grain], clock: Clock, horizon: int) -> dict[date, dict[Grain, list[date]]]:
    """Week → grain → first days of its periods, from the first complete one to the last horizon."""
    found: dict[date, dict[Grain, list[date]]] = {}
    for grain in grains:
        last = clock.cutoff(grain.days) + timedelta(days=horizon * grain.days)
        for start in periods.starts(clock.first(grain.days), last, grain.days):
            found.setdefault(clock.week_of(start), {}).setdefault(grain, []).append(start)
    return found


def _weighed(starts: _Starts, horizon: int) -> tuple[date, date]:
    """First and last day of the sales that weigh stores in these periods."""
    spans = [covariates.weight_days(days, grain.days, horizon) for grain, days in starts.items()]
    return min(first for first, _ in spans), max(last for _, last in spans)
