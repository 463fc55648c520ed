"""What products have in common with no user: how those who bought them come back, and what is planned for them.

Each function gives a row a product and float columns that a ranker can take as they are.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from shelfcast.lake.cutoffs import period_days
from shelfcast.lake.plans import KINDS

_BEFORE = timedelta(weeks=13)
_MONTH = timedelta(weeks=4)
_NEVER = 104.0  # weeks
_PRIOR = 10.0  # buyers that the share of a product's type counts for
_TYPE_PRIOR = 20.0  # buyers that the share of all products counts for


def returns(seen: DataFrame, types: DataFrame | None, as_of: date, wanted: Sequence[str], weeks: int) -> DataFrame:
    """How buyers come back: product_id and the columns below, for products with wanted events.

    ``sold`` is log1p of the wanted events, ``month`` the log of the part of them in the last 4 weeks, ``buyers`` log1p
    of the users, ``newcomers`` of those who first bought it in the last 8 weeks, ``per_buyer`` the log of events a
    buyer, ``usual_gap`` log1p of the mean weeks between a buyer's days (104 where nobody came back). ``again`` is the
    share of those with a wanted event in the 2 × ``weeks`` before the last ``weeks`` that have one in the last
    ``weeks`` too, drawn to that of the product's type, ``again_of_type``, which is drawn to that of all products.

    Args:
        seen: ``catalogue.events``.
        types: product_id and product_type, a row a product; None where nobody knows them.
        as_of: nothing in ``seen`` is later.
        wanted: event types that count.
        weeks: length of the horizon that lists are made for.
    """
    day = F.col("event_date")
    late = day > F.lit(as_of - timedelta(weeks=weeks))
    early = ~late & (day > F.lit(as_of - timedelta(weeks=3 * weeks)))
    days = F.countDistinct(day)
    length = F.datediff(F.max(day), F.min(day)) / 7
    pairs = (
        seen.where(F.col("event_type").isin(list(wanted)))
        .groupBy("user_id", "product_id")
        .agg(
            F.count("*").alias("events"),
            F.sum((day > F.lit(as_of - _MONTH)).cast("long")).alias("month"),
            F.when(days > 1, length / (days - 1)).alias("gap"),
            (F.min(day) > F.lit(as_of - 2 * _MONTH)).cast("double").alias("newcomers"),
            F.max(early).cast("double").alias("early"),
            (F.max(early) & F.max(late)).cast("double").alias("both"),
        )
    )
    products = pairs.groupBy("product_id").agg(
        F.count("*").alias("buyers"),
        F.avg("gap").alias("gap"),
        *[F.sum(name).cast("double").alias(name) for name in ("events", "month", "newcomers", "early", "both")],
    )
    kind = F.lit("") if types is None else F.coalesce("product_type", F.lit(""))
    typed = (products if types is None else products.join(types, "product_id", "left")).withColumn("type", kind)
    # Windows, not a second frame to join: that would group all pairs once more.
    every, of_type = Window.partitionBy(), Window.partitionBy("type")
    both, had = F.col("both"), F.col("early")
    overall = F.sum(both).over(every) / F.greatest(F.sum(had).over(every), F.lit(1.0))
    again_of_type = (F.sum(both).over(of_type) + _TYPE_PRIOR * overall) / (F.sum(had).over(of_type) + _TYPE_PRIOR)
    return typed.withColumn("again_of_type", again_of_type).select(
        "product_id",
        F.log1p("events").alias("sold"),
        F.log((F.col("month") + 0.25) / (F.col("events") + 1)).alias("month"),
        F.log1p(F.col("buyers").cast("double")).alias("buyers"),
        F.log1p("newcomers").alias("newcomers"),
        F.log(F.col("events") / F.col("buyers")).alias("per_buyer"),
        F.log1p(F.coalesce("gap", F.lit(_NEVER))).alias("usual_gap"),
        ((both + _PRIOR * F.col("again_of_type")) / (had + _PRIOR)).alias("again"),
        "again_of_type",
    )


def planned(covariates: DataFrame, grain: str, as_of: date, kinds: Sequence[str], weeks: int) -> DataFrame:
    """Shares of stores that promote, for products with plans: product_id and four columns for each kind of plan.

    ``<plan>_ahead`` and ``_most`` are the mean and the largest share in the ``weeks`` after as_of, ``_now`` that of the
    week up to it, ``_before`` the mean in the 13 weeks up to it.

    Args:
        covariates: gold/covariates, which holds a plan only if it was known early enough for the longest horizon.
        grain: the one to be read.
        kinds: of plans that are known ahead.
    """
    length = period_days(grain)
    start = F.col("period_start")
    ahead = (start > F.lit(as_of)) & (start <= F.lit(as_of + timedelta(weeks=weeks)))
    before = (start <= F.lit(as_of)) & (start > F.lit(as_of - _BEFORE))
    now = before & (start > F.lit(as_of - timedelta(weeks=1)))
    rows = covariates.where((F.col("grain") == grain) & (ahead | before))
    stores = F.broadcast(rows.agg(F.countDistinct("store_id").cast("double").alias("stores")))
    names = [plan for kind in kinds for plan in KINDS[kind]]
    shares = (
        rows.crossJoin(stores)
        .groupBy("product_id", "period_start")
        .agg(*[(F.sum(name) / F.max("stores")).alias(name) for name in names])
    )

    def mean(name: str, inside: Column, days: int) -> Column:
        return F.coalesce(F.sum(F.when(inside, F.col(name))), F.lit(0.0)) / max(days // length, 1)

    columns = []
    for name in names:
        most = F.coalesce(F.max(F.when(ahead, F.col(name))), F.lit(0.0))
        columns += [
            mean(name, ahead, 7 * weeks).alias(f"{name}_ahead"),
            most.alias(f"{name}_most"),
            mean(name, now, 7).alias(f"{name}_now"),
            mean(name, before, _BEFORE.days).alias(f"{name}_before"),
        ]
    return shares.groupBy("product_id").agg(*columns)
