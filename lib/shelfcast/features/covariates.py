"""gold/covariates: the share of stores that planned a display or a mailer for a series, as known early enough.

A plan counts in a period if it was known at the cutoff that has the period as its longest horizon. Training and
scoring therefore see the same thing at every position of a window, and no slice ever depends on an as-of date.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.features.periods import ALL_STORES, Grain, known_by
from shelfcast.features.plans import EVERYWHERE, in_periods
from shelfcast.lake.plans import PLANS

_WEIGHT_DAYS = 13 * 7
_NIBBLES = 16  # groups of four bits in a word


def weight_days(starts: Sequence[date], days: int, horizon: int) -> tuple[date, date]:
    """First and last day of the sales that weigh stores in the periods that begin on ``starts``."""
    first, last = known_by(min(starts), days, horizon), known_by(max(starts), days, horizon)
    return first - timedelta(days=_WEIGHT_DAYS - 1), last


def store_days(events: DataFrame) -> DataFrame:
    """Pieces bought per store and day: event_date, store_id, units."""
    bought = events.where(F.col("event_type") == "purchase")
    return bought.groupBy("event_date", "store_id").agg(F.sum("quantity").alias("units"))


def weights(planned: DataFrame, stores: DataFrame, daily: DataFrame, days: int, horizon: int) -> DataFrame:
    """How much each store with promotions counts in a period: period_start, store_id, word, place, mask, weight.

    The weight is what the store sold in the 13 weeks before the plan had to be known, as a share of what all stores
    with promotions in the period sold then; where none sold anything, each store counts alike.

    Args:
        planned: from ``in_periods``.
        stores: from ``store_bits``.
        daily: from ``store_days``.
    """
    seen = planned.groupBy("period_start", "word").agg(F.bit_or("present").alias("present"))
    present = seen.join(stores, "word").where("(present & mask) != 0").drop("present")
    deadline = F.date_sub("period_start", 1 + days * (horizon - 1))
    periods = F.broadcast(seen.select("period_start", deadline.alias("known_by")).distinct())
    within = (F.col("event_date") > F.date_sub("known_by", _WEIGHT_DAYS)) & (F.col("event_date") <= F.col("known_by"))
    sold = daily.join(periods, within).groupBy("period_start", "store_id").agg(F.sum("units").alias("sold"))
    known = present.join(sold, ["period_start", "store_id"], "left").fillna(0.0, ["sold"])
    totals = known.groupBy("period_start").agg(F.sum("sold").alias("total"), F.count("*").alias("stores"))
    weight = F.when(F.col("total") > 0, F.col("sold") / F.col("total")).otherwise(1 / F.col("stores"))
    return known.join(F.broadcast(totals), "period_start").select(
        "period_start", "store_id", "word", "place", "mask", weight.alias("weight")
    )


def tables(weighed: DataFrame) -> DataFrame:
    """Per period and word the weight of every pattern of four neighbouring stores: ``table``, 16 groups × 16 patterns.

    With it the weight of all stores whose bit is set takes 16 look-ups instead of a join per store.
    """
    patterns = F.explode(F.sequence(F.lit(0), F.lit(15)))
    set_here = F.expr("(pattern & shiftleft(1, place % 4)) != 0")
    cells = (
        weighed.withColumn("pattern", patterns)
        .groupBy("period_start", "word", F.floor(F.col("place") / 4).cast("int").alias("group"), "pattern")
        .agg(F.sum(F.when(set_here, F.col("weight")).otherwise(0.0)).alias("weight"))
    )
    keyed = F.map_from_entries(F.collect_list(F.struct(F.expr("group * 16 + pattern"), "weight")))
    filled = F.expr(f"transform(sequence(0, {_NIBBLES * 16 - 1}), i -> coalesce(table[i], 0D))")
    return cells.groupBy("period_start", "word").agg(keyed.alias("table")).withColumn("table", filled)


def shares(planned: DataFrame, weighed: DataFrame) -> DataFrame:
    """Per product and period the weighted share of stores: one float column per entry of PLANS.

    Args:
        planned: from ``in_periods``; a plan for all stores is a share of 1.
        weighed: from ``weights``.
    """
    kinds = F.explode(F.array(*[F.struct(F.lit(name).alias("kind"), F.col(name).alias("bits")) for name in PLANS]))
    each = planned.select("product_id", "period_start", "word", kinds.alias("plan")).select(
        "product_id", "period_start", "word", "plan.kind", "plan.bits"
    )
    share = F.when(F.col("word") == EVERYWHERE, 1.0).otherwise(_weight_of(F.col("bits"), F.col("table")))
    valued = (
        each.where("bits != 0")
        .join(F.broadcast(tables(weighed)), ["period_start", "word"], "left")
        .select("product_id", "period_start", "kind", share.alias("share"))
    )
    sums = [F.sum(F.when(F.col("kind") == name, F.col("share"))).alias(name) for name in PLANS]
    summed = valued.groupBy("product_id", "period_start").agg(*sums)
    return summed.select(
        "product_id",
        F.lit(ALL_STORES).alias("store_id"),
        "period_start",
        *[F.least(F.round(F.coalesce(name, F.lit(0.0)), 6), F.lit(1.0)).cast("float").alias(name) for name in PLANS],
    )


def in_stores(planned: DataFrame, weighed: DataFrame) -> DataFrame:
    """Per product, store and period 1 where something was planned; a plan for all stores reaches each known one."""
    stores = weighed.select("period_start", "word", "store_id", "mask")
    own = planned.where(F.col("word") != EVERYWHERE).join(F.broadcast(stores), ["period_start", "word"])
    everywhere = planned.where(F.col("word") == EVERYWHERE).drop("word")
    spread = everywhere.join(F.broadcast(stores), "period_start").withColumn("mask", F.lit(1).cast("long"))
    set_here = [(F.col(name).bitwiseAND(F.col("mask")) != 0).cast("float").alias(name) for name in PLANS]
    each = own.unionByName(spread).select("product_id", "store_id", "period_start", *set_here)
    return each.groupBy("product_id", "store_id", "period_start").agg(*[F.max(name).alias(name) for name in PLANS])


def build(
    packed: DataFrame, stores: DataFrame, daily: DataFrame, starts: Mapping[Grain, Sequence[date]], horizon: int
) -> DataFrame:
    """Covariates of all grains for the given periods, without the slice column: one row per series and period.

    Args:
        packed: from ``plans.pack``.
        stores: from ``plans.store_bits``.
        daily: from ``store_days``.
        starts: grain → first days of its periods.
    """
    frames = []
    for grain, wanted in starts.items():
        planned = in_periods(packed, wanted, grain.days, horizon)
        weighed = weights(planned, stores, daily, grain.days, horizon)
        shared = in_stores(planned, weighed) if grain.by_store else shares(planned, weighed)
        frames.append(shared.withColumn("grain", F.lit(grain.name)))
    some = reduce(Column.__or__, [F.col(name) > 0 for name in PLANS])
    return reduce(DataFrame.unionByName, frames).where(some)


def _weight_of(bits: Column, table: Column) -> Column:
    """Weight of the stores whose bit is set: a look-up per four bits."""
    looked_up = [
        F.get(table, F.shiftrightunsigned(bits, 4 * group).bitwiseAND(F.lit(15)).cast("int") + 16 * group)
        for group in range(_NIBBLES)
    ]
    return reduce(Column.__add__, looked_up)
