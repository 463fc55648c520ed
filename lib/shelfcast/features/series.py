"""gold/series: every series that sold in a complete period up to a cutoff, and those about to, with what is known."""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Evidence:
    """What tells that a product that never sold is about to.

    Attributes:
        kinds: ``planned``: promoted within the ``horizon``; ``listed``: may be sold beyond the cutoff.
        horizon: periods.
        covariates: gold/covariates, None without promotions.
    """

    kinds: Sequence[str]
    horizon: int
    covariates: DataFrame | None


def awaited(known: DataFrame, products: DataFrame, grain: Grain, cutoff: date, evidence: Evidence) -> DataFrame:
    """Products that never sold but are about to: product_id, store_id.

    A promotion of a product that silver/products does not know is no evidence: it may be a mistyped number.

    Args:
        known: series that sold, over all stores.
        products: silver/products.
    """
    side = joins.as_of_day(products, ["product_id"], ["listed_until"], cutoff)
    listed = side.where(
        F.coalesce(F.col("listed_until") > F.lit(cutoff), F.lit(False)) & F.lit("listed" in evidence.kinds)
    )
    found = listed.select("product_id")
    if evidence.covariates is not None and "planned" in evidence.kinds:
        last = cutoff + timedelta(days=evidence.horizon * grain.days)
        ahead = (F.col("grain") == grain.name) & (F.col("period_start") > F.lit(cutoff))
        planned = evidence.covariates.where(ahead & (F.col("period_start") <= F.lit(last))).select("product_id")
        delisted = F.col("listed_until") <= F.lit(cutoff)
        found = found.unionByName(planned.join(side.where(F.coalesce(~delisted, F.lit(True))), "product_id", "semi"))
    return found.distinct().join(known, "product_id", "anti").select("product_id", F.lit(ALL_STORES).alias("store_id"))


def build(
    events: DataFrame,
    demand: DataFrame,
    products: DataFrame | None,
    grain: Grain,
    clock: Clock,
    cutoff: date,
    active_weeks: int,
    evidence: Evidence | None = None,
) -> DataFrame:
    """Series of one grain as they stood at ``cutoff``, without the slice column.

    Active are those sold in the last ``active_weeks`` weeks and those listed beyond the cutoff; a product whose
    ``listed_until`` has passed has ended, because it cannot be sold any more. New are those that never sold but are
    about to (see ``awaited``), over all stores only: which store takes a product up is not known before it does.

    Raises:
        ReconciliationError: if silver/products says two things at once of a product.
    """
    sold = sale_days(events, grain, clock.first(grain.days), cutoff)
    known = sold.join(totals(demand, grain, cutoff), ["product_id", "store_id"])
    if products is None:
        known = known.withColumns({name: F.lit(None).cast("string") for name in STATICS})
        known = known.withColumn("listed_until", F.lit(None).cast("date"))
    else:
        if not grain.by_store and evidence is not None and evidence.kinds:
            coming = awaited(known, products, grain, cutoff, evidence)
            known = known.unionByName(coming, allowMissingColumns=True)
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
        F.coalesce("sale_periods", F.lit(0)).alias("sale_periods"),
        F.coalesce("units", F.lit(0.0)).alias("units"),
        F.when(F.col("first_sale").isNull(), "new").when(listed, "active").otherwise("ended").alias("status"),
        "listed_until",
        *STATICS,
    )
