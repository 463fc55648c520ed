"""Decides which records are refused, by rules that are data."""

from collections.abc import Mapping
from datetime import date

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ConfigError
from shelfcast.ingest.canonical import Reading
from shelfcast.lake.expressions import references
from shelfcast.settings import Rule


def applicable(frame: DataFrame, reading: Reading) -> dict[str, Rule]:
    """The default rules that this table has the columns for, and the source's own.

    A source switches a default rule off by giving it null.
    """
    spark, have = frame.sparkSession, {name.lower() for name in frame.columns}
    chosen = {}
    for name, rule in reading.cleaning.rules.items():
        named = references(spark, rule.when, f"cleaning.rules.{name}")
        if all(part[0].lower() in have for part in named):
            chosen[name] = rule
    own = reading.given.rules
    chosen |= {name: rule for name, rule in own.items() if rule is not None}
    return {name: rule for name, rule in chosen.items() if own.get(name, rule) is not None}


def refuse(frame: DataFrame, rules: Mapping[str, Rule], key: str) -> DataFrame:
    """Add ``_rules``: the names of the rules whose condition is true, in order, with commas between them.

    Args:
        frame: canonical records with the columns that `with_limits` and the other steps of cleaning add.
        key: where the source's rules stand in the configuration, for the error.

    Raises:
        ConfigError: if a condition does not fit the record's columns.
    """
    marks = [F.when(F.expr(rule.when), F.lit(name)) for name, rule in rules.items()]
    try:
        return frame.withColumn("_rules", F.concat_ws(",", *marks))
    except AnalysisException as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"{key}: a condition does not fit the record: {first}") from error


def with_limits(frame: DataFrame, floor: date, bot_events_per_day: int | None) -> DataFrame:
    """Add ``_floor`` and ``_bot_limit``, so that conditions can name what the configuration sets."""
    limit = F.lit(bot_events_per_day).cast("long")
    return frame.withColumns({"_floor": F.lit(floor), "_bot_limit": limit})


def count_events_per_day(frame: DataFrame, limit: int | None) -> DataFrame:
    """Add ``_events_that_day``: what the record's user did on its day, where it is above ``limit``; else 0.

    Days are counted only of users with so many events in all, who are found by a hash of their name, which is quicker;
    only days above the limit are joined to the records.
    """
    none = F.lit(0).cast("long")
    if limit is None or "event_date" not in frame.columns:
        return frame.withColumn("_events_that_day", none)
    named = frame.where(F.col("user_id").isNotNull()).select(
        "user_id", "event_date", F.xxhash64("user_id").alias("_user")
    )
    # Names of their own: a persisted table that shares columns with the records it came from is computed again.
    suspects = named.groupBy(F.col("_user").alias("_suspect")).count().where(F.col("count") > limit).persist()
    if suspects.isEmpty():
        return frame.withColumn("_events_that_day", none)
    busy = (
        named.join(F.broadcast(suspects), F.col("_user") == F.col("_suspect"), "semi")
        .groupBy(F.col("user_id").alias("_busy_user"), F.col("event_date").alias("_busy_day"))
        .agg(F.count("*").alias("_events_that_day"))
        .where(F.col("_events_that_day") > limit)
        .persist()
    )
    if busy.isEmpty():
        return frame.withColumn("_events_that_day", none)
    same = (F.col("user_id") == F.col("_busy_user")) & (F.col("event_date") == F.col("_busy_day"))
    joined = frame.join(F.broadcast(busy), same, "left").drop("_busy_user", "_busy_day")
    return joined.withColumn("_events_that_day", F.coalesce("_events_that_day", none))
