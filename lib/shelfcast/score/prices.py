"""What a piece of each series is expected to cost: a recent price, and its share of it while promoted.

A period's price is base · (1 − p · (1 − ratio)) with p the share of stores that promote it. Base and ratio come from
the series' newest periods, weighted towards the last; a base with few pieces leans on the price of all its periods, a
ratio on its category's. A factor per category makes the model's revenue of the last periods equal to what was paid.
"""

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.settings import Totals

SERIES = ("product_id", "store_id")
GROUP = ("department", "category")
RATIO_BOUNDS = (0.2, 1.2)
_CHECKED = 8  # periods over which modelled and paid revenue are compared
_CATEGORY_PRIOR = 50.0  # pieces that the ratio of all categories counts for in one of them
_FACTOR_PRIOR = 200.0  # money likewise, in its factor


def observed(demand: DataFrame, cutoff: date, days: int, totals: Totals) -> DataFrame:
    """Sums per series over its history: pieces and revenue in all, unpromoted, promoted, and in the last periods.

    Args:
        demand: rows of gold/demand of one grain up to ``cutoff``.
        days: of a period.
    """
    age = (F.date_diff(F.lit(cutoff + timedelta(days=1)), "period_start") / days - 1).alias("age")
    shares = [F.coalesce(name, F.lit(0.0)) for name in ("display_share", "mailer_share")]
    promoted = F.least(F.greatest(*shares), F.lit(1.0)).alias("promoted")
    weight = F.pow(F.lit(0.5), F.col("age") / totals.price_half_life)
    kept = F.when(F.col("age") < totals.price_periods, weight).otherwise(0.0)
    last = (F.col("age") < _CHECKED).cast("double")
    sold = demand.where("units > 0 AND revenue >= 0").select(*SERIES, "units", "revenue", age, promoted)
    parts = {"all": F.lit(1.0), "plain": kept * (1 - F.col("promoted")), "promoted": kept * F.col("promoted")}
    parts |= {"last": last, "last_promoted": last * F.col("promoted")}
    return sold.groupBy(*SERIES).agg(
        *[F.sum(F.col("units") * share).alias(f"units_{name}") for name, share in parts.items()],
        *[F.sum(F.col("revenue") * share).alias(f"revenue_{name}") for name, share in parts.items()],
    )


def expected(demand: DataFrame, series: DataFrame, cutoff: date, days: int, totals: Totals) -> DataFrame:
    """Price of every series: product_id, store_id, base (currency a piece) and ratio; base null without any prices.

    Args:
        demand: rows of gold/demand of one grain up to ``cutoff``.
        series: product_id, store_id, department, category; no nulls.
        days: of a period.
    """
    sums = observed(demand, cutoff, days, totals)
    names = [name for name in sums.columns if name not in SERIES]
    known = series.select(*SERIES, *GROUP).join(sums, [*SERIES], "left").fillna(0.0, names)
    priced = _prices(_with_groups(known), totals)
    modelled = F.col("base") * (F.col("units_last") - (1 - F.col("ratio")) * F.col("units_last_promoted"))
    checked = priced.groupBy(*GROUP).agg(F.sum(modelled).alias("modelled"), F.sum("revenue_last").alias("paid"))
    whole = checked.agg(F.sum("modelled").alias("modelled"), F.sum("paid").alias("paid"))
    overall = whole.select(_ratio(F.col("paid"), F.col("modelled"), F.lit(1.0)).alias("overall"))
    paid = F.coalesce("paid", F.lit(0.0)) + _FACTOR_PRIOR * F.col("overall")
    factors = checked.crossJoin(F.broadcast(overall)).select(
        *GROUP, (paid / (F.coalesce("modelled", F.lit(0.0)) + _FACTOR_PRIOR)).alias("factor")
    )
    corrected = (F.col("base") * F.col("factor")).alias("base")
    return priced.join(F.broadcast(factors), [*GROUP]).select(*SERIES, corrected, "ratio")


def at_plan(promoted: Column) -> Column:
    """Price of a piece where a share ``promoted`` of the stores promotes it, from base and ratio."""
    return F.col("base") * (1 - promoted * (1 - F.col("ratio")))


def _with_groups(known: DataFrame) -> DataFrame:
    """Each series with its category's price and ratio, those without any taking all categories' together."""
    both = (F.col("units_plain") > 0) & (F.col("units_promoted") > 0) & (F.col("revenue_plain") > 0)
    usual = F.when(both, F.col("units_promoted") * F.col("revenue_plain") / F.col("units_plain"))
    sums = [
        F.sum("units_all").alias("pieces"),
        F.sum("revenue_all").alias("money"),
        F.sum(F.coalesce(usual, F.lit(0.0))).alias("usual"),
        F.sum(F.when(both, F.col("revenue_promoted")).otherwise(0.0)).alias("got"),
    ]
    groups = known.groupBy(*GROUP).agg(*sums)
    whole = groups.agg(*[F.sum(name).alias(name) for name in ("pieces", "money", "usual", "got")]).select(
        F.when(F.col("money") > 0, F.col("money") / F.col("pieces")).alias("chain_price"),
        _ratio(F.col("got"), F.col("usual"), F.lit(1.0)).alias("chain_ratio"),
    )
    price = _ratio(F.col("money"), F.col("pieces"), F.col("chain_price"))
    lent = _CATEGORY_PRIOR * price
    ratio = _ratio(F.col("got") + lent * F.col("chain_ratio"), F.col("usual") + lent, F.col("chain_ratio"))
    rates = groups.crossJoin(F.broadcast(whole)).select(
        *GROUP, "chain_price", price.alias("group_price"), F.coalesce(ratio, F.lit(1.0)).alias("group_ratio")
    )
    return known.join(F.broadcast(rates), [*GROUP])


def _prices(known: DataFrame, totals: Totals) -> DataFrame:
    """Base and ratio of each series."""
    prior = _ratio(F.col("revenue_all"), F.col("units_all"), F.col("group_price"))
    pieces = F.col("units_plain") + F.col("units_promoted") + totals.price_prior

    def base(ratio: Column) -> Column:
        """Promoted pieces count at what they would have cost otherwise."""
        return (
            F.col("revenue_plain") + F.col("revenue_promoted") / ratio + totals.price_prior * F.col("prior")
        ) / pieces

    floor, ceiling = RATIO_BOUNDS
    common = F.least(F.greatest("group_ratio", F.lit(floor)), F.lit(ceiling))
    lent = totals.promotion_prior * F.col("first")
    own = _ratio(
        F.col("revenue_promoted") + lent * F.col("common"),
        F.col("first") * F.col("units_promoted") + lent,
        F.col("common"),
    )
    return (
        known.withColumns({"prior": prior, "common": common})
        .withColumn("first", base(F.col("common")))
        .withColumn("ratio", F.least(F.greatest(own, F.lit(floor)), F.lit(ceiling)))
        .withColumn("base", F.when(F.col("chain_price").isNotNull(), base(F.col("ratio"))))
    )


def _ratio(part: Column, whole: Column, otherwise: Column) -> Column:
    return F.when(whole > 0, part / whole).otherwise(otherwise)
