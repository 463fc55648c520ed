"""Joins that cannot multiply rows, and dimensions as they stood on a day."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError
from shelfcast.lake.visible import visible


def as_of_day(dimension: DataFrame, key: Sequence[str], columns: Sequence[str], day: date) -> DataFrame:
    """The dimension's rows that hold on ``day`` and were known by then: per key those valid from the latest day.

    Rows that say the same are one. Two that contradict each other both stay, so that ``left`` refuses them.
    """
    holds = (F.col("valid_from").isNull() | (F.col("valid_from") <= F.lit(day))) & (
        F.col("valid_to").isNull() | (F.col("valid_to") >= F.lit(day))
    )
    latest = F.max("valid_from").over(Window.partitionBy(*key))
    held = visible(dimension, day).where(holds).withColumn("_latest", latest)
    return held.where(F.col("valid_from").eqNullSafe(F.col("_latest"))).select(*key, *columns).distinct()


def left(frame: DataFrame, side: DataFrame, key: Sequence[str], what: str) -> DataFrame:
    """Left join of a side that must have one row per key, so that the row count of ``frame`` stays.

    Raises:
        ReconciliationError: naming the side and a key that repeats.
    """
    repeated = side.groupBy(*key).count().where("count > 1").orderBy(*key).limit(1).collect()
    if repeated:
        named = ", ".join(f"{column}={repeated[0][column]}" for column in key)
        raise ReconciliationError(
            f"table {what}: {repeated[0]['count']} different rows hold at once for {named}, so joining them would "
            "multiply rows; give the rows valid_from and valid_to in the source, or remove all but one"
        )
    return frame.join(side, list(key), "left")
