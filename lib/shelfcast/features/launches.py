"""gold/launches: how products that were about to sell for the first time then sold, counted at earlier origins.

It answers for products without any history: of those like it, in the same place, how many sold how much?
"""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.features import joins
from shelfcast.features.periods import ALL_STORES, Grain
from shelfcast.features.series import Evidence

ORIGINS = 3  # whose horizons follow one another up to the cutoff
_UNTOLD = 13  # periods at the log's start in which every product seems never to have sold


def origins(grain: Grain, first: date, cutoff: date, horizon: int) -> list[date]:
    """Earlier cutoffs, newest first, whose whole horizons lie before the cutoff; none too near the log's start."""
    span = timedelta(days=horizon * grain.days)
    found = [cutoff - (number + 1) * span for number in range(ORIGINS)]
    return [origin for origin in found if origin >= first + timedelta(days=_UNTOLD * grain.days)]


def build(
    series: DataFrame,
    demand: DataFrame,
    products: DataFrame,
    grain: Grain,
    cutoff: date,
    earlier: Sequence[date],
    evidence: Evidence,
) -> DataFrame:
    """Rows of gold/launches of one grain, without the slice column.

    Args:
        series: gold/series as it stood at ``cutoff``.
        earlier: from ``origins``.
    """
    horizon, covariates = evidence.horizon, evidence.covariates
    side = joins.as_of_day(products, ["product_id"], ["department", "category", "listed_until"], cutoff)
    of_grain = F.col("grain") == grain.name
    first_sales = series.where(of_grain & F.col("first_sale").isNotNull()).select("product_id", "first_sale")
    span = horizon * grain.days
    block = F.floor(F.date_diff(F.lit(cutoff), "period_start") / span).cast("int")
    oldest = cutoff - timedelta(days=span * len(earlier))
    within = of_grain & (F.col("store_id") == ALL_STORES) & (F.col("period_start") > F.lit(oldest))
    recent = within & (F.col("period_start") <= F.lit(cutoff))
    candidates = _listed(side, earlier) if "listed" in evidence.kinds else _none(side)
    plans = None if covariates is None else covariates.where(recent).withColumn("block", block)
    if plans is not None and "planned" in evidence.kinds:
        candidates = candidates.unionByName(plans.select("product_id", "block"))
    blocks = F.broadcast(_blocks(side, earlier))
    unsold = F.col("first_sale").isNull() | (F.col("first_sale") > F.col("origin"))
    awaited = (
        candidates.distinct()
        .join(blocks, "block")
        .join(first_sales, "product_id", "left")
        .where(unsold)
        .join(side.drop("listed_until"), "product_id")
    )
    steps = F.explode(F.sequence(F.lit(0), F.lit(horizon - 1)))
    each = awaited.withColumn("step", steps).withColumn(
        "period_start", F.date_add("origin", 1 + F.col("step") * grain.days)
    )
    sold = demand.where(recent).select("product_id", "period_start", F.greatest("units", F.lit(0.0)).alias("units"))
    each = each.join(sold, ["product_id", "period_start"], "left").fillna(0.0, ["units"])
    return _counted(_planned(each, plans), grain)


def _blocks(frame: DataFrame, earlier: Sequence[date]) -> DataFrame:
    """block, origin: one row per origin."""
    rows = F.array(*[F.struct(F.lit(n).alias("block"), F.lit(day).alias("origin")) for n, day in enumerate(earlier)])
    return frame.sparkSession.range(1).select(F.inline(rows))


def _none(side: DataFrame) -> DataFrame:
    return side.select("product_id", F.lit(0).alias("block")).limit(0)


def _listed(side: DataFrame, earlier: Sequence[date]) -> DataFrame:
    """Products whose listing reached beyond an origin: product_id, block."""
    pairs = side.crossJoin(F.broadcast(_blocks(side, earlier)))
    return pairs.where(F.col("listed_until") > F.col("origin")).select("product_id", "block")


def _planned(each: DataFrame, plans: DataFrame | None) -> DataFrame:
    """With ``plan``: none, display, mailer or both."""
    if plans is None:
        return each.withColumn("plan", F.lit("none"))
    shown = plans.select("product_id", "period_start", "display", "mailer")
    display, mailer = F.coalesce(F.col("display") > 0, F.lit(False)), F.coalesce(F.col("mailer") > 0, F.lit(False))
    word = F.when(display & mailer, "both").when(display, "display").when(mailer, "mailer").otherwise("none")
    return each.join(shown, ["product_id", "period_start"], "left").withColumn("plan", word)


def _counted(each: DataFrame, grain: Grain) -> DataFrame:
    kinds = [F.coalesce(name, F.lit("")).alias(name) for name in ("department", "category")]
    return each.groupBy(F.lit(grain.name).alias("grain"), *kinds, "plan").agg(
        F.count("*").alias("periods"),
        F.sum((F.col("units") > 0).cast("long")).alias("sold_periods"),
        F.sum("units").alias("units"),
    )
