"""gold/demand: what each series sold in each period, sparse.

Units and revenue are net of returns, so a period can be negative; price and discount depth speak of purchases alone.
Sales, plans and stock are put under one another and aggregated once by series and period. Nothing is joined, so no
side can multiply the sales.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.features.periods import ALL_STORES, Clock, Grain, in_days, period_start
from shelfcast.lake.measures import SOLD, units

_MONEY_DIGITS = 6  # sums of money differ in the last bits with the order of rows; rounding makes them repeatable


def lines(events: DataFrame) -> DataFrame:
    """Purchases and returns with what they add: units and revenue signed, the rest for purchases only."""
    purchase = F.col("event_type") == "purchase"
    pieces = F.abs(F.coalesce("quantity", F.lit(1.0)))
    sign = F.when(purchase, 1.0).otherwise(-1.0)
    paid = pieces * F.col("unit_price")
    return events.where(F.col("event_type").isin(*SOLD)).select(
        "week_start",
        "event_date",
        "product_id",
        "store_id",
        F.when(purchase, F.xxhash64(F.coalesce("order_id", "event_id"))).alias("order"),  # only told apart
        units().alias("units"),
        (sign * paid).alias("revenue"),
        F.when(purchase & F.col("unit_price").isNotNull(), pieces).alias("priced"),
        F.when(purchase, paid).alias("paid"),
        F.when(purchase, pieces * F.col("discount")).alias("given"),
    )


def of_grain(sold: DataFrame, grain: Grain, clock: Clock) -> DataFrame:
    """Lines of the complete periods of a grain, with period_start and, unless by store, all stores as one."""
    first, last = clock.first(grain.days), clock.cutoff(grain.days)
    store = F.col("store_id") if grain.by_store else F.lit(ALL_STORES)
    return (
        sold.where(F.col("event_date").between(F.lit(first), F.lit(last)))
        .withColumn("period_start", period_start(F.col("event_date"), first, grain.days))
        .withColumn("store_id", store)
        .drop("event_date")
    )


def days_in_stock(stock: DataFrame, grain: Grain, clock: Clock, weeks: Sequence[date]) -> DataFrame:
    """Days of each period on which a series had stock: product, store, period, week, days_in_stock."""
    first, last = min(weeks), min(max(weeks) + timedelta(days=6), clock.cutoff(grain.days))
    anchor = clock.first(grain.days)
    return (
        days_with_stock(stock, grain, first, last)
        .withColumn("period_start", period_start(F.col("day"), anchor, grain.days))
        .withColumn("week_start", period_start(F.col("day"), weeks[0], 7))
        .where(in_days("week_start", weeks))
        .groupBy("product_id", "store_id", "period_start", "week_start")
        .agg(F.sum(F.col("stocked").cast("double")).alias("days_in_stock"))
    )


def days_with_stock(stock: DataFrame, grain: Grain, first: date, last: date) -> DataFrame:
    """Each counted day of a series from ``first`` to ``last``: product_id, store_id, day and whether it was stocked.

    A count holds until valid_to, else until the next one of the same product and store.
    """
    following = F.expr("lead(valid_from) OVER (PARTITION BY product_id, store_id ORDER BY valid_from)")
    until = F.least(F.coalesce("valid_to", F.date_sub(following, 1), F.lit(last)), F.lit(last))
    since = F.greatest(F.coalesce("valid_from", F.lit(first)), F.lit(first))
    return (
        stock.select("product_id", "store_id", "on_hand", since.alias("since"), until.alias("until"))
        .where("since <= until")
        .withColumn("day", F.explode(F.sequence("since", "until")))
        .withColumn("store_id", F.col("store_id") if grain.by_store else F.lit(ALL_STORES))
        .groupBy("product_id", "store_id", "day")
        .agg(F.max(F.col("on_hand") > 0).alias("stocked"))
    )


def aggregate(parts: DataFrame, grain: Grain, *, salts: int, with_plans: bool) -> DataFrame:
    """Rows of gold/demand from lines, plans and stock put under one another.

    One shuffle by week and ``salts`` shares of the products serves both the distinct orders and the write, which
    then makes ``salts`` files a week.
    """
    salt = F.pmod(F.xxhash64("product_id"), F.lit(salts))
    key = ["week_start", "_salt", "product_id", "store_id", "period_start"]
    planned = [
        F.coalesce(F.max(name).cast("double"), F.lit(0.0) if with_plans else F.lit(None).cast("double"))
        for name in ("display", "mailer")
    ]
    totals = {name: F.round(F.sum(name), _MONEY_DIGITS) for name in ("revenue", "paid", "given")}
    summed = (
        parts.withColumn("_salt", salt)
        .repartition("week_start", "_salt")
        .groupBy(*key)
        .agg(
            F.count("units").alias("lines"),
            F.sum("units").alias("units"),
            F.count_distinct("order").cast("double").alias("orders"),
            F.sum("priced").alias("priced"),
            *[total.alias(name) for name, total in totals.items()],
            planned[0].alias("display_share"),
            planned[1].alias("mailer_share"),
            F.max("days_in_stock").alias("days_in_stock"),
        )
        .where("lines > 0")
    )
    given = F.coalesce("given", F.lit(0.0))
    listed = F.col("paid") + given
    return summed.select(
        F.lit(grain.name).alias("grain"),
        "product_id",
        "store_id",
        "period_start",
        "week_start",
        "units",
        "orders",
        F.coalesce("revenue", F.lit(0.0)).alias("revenue"),
        _ratio(F.col("paid"), F.col("priced")).alias("price"),
        _ratio(F.least(F.greatest(given, F.lit(0.0)), listed), listed).alias("discount_depth"),
        "display_share",
        "mailer_share",
        "days_in_stock",
    )


def _ratio(part: Column, whole: Column) -> Column:
    return F.when(whole > 0, part / whole)


def build(
    events: DataFrame,
    covariates: DataFrame | None,
    stock: DataFrame | None,
    grains: Sequence[Grain],
    clock: Clock,
    weeks: Sequence[date],
    salts: int,
) -> DataFrame:
    """gold/demand of the given weeks.

    Args:
        events: visible events.
        covariates: gold/covariates, None without promotions.
        stock: visible silver/stock, None without.
        weeks: first days of the weeks to build, oldest first.
        salts: files a week.
    """
    sold = lines(events.where(in_days("week_start", weeks)))
    frames = []
    for grain in grains:
        parts = of_grain(sold, grain, clock)
        if covariates is not None:
            wanted = covariates.where((F.col("grain") == grain.name) & in_days("week_start", weeks))
            plans = wanted.select("product_id", "store_id", "period_start", "week_start", "display", "mailer")
            parts = parts.unionByName(plans, allowMissingColumns=True)
        else:
            parts = parts.withColumns({name: F.lit(None).cast("float") for name in ("display", "mailer")})
        if stock is not None:
            stocked = days_in_stock(stock, grain, clock, weeks)
            parts = parts.unionByName(stocked, allowMissingColumns=True)
        else:
            parts = parts.withColumn("days_in_stock", F.lit(None).cast("double"))
        frames.append(aggregate(parts, grain, salts=salts, with_plans=covariates is not None))
    return reduce(DataFrame.unionByName, frames)
