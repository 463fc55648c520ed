"""Puts cleaned records into silver: only the weeks they touch, only after every sum has closed."""

from collections.abc import Iterable, Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.ingest.clean import Unit
from shelfcast.ingest.fates import QUARANTINE, SILVER
from shelfcast.lake.step import Step, content_id
from shelfcast.lake.tables import contract

EVENTS, REFUSED = "silver/events", "silver/quarantine"
_UNSTABLE = ("ingest_id", "ingested_at")  # the same record may arrive in another ingest


def silver(settled: DataFrame, table: str) -> DataFrame:
    """The records of a table that go to silver, in its columns."""
    return settled.where(F.col("_fate") == SILVER).select(*contract(table).names())


def side(step: Step, table: str, units: Sequence[Unit], new: Sequence[DataFrame]) -> DataFrame:
    """A side table's new content: these sources' records, and the stored ones of other sources."""
    frames = list(new)
    if step.has(table):
        others = ~F.col("source").isin(*(unit.source for unit in units))
        stored = step.read(table).where(others)
        if not stored.isEmpty():
            frames.append(stored.select(*contract(table).names()))
    return reduce(DataFrame.unionByName, frames)


def refused(settled: DataFrame) -> DataFrame:
    """The records of a table that go to silver/quarantine, in its columns."""
    return quarantined(settled.where(F.col("_fate") == QUARANTINE))


def quarantined(judged: DataFrame) -> DataFrame:
    """Refused records as rows of silver/quarantine; ``_record`` is JSON by now."""
    return judged.select(
        "source",
        F.col("_input").alias("input"),
        F.col("_file").alias("file"),
        F.col("_position").alias("position"),
        F.split("_rules", ",").alias("rules"),
        F.col("_record").alias("record"),
        "ingest_id",
    )


def stored_events(step: Step, unit: Unit, read: Iterable[DataFrame]) -> DataFrame | None:
    """The stored events of the unit's source that stay and may be the same as a new one: None where all are replaced.

    Where equal records lie in one week, only the weeks of the new ones are looked into.

    Args:
        read: canonical records.
    """
    if unit.whole or not step.has(EVENTS):
        return None
    stored = step.read(EVENTS).where((F.col("source") == unit.source) & ~F.col("ingest_id").isin(*unit.ids))
    return stored.where(F.col("week_start").isin(*weeks_of(read))) if unit.dated else stored


def weeks_of(frames: Iterable[DataFrame]) -> list[date]:
    """First days of the weeks that records lie in."""
    weeks = reduce(DataFrame.union, [frame.select("week_start") for frame in frames]).distinct()
    return sorted(row["week_start"] for row in weeks.collect() if row["week_start"] is not None)


def touched(new: Iterable[date], step: Step, units: Iterable[Unit]) -> list[date]:
    """The weeks whose events change: those of new records and of records that leave."""
    left = weeks_of([step.read(EVENTS).where(leaving(units))]) if step.has(EVENTS) else []
    return sorted({*new, *left})


def leaving(units: Iterable[Unit]) -> Column:
    """Whether a stored event is replaced by what is written now."""
    tests = [(F.col("source") == unit.source) if unit.whole else F.col("ingest_id").isin(*unit.ids) for unit in units]
    return reduce(lambda left, right: left | right, tests)


def week_contents(events: DataFrame, *, by_id: bool) -> dict[str, str]:
    """Week → content id of its events, whichever order and files they lie in.

    Args:
        by_id: whether equal event ids mean equal events.
    """
    columns = ["event_id"] if by_id else [name for name in contract(EVENTS).names() if name not in _UNSTABLE]
    hashed = F.bit_xor(F.xxhash64(*columns))
    rows = (
        events.groupBy("week_start").agg(F.count("*").alias("records"), hashed.alias("hash")).collect()
    )  # a week each
    return {str(row["week_start"]): content_id(row["records"], row["hash"]) for row in rows}
