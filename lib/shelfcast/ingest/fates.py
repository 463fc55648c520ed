"""Settles what becomes of each record: silver, quarantine, duplicate or superseded."""

from collections.abc import Sequence
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

SILVER, QUARANTINE, DUPLICATE, SUPERSEDED = "silver", "quarantined", "duplicates", "superseded"
FATES = (SILVER, QUARANTINE, DUPLICATE, SUPERSEDED)
FEW = 2_000_000  # repeated identities that are sent to every executor


def digest(cells: Sequence[Column]) -> Column:
    """MD5 of some values, told apart also where they are null."""
    return F.md5(F.concat_ws("\x1f", *(F.coalesce(cell.cast("string"), F.lit("\x00")) for cell in cells)))


def hashes(cells: Sequence[Column]) -> tuple[Column, Column]:
    """128 bits that tell some values apart, also where they are null; many times cheaper than MD5 of their texts."""
    nulls = [F.when(cell.isNull(), 1 << index).otherwise(0) for index, cell in enumerate(cells)]  # xxHash skips them
    told = [*cells, reduce(Column.bitwiseOR, nulls)]
    return F.xxhash64(*told), F.xxhash64(F.lit("second"), *told)


def identifier(low: Column, high: Column) -> Column:
    """128 bits as 22 characters of base64."""
    return F.substring(F.base64(F.concat(low.cast("binary"), high.cast("binary"))), 1, 22)


def settle(frame: DataFrame, columns: Sequence[str], *, versions: bool, newest: bool) -> DataFrame:
    """Add ``_fate``. Of records with one ``_id`` a single one goes to silver, and which one is fixed.

    Args:
        frame: records with ``_id``, ``_rules``, ``_sequence``, ``_file``, ``_position`` and ``ingested_at``.
        columns: two records that agree in all of these are duplicates.
        versions: records of one ``_id`` that differ are versions: all but the winner are superseded. Else
            whatever shares its ``_id`` is a duplicate.
        newest: without a sequence the latest arrival wins, else the first.

    Only identities that occur more than once are sorted; they are found by a pass over the identities alone.
    """
    good = F.col("_rules") == ""
    fate = F.when(good, F.lit(SILVER)).otherwise(F.lit(QUARANTINE))
    counted = frame.where(good).groupBy("_id").agg(F.count("*").alias("_times"))
    repeated = counted.where(F.col("_times") > 1).select("_id", F.lit(True).alias("_again")).persist()
    number = repeated.count()
    if number == 0:
        return frame.withColumn("_fate", fate)
    marked = frame.join(F.broadcast(repeated) if number <= FEW else repeated, "_id", "left")
    crowded = good & F.col("_again").isNotNull()
    alone = marked.where(~crowded).withColumn("_fate", fate)
    ranked = _rank(marked.where(crowded), columns, versions=versions, newest=newest).persist(StorageLevel.DISK_ONLY)
    return alone.unionByName(ranked).drop("_again")


def _rank(frame: DataFrame, columns: Sequence[str], *, versions: bool, newest: bool) -> DataFrame:
    arrival = F.col("ingested_at").desc() if newest else F.col("ingested_at").asc()
    order = Window.partitionBy("_id").orderBy(F.col("_sequence").desc_nulls_last(), arrival, "_file", "_position")
    ranked = frame.withColumns({"_place": F.row_number().over(order), "_content": digest([F.col(c) for c in columns])})
    winner = F.first("_content").over(order)
    loses = F.lit(DUPLICATE)
    if versions:
        loses = F.when(F.col("_content") == F.col("_winner"), F.lit(DUPLICATE)).otherwise(F.lit(SUPERSEDED))
    ranked = ranked.withColumn("_winner", winner)
    fate = F.when(F.col("_place") == 1, F.lit(SILVER)).otherwise(loses)
    return ranked.withColumn("_fate", fate).drop("_place", "_content", "_winner")


def drop_known(frame: DataFrame, known: DataFrame) -> DataFrame:
    """Records to silver whose ``_id`` is an event_id already there become duplicates."""
    marked = known.select(F.col("event_id").alias("_id"), F.lit(True).alias("_known")).distinct()
    joined = frame.join(marked, "_id", "left")
    repeats = F.col("_known").isNotNull() & (F.col("_fate") == SILVER)
    return joined.withColumn("_fate", F.when(repeats, F.lit(DUPLICATE)).otherwise(F.col("_fate"))).drop("_known")
