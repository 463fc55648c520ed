"""gold/interactions: what each user did in each week, as arrays in time order."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.features.periods import in_days

BUCKETS = 1024


def build(events: DataFrame, types: Sequence[str], weeks: Sequence[date], salts: int) -> DataFrame:
    """A row per user and week; ties in time are ordered by product_id. Events without a user are left out.

    Args:
        events: visible events.
        types: event types to keep.
        weeks: first days of the weeks to build.
        salts: files a week: one shuffle by week and shares of the users serves the aggregation and the write.
    """
    entry = F.struct(
        F.col("event_time"),
        F.col("product_id"),
        F.col("event_type"),
        F.col("event_date"),
        F.coalesce("quantity", F.lit(1.0)).cast("float").alias("quantity"),
    )
    kept = F.col("event_type").isin(list(types)) & F.col("user_id").isNotNull() & in_days("week_start", weeks)
    grouped = (
        events.where(kept)
        .withColumn("_salt", F.pmod(F.xxhash64("user_id"), F.lit(salts)))
        .select("week_start", "_salt", "user_id", "store_id", entry.alias("entry"))
        .repartition("week_start", "_salt")
        .groupBy("week_start", "_salt", "user_id")
        .agg(F.array_sort(F.collect_list("entry")).alias("entries"), F.mode("store_id", True).alias("store_id"))
    )
    return grouped.select(
        "user_id",
        "week_start",
        F.pmod(F.xxhash64("user_id"), F.lit(BUCKETS)).cast("int").alias("bucket"),
        "store_id",
        F.col("entries.product_id").alias("items"),
        F.col("entries.event_type").alias("types"),
        F.col("entries.event_time").alias("times"),
        F.col("entries.event_date").alias("dates"),
        F.col("entries.quantity").alias("quantities"),
    )
