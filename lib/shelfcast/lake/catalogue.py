"""What a shop sold and offers on a day: products, their events, their popularity, whether they are on sale.

The result has a row a product that anyone ever touched: it grows with the catalogue, not with the log.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from shelfcast.lake import product_traits
from shelfcast.lake.step import Step
from shelfcast.lake.visible import visible

PURCHASE, PRICE = "purchase", "price"
_ALL_STORES = "*"
_RECENT_DAYS = 14


def events(interactions: DataFrame, as_of: date, types: Sequence[str]) -> DataFrame:
    """Visible events of gold/interactions, one a row: user_id, store_id, product_id, event_type, event_date."""
    rows = interactions.where(F.col("week_start") <= F.lit(as_of)).select(
        "user_id", "store_id", F.inline(F.arrays_zip("items", "types", "dates"))
    )
    named = rows.select(
        "user_id",
        "store_id",
        F.col("items").alias("product_id"),
        F.col("types").alias("event_type"),
        F.col("dates").alias("event_date"),
    )
    return visible(named, as_of).where(F.col("event_type").isin(list(types)))


def wanted_types(seen: DataFrame, types: Sequence[str]) -> list[str]:
    """The event types that are predicted: purchases, or all of ``types`` in a log without purchases."""
    return [PURCHASE] if seen.where(F.col("event_type") == PURCHASE).limit(1).count() else list(types)


def catalogue(step: Step, as_of: date, wanted: Sequence[str]) -> DataFrame:
    """A row a product: product_id, events, popularity, recent, on_sale and traits, as known at the end of ``as_of``.

    Traits are the price paid of late and the float columns of ``product_traits``; 0 where a product has none.
    On sale is what was sold anywhere in the last ``score.on_sale_weeks`` weeks, unless a listing ended before as_of
    or the stock side knows of stores and none has a piece.
    """
    settings = step.settings
    after = as_of - timedelta(weeks=settings.score.on_sale_weeks)
    seen = events(step.read("gold/interactions"), as_of, settings.recommender.event_types)
    is_wanted = F.col("event_type").isin(list(wanted))

    def counted(since: date) -> Column:
        return F.sum((is_wanted & (F.col("event_date") > F.lit(since))).cast("long")).cast("double")

    touched = seen.groupBy("product_id").agg(
        F.count("*").cast("double").alias("events"),
        counted(after).alias("popularity"),
        counted(max(after, as_of - timedelta(days=_RECENT_DAYS))).alias("recent"),
    )
    sold, paid = touched.withColumn("orders", F.lit(0.0)), []
    if step.has("gold/demand"):
        orders = _orders(step.read("gold/demand"), settings.demand.grains[0], after, as_of)
        sold, paid = touched.join(orders, "product_id", "full"), [F.coalesce(PRICE, F.lit(0.0)).alias(PRICE)]
    popularity = F.greatest(F.coalesce("popularity", F.lit(0.0)), F.coalesce("orders", F.lit(0.0)))
    shop = sold.select(
        "product_id",
        F.coalesce("events", F.lit(0.0)).alias("events"),
        popularity.alias("popularity"),
        F.coalesce("recent", F.lit(0.0)).alias("recent"),
        *paid,
    )
    barred = _barred(step, as_of)
    offered = F.col("popularity") > 0
    if barred is None:
        shop = shop.withColumn("on_sale", offered)
    else:
        shop = shop.join(barred.withColumn("_barred", F.lit(True)), "product_id", "left").select(
            *shop.columns, (offered & F.col("_barred").isNull()).alias("on_sale")
        )
    return _with_traits(step, shop, seen, as_of, wanted)


def _with_traits(step: Step, shop: DataFrame, seen: DataFrame, as_of: date, wanted: Sequence[str]) -> DataFrame:
    options = step.settings.recommender
    types = None
    if step.has("silver/products"):
        listed = valid(step.read("silver/products"), as_of)
        told = [name for name in dict.fromkeys([*options.groups, *options.item_features]) if name in listed.columns]
        kinds = [F.max(name).alias(name) for name in dict.fromkeys(["product_type", *told])]
        listed = listed.groupBy("product_id").agg(*kinds)
        types = listed.select("product_id", "product_type")
        shop = shop.join(listed.select("product_id", *told), "product_id", "left")
    sides = [product_traits.returns(seen, types, as_of, wanted, options.label_weeks)]
    if options.planned and step.has("gold/covariates"):
        covariates, grain = step.read("gold/covariates"), step.settings.demand.grains[0]
        sides.append(product_traits.planned(covariates, grain, as_of, options.planned, options.label_weeks))
    names = [name for side in sides for name in side.columns if name != "product_id"]
    for side in sides:
        shop = shop.join(side, "product_id", "left")
    return shop.fillna(0.0, names)


def collected(shop: DataFrame) -> pa.Table:
    """A catalogue on the driver, sorted by product."""
    return shop.orderBy("product_id").toArrow()


def popular_by_store(seen: DataFrame, shop: DataFrame, wanted: Sequence[str], after: date, most: int) -> DataFrame:
    """The ``most`` best sellers on sale of each store after ``after``: store_id, product_id, sold, place from 1."""
    counted = (
        seen.where(F.col("event_type").isin(list(wanted)) & (F.col("event_date") > F.lit(after)))
        .groupBy("store_id", "product_id")
        .agg(F.count("*").alias("sold"))
        .join(shop.where("on_sale").select("product_id"), "product_id", "left_semi")
    )
    order = Window.partitionBy("store_id").orderBy(F.desc("sold"), "product_id")
    return counted.withColumn("place", F.row_number().over(order)).where(F.col("place") <= most)


def _orders(demand: DataFrame, grain: str, after: date, as_of: date) -> DataFrame:
    """Sales of each product in the complete weeks between: product_id, orders, and price as log1p of what was paid a
    piece.
    """
    inside = (F.col("week_start") > F.lit(after)) & (F.col("week_start") <= F.lit(as_of - timedelta(days=6)))
    paid = F.greatest(F.sum("revenue") / F.nullif(F.greatest(F.sum("units"), F.lit(0.0)), F.lit(0.0)), F.lit(0.0))
    of_product = demand.where(inside & (F.col("grain") == grain)).groupBy("product_id")
    return of_product.agg(F.sum("orders").alias("orders"), F.log1p(paid).alias(PRICE))


def _barred(step: Step, as_of: date) -> DataFrame | None:
    """Products that a listing or stock side says cannot be bought on as_of."""
    sides: list[DataFrame] = []
    if step.has("silver/products"):
        listed = valid(step.read("silver/products"), as_of)
        sides.append(listed.where(F.col("listed_until") < F.lit(as_of)).select("product_id"))
    if step.has("silver/stock"):
        held = _stocked(step, as_of).groupBy("product_id").agg(F.max("on_hand").alias("on_hand"))
        sides.append(held.where(F.col("on_hand") <= 0).select("product_id"))
    if not sides:
        return None
    barred = sides[0]
    for side in sides[1:]:
        barred = barred.union(side)
    return barred.distinct()


def absent_by_store(step: Step, shop: DataFrame, as_of: date) -> DataFrame | None:
    """Products on sale that the newest count of a store says it has not: store_id, product_id; None without stock."""
    if not step.has("silver/stock"):
        return None
    empty = _stocked(step, as_of).where((F.col("store_id") != _ALL_STORES) & (F.col("on_hand") <= 0))
    return empty.join(shop.where("on_sale"), "product_id", "left_semi").select("store_id", "product_id")


def _stocked(step: Step, as_of: date) -> DataFrame:
    """The newest count of each product and store that holds on as_of: product_id, store_id, on_hand."""
    counts = valid(step.read("silver/stock"), as_of)
    newest = F.max_by("on_hand", F.coalesce("valid_from", F.lit("0001-01-01").cast("date")))
    return counts.groupBy("product_id", "store_id").agg(newest.alias("on_hand"))


def valid(side: DataFrame, as_of: date) -> DataFrame:
    """Rows of a side that are visible and hold on as_of."""
    return visible(side, as_of).where(holds(as_of))


def holds(as_of: date) -> Column:
    """Whether a row of a side holds on as_of, by valid_from and valid_to."""
    day = F.lit(as_of)
    began = F.col("valid_from").isNull() | (F.col("valid_from") <= day)
    return began & (F.col("valid_to").isNull() | (F.col("valid_to") >= day))
