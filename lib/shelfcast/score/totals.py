"""The step that sums forecasts up: units and revenue of products, categories, departments and the chain.

Every row is made from gold/forecasts; each level sums the one below, and nothing is written unless all of it does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from shelfcast.errors import ReconciliationError, TableMissing
from shelfcast.lake.cutoffs import cutoffs, period_days
from shelfcast.lake.step import Outcome, Step, content_id
from shelfcast.lake.tables import contract
from shelfcast.score import prices, sums_close, upper_levels
from shelfcast.score.prices import GROUP, SERIES

TABLE = "gold/totals"
_KEY = ("department", "category", "product_id", "store_id")
_PLACE = ("horizon", "cumulative", "target_start")
_VALUES = ("units", "revenue")
_UNITS = ("q10", "q50", "q90")
_MONEY = tuple(f"revenue_{name}" for name in _UNITS)


@dataclass(frozen=True)
class Period:
    """A length of period and the grains that are forecast at it.

    Attributes:
        name: week or day.
        base: the grain whose forecasts are summed.
        stores: the grain by store that takes part of what its products are forecast, if both are.
    """

    name: str
    base: str
    stores: str | None

    @property
    def days(self) -> int:
        return period_days(self.base)


def periods(grains: list[str]) -> list[Period]:
    """One entry per length of period; products over all stores are the base where they are forecast."""
    found = []
    for name in dict.fromkeys(grain.partition(".")[0] for grain in grains):
        entities = [grain for grain in (f"{name}.product", f"{name}.product_store") if grain in grains]
        found.append(Period(name, entities[0], entities[1] if len(entities) > 1 else None))
    return found


def run(step: Step) -> Outcome:
    """Sum the forecasts of ``as_of`` and replace that slice of gold/totals.

    Raises:
        TableMissing: if nothing was forecast at as_of.
        ReconciliationError: if a sum does not close, naming its key; nothing is written then.
    """
    as_of = step.day()
    horizon = step.settings.windows.horizon
    parts, kept = [], []
    for period in periods(list(step.settings.demand.grains)):
        kept.append(_leaves(step, period))
        parts.append(_levels(step, period, kept[-1]))
    rows = reduce(DataFrame.unionByName, parts).withColumn("as_of", F.lit(as_of))
    made = rows.select(*contract(TABLE).names()).persist()
    try:
        count = sums_close.check(made, horizon, as_of)
        step.replace(TABLE, made, slices=[as_of])
    finally:
        for frame in (made, *kept):
            frame.unpersist()
    return Outcome(
        rows_in=count,
        rows_out=count,
        counts={"rows": count, "method": step.settings.totals.method},
        contents={TABLE: {as_of.isoformat(): content_id(TABLE, step.fingerprint)}},
    )


def _forecasts(step: Step, grain: str) -> DataFrame:
    rows = step.read("gold/forecasts").where((F.col("grain") == grain) & (F.col("as_of") == F.lit(step.day())))
    if rows.isEmpty():
        raise TableMissing(f"table gold/forecasts holds nothing of {grain} at {step.day()}: score this as-of first")
    return rows


def _windows(step: Step, period: Period) -> DataFrame:
    cutoff = cutoffs(step.settings, step.day())[period.base]
    return step.read("gold/windows").where((F.col("grain") == period.base) & (F.col("cutoff") == F.lit(cutoff)))


def _leaves(step: Step, period: Period) -> DataFrame:
    """Every row of the base grain with department, category, units, revenue, and variances of both; persisted."""
    settings = step.settings
    cutoff = cutoffs(settings, step.day())[period.base]
    since = cutoff - timedelta(days=period.days * settings.windows.context)
    demand = step.read("gold/demand").where(
        (F.col("grain") == period.base)
        & F.col("week_start").between(F.lit(since - timedelta(days=6)), F.lit(cutoff))
        & F.col("period_start").between(F.lit(since), F.lit(cutoff))
    )
    series = planned(_windows(step, period), settings.forecaster.planned, settings.windows.context)
    priced = prices.expected(demand, series, cutoff, period.days, settings.totals)
    forecasts = _forecasts(step, period.base)
    made = leaves(forecasts, series.join(priced, [*SERIES])).persist()
    wanted, found = forecasts.count(), made.count()
    if wanted != found:
        made.unpersist()
        raise ReconciliationError(
            f"table gold/forecasts, as_of {step.day()}, grain {period.base}: {found} of {wanted} rows have their "
            "series in gold/windows at the cutoff; nothing was written. Score this as-of again"
        )
    return made


def planned(windows: DataFrame, kinds: Sequence[str], context: int) -> DataFrame:
    """product_id, store_id, department, category and ``planned``: per horizon the share of stores that promote it.

    Args:
        windows: rows of gold/windows of one grain and cutoff.
        kinds: display, mailer: the plans that are known ahead.
    """
    share = "0D" if not kinds else f"least(greatest({', '.join(f'{kind}[at]' for kind in kinds)}, 0D), 1D)"
    ahead = F.expr(f"transform(sequence({context}, size(display) - 1), at -> {share})")
    named = [F.coalesce(name, F.lit("")).alias(name) for name in GROUP]
    return windows.select(*SERIES, *named, ahead.alias("planned"))


def leaves(forecasts: DataFrame, series: DataFrame) -> DataFrame:
    """Forecasts of each series with its revenue; cumulative means are sums over the horizons.

    Args:
        forecasts: rows of gold/forecasts of one grain and as_of.
        series: product_id, store_id, department, category, base, ratio, planned [horizon].

    Returns:
        key columns, horizon, cumulative, target_start, units, revenue, quantiles of both, and ``variance`` and
        ``revenue_variance`` of their errors.
    """
    spread = F.expr(
        "(1 - distribution.zero) * distribution.mean"
        " * (1 + distribution.mean * (distribution.dispersion + distribution.zero))"
    )
    found = forecasts.select(*SERIES, *_PLACE, F.col("mean").alias("units"), *_UNITS, spread.alias("variance"))
    share = F.get("planned", F.col("horizon") - 1)
    paid = found.join(series, [*SERIES]).withColumn("revenue", F.col("units") * prices.at_plan(share))
    usual = prices.at_plan(F.lit(0.0))
    price = F.when(F.col("units") > 0, F.col("revenue") / F.col("units")).otherwise(usual)
    return _cumulated(paid).select(
        *_KEY, *_PLACE, "units", "revenue", *_UNITS,
        *[(F.col(name) * price).alias(money) for name, money in zip(_UNITS, _MONEY, strict=True)],
        "variance",
        (F.col("variance") * price * price).alias("revenue_variance"),
    )  # fmt: skip


def _levels(step: Step, period: Period, found: DataFrame) -> DataFrame:
    """Rows of every level of one length of period."""
    upper = step.spark.createDataFrame(*_upper(step, period, found))
    scaled = found if step.settings.totals.method == "bottom_up" else _scaled(found, upper)
    own = [*_KEY, *_PLACE, "units", "revenue", *_UNITS, *_MONEY]
    level = "product" if period.base.endswith(".product") else "product_store"
    frames = [upper.select("level", *own), scaled.select(F.lit(level).alias("level"), *own)]
    if level == "product_store":
        frames.append(_products(scaled))
    elif period.stores:
        frames.append(_shared(scaled, _forecasts(step, period.stores)))
    every = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), frames)
    return every.withColumn("period", F.lit(period.name))


def _upper(step: Step, period: Period, found: DataFrame) -> tuple[list[tuple[object, ...]], StructType]:
    """Rows above the products, made on the driver: as many as there are categories, and their schema."""
    moments = [
        F.sum("units").alias("units"),
        F.sum("revenue").alias("revenue"),
        F.sum("variance").alias("variance"),
        F.sum(F.sqrt("variance")).alias("deviation"),
        F.sum("revenue_variance").alias("revenue_variance"),
        F.sum(F.sqrt("revenue_variance")).alias("revenue_deviation"),
    ]
    sums = found.groupBy(*GROUP, *_PLACE).agg(*moments).toPandas()
    past = upper_levels.history(_windows(step, period), step.settings.windows.context).toPandas()
    rows = upper_levels.rows(sums, past, step.settings.totals.method)
    return list(rows.itertuples(index=False, name=None)), upper_levels.SCHEMA


def _scaled(found: DataFrame, upper: DataFrame) -> DataFrame:
    """Units and revenue of every series times its category's factor; quantiles stay what the series' own are."""
    factors = upper.where("level = 'category' AND NOT cumulative").select(*GROUP, "horizon", "factor")
    joined = found.join(F.broadcast(factors), [*GROUP, "horizon"])
    return _cumulated(joined.withColumns({name: F.col(name) * F.col("factor") for name in _VALUES}))


def _cumulated(rows: DataFrame) -> DataFrame:
    """Cumulative rows' units and revenue replaced by the sums over the single horizons of their series."""
    so_far = "OVER (PARTITION BY product_id, store_id ORDER BY horizon RANGE UNBOUNDED PRECEDING)"
    sums = [F.expr(f"sum(CASE WHEN NOT cumulative THEN {name} END) {so_far}").alias(f"{name}_sum") for name in _VALUES]
    chosen = {name: F.when(F.col("cumulative"), F.col(f"{name}_sum")).otherwise(F.col(name)) for name in _VALUES}
    return rows.select("*", *sums).withColumns(chosen)


def _products(scaled: DataFrame) -> DataFrame:
    """Products as sums of their stores; their quantiles are not known."""
    sums = [F.sum(name).alias(name) for name in _VALUES]
    summed = scaled.groupBy(*GROUP, "product_id", *_PLACE).agg(*sums)
    return summed.withColumns({"level": F.lit("product"), "store_id": F.lit("*")})


def _shared(scaled: DataFrame, by_store: DataFrame) -> DataFrame:
    """What each store takes of its products' units and revenue, in proportion to its own forecast.

    Alike where all stores are forecast 0. A product without any store's forecast keeps its own row, in no store.
    """
    single = by_store.where(~F.col("cumulative")).select(
        *SERIES, "horizon", F.greatest("mean", F.lit(0.0)).alias("own")
    )
    each = "OVER (PARTITION BY product_id, horizon)"
    share = F.expr(f"CASE WHEN sum(own) {each} > 0 THEN own / sum(own) {each} ELSE 1D / count(*) {each} END")
    shares = single.select(*SERIES, "horizon", share.alias("share"))
    products = scaled.where(~F.col("cumulative")).select(*GROUP, "product_id", *_PLACE, "units", "revenue")
    part = F.coalesce("share", F.lit(1.0))
    joined = products.join(shares, ["product_id", "horizon"], "left").select(
        *GROUP, "product_id", F.coalesce("store_id", F.lit("*")).alias("store_id"), *_PLACE,
        *[(F.col(name) * part).alias(name) for name in _VALUES],
    )  # fmt: skip
    first = joined.select("*", F.expr("min(target_start) OVER (PARTITION BY product_id, store_id)").alias("first"))
    sums = first.withColumns({"target_start": F.col("first"), "cumulative": F.lit(True)})
    both = first.unionByName(sums).drop("first")
    return _cumulated(both).withColumn("level", F.lit("product_store"))
