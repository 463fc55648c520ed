"""gold/series: every series that sold in a complete period up to a cutoff, its life so far and what is known of it."""

from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.features import joins
from shelfcast.features.periods import ALL_STORES, Clock, Grain

STATICS = ("department", "category", "brand", "manufacturer")
KEY = ("grain", "product_id", "store_id")


def sale_days(events: DataFrame, grain: Grain, first: date, cutoff: date) -> DataFrame:
    """First and last day with a purchase from ``first`` to ``cutoff``: product_id, store_id, first_sale, last_sale."""
    store = F.col("store_id") if grain.by_store else F.lit(ALL_STORES)
    bought = (F.col("event_type") == "purchase") & F.col("event_date").between(F.lit(first), F.lit(cutoff))
    return (
        events.where(bought)
        .groupBy("product_id", store.alias("store_id"))
        .agg(F.min("event_date").alias("first_sale"), F.max("event_date").alias("last_sale"))
    )


def totals(demand: DataFrame, grain: Grain, cutoff: date) -> DataFrame:
    """Periods with sales and pieces sold up to ``cutoff``: product_id, store_id, sale_periods, units."""
    ended = F.date_add("period_start", grain.days - 1) <= F.lit(cutoff)
    return (
        demand.where((F.col("grain") == grain.name) & ended)
        .groupBy("product_id", "store_id")
        .agg(F.sum((F.col("units") > 0).cast("int")).cast("int").alias("sale_periods"), F.sum("units").alias("units"))
    )


def build(
    events: DataFrame,
    demand: DataFrame,
    products: DataFrame | None,
    grain: Grain,
    clock: Clock,
    cutoff: date,
    active_weeks: int,
) -> DataFrame:
    """Series of one grain as they stood at ``cutoff``, without the slice column.

    Active are those sold in the last ``active_weeks`` weeks and those listed beyond the cutoff; a product whose
    ``listed_until`` has passed has ended, because it cannot be sold any more.

    Raises:
        ReconciliationError: if silver/products says two things at once of a product.
    """
    sold = sale_days(events, grain, clock.first(grain.days), cutoff)
    known = sold.join(totals(demand, grain, cutoff), ["product_id", "store_id"])
    if products is None:
        known = known.withColumns({name: F.lit(None).cast("string") for name in STATICS})
        known = known.withColumn("listed_until", F.lit(None).cast("date"))
    else:
        side = joins.as_of_day(products, ["product_id"], [*STATICS, "listed_until"], cutoff)
        known = joins.left(known, side, ["product_id"], "silver/products")
    recent = F.col("last_sale") > F.lit(cutoff - timedelta(weeks=active_weeks))
    listed = F.coalesce(F.col("listed_until") > F.lit(cutoff), recent)
    return known.select(
        F.lit(grain.name).alias("grain"),
        "product_id",
        "store_id",
        "first_sale",
        "last_sale",
        "sale_periods",
        "units",
        F.when(listed, "active").otherwise("ended").alias("status"),
        *STATICS,
    )
