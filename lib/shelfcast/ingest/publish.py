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


def side(step: Step, table: str, units: Sequence[Unit], settled: Sequence[DataFrame]) -> DataFrame:
    """A side table's new content: these sources' records, and the stored ones of other sources."""
    frames = [silver(frame, table) for frame in settled]
    if step.has(table):
        others = ~F.col("source").isin(*(unit.source for unit in units))
        stored = step.read(table).where(others)
        if not stored.isEmpty():
            frames.append(stored.select(*contract(table).names()))
    return reduce(DataFrame.unionByName, frames)


def refused(settled: Sequence[DataFrame]) -> DataFrame:
    """Rows of silver/quarantine."""
    frames = [
        frame.where(F.col("_fate") == QUARANTINE).select(
            "source",
            F.col("_input").alias("input"),
            F.col("_file").alias("file"),
            F.col("_position").alias("position"),
            F.split("_rules", ",").alias("rules"),
            F.col("_record").alias("record"),
            "ingest_id",
        )
        for frame in settled
    ]
    return reduce(DataFrame.unionByName, frames)


def stored_events(step: Step, unit: Unit) -> DataFrame | None:
    """The stored events of the unit's source that stay: none where all are replaced."""
    if unit.whole or not step.has(EVENTS):
        return None
    mine = F.col("source") == unit.source
    return step.read(EVENTS).where(mine & ~F.col("ingest_id").isin(*unit.ids))


def touched(new: DataFrame, step: Step, units: Iterable[Unit]) -> list[date]:
    """The weeks whose events change: those of new records and of records that leave."""
    weeks = new.select("week_start").distinct()
    if step.has(EVENTS):
        weeks = weeks.union(step.read(EVENTS).where(leaving(units)).select("week_start").distinct())
    return sorted({row["week_start"] for row in weeks.collect()})


def leaving(units: Iterable[Unit]) -> Column:
    """Whether a stored event is replaced by what is written now."""
    tests = [(F.col("source") == unit.source) if unit.whole else F.col("ingest_id").isin(*unit.ids) for unit in units]
    return reduce(lambda left, right: left | right, tests)


def week_contents(events: DataFrame) -> dict[str, str]:
    """Week → content id of its events, whichever order and files they lie in."""
    columns = [name for name in contract(EVENTS).names() if name not in _UNSTABLE]
    hashed = F.bit_xor(F.xxhash64(*columns))
    rows = (
        events.groupBy("week_start").agg(F.count("*").alias("records"), hashed.alias("hash")).collect()
    )  # a week each
    return {str(row["week_start"]): content_id(row["records"], row["hash"]) for row in rows}
