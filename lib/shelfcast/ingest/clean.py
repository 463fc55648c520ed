"""Cleans the records of one source for one table: canonical columns, rules, identity, fate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.ingest.arrivals import Arrival
from shelfcast.ingest.bounds import mark_outside
from shelfcast.ingest.canonical import ARRIVAL, Reading, canonical
from shelfcast.ingest.fates import hashes, identifier, settle
from shelfcast.ingest.lookups import Lookup
from shelfcast.ingest.rules import applicable, count_events_per_day, refuse, with_limits
from shelfcast.lake.tables import contract

_NO_IDENTITY = {"event_id", "week_start", *ARRIVAL}
_BESIDE = ("_input", "_file", "_position", "_unparsable", "_imputed", "_rules")


@dataclass(frozen=True)
class Unit:
    """The inputs of one source that fill one table, and the ingests of each that are to be cleaned.

    Attributes:
        arrivals: one for each input.
        ids: ingest ids whose records are cleaned.
        whole: whether those are all of the source's records, so that the table's earlier ones are replaced.
    """

    arrivals: tuple[Arrival, ...]
    ids: tuple[str, ...]
    whole: bool

    @property
    def source(self) -> str:
        return self.arrivals[0].reading.source

    @property
    def table(self) -> str:
        return self.arrivals[0].reading.table

    @property
    def versions(self) -> bool:
        """Whether a record may replace an earlier one."""
        return any(reading.given.sequence_by for reading in self.readings)

    @property
    def dated(self) -> bool:
        """Whether two records can be the same only if they lie in one week."""
        return all("event_time" in identity(reading) for reading in self.readings)

    @property
    def readings(self) -> list[Reading]:
        return [arrival.reading for arrival in self.arrivals]


def units(arrivals: Sequence[Arrival], cleaned: dict[str, str]) -> list[Unit]:
    """What has to be cleaned, and how much of it.

    A side is made anew from all its records. Events are cleaned ingest by ingest, unless an earlier ingest was
    cleaned by other rules, lost a file, or versions of its records may have arrived.

    Args:
        cleaned: ingest id → content id of its refused records, as stored.
    """
    grouped: dict[tuple[str, str], list[Arrival]] = {}
    for arrival in arrivals:
        if not arrival.content():  # an optional input that is not there
            continue
        grouped.setdefault((arrival.reading.source, arrival.reading.table), []).append(arrival)
    found = []
    for (_, table), members in grouped.items():
        wanted = {name: content for arrival in members for name, content in arrival.wanted().items()}
        stale = {name for name, content in wanted.items() if cleaned.get(name) != content}
        new = {arrival.ingest_id for arrival in members if arrival.ingest_id}
        replaced = any(arrival.replaced for arrival in members)
        if not stale and not replaced:
            continue
        versions = any(arrival.reading.given.sequence_by for arrival in members)
        whole = table != "silver/events" or replaced or bool(stale - new) or versions
        found.append(Unit(tuple(members), tuple(sorted(wanted if whole else stale)), whole))
    return found


def records(unit: Unit, bronze: Callable[[Arrival], DataFrame]) -> dict[str, DataFrame]:
    """Input → its bronze records that are to be cleaned; rows of another kind (``where``) are left out."""
    found = {}
    for arrival in unit.arrivals:
        frame = bronze(arrival)
        kind = arrival.reading.given.where
        unread = F.col("_corrupt").isNotNull()
        found[arrival.reading.input] = frame.where(F.expr(kind) | unread) if kind is not None else frame
    return found


def read_canonical(unit: Unit, raw: dict[str, DataFrame], lookup: Lookup) -> dict[str, DataFrame]:
    """Input → canonical records, before any rule."""
    return {reading.input: canonical(raw[reading.input], reading, lookup) for reading in unit.readings}


def judge(unit: Unit, read: dict[str, DataFrame], bounds: DataFrame | None) -> dict[str, DataFrame]:
    """Input → every record with its canonical columns, its identity and the rules that refuse it.

    Args:
        read: from `read_canonical`.
        bounds: ops/bounds.
    """
    return {reading.input: _judged(reading, read[reading.input], bounds) for reading in unit.readings}


def decide(unit: Unit, judged: dict[str, DataFrame]) -> DataFrame:
    """Every record of a side, or of events with versions, with its fate.

    Args:
        judged: from `judge`.
    """
    written = [frame.withColumn("_record", F.to_json("_record")) for frame in judged.values()]
    frame = reduce(DataFrame.unionByName, written).withColumn("_id", identifier(F.col("_low"), F.col("_high")))
    promised = contract(unit.table)
    side = unit.table != "silver/events"
    compared = [name for name in promised.names() if name not in _NO_IDENTITY]
    settled = settle(frame, compared, versions=unit.versions or (side and bool(promised.key)), newest=side)
    return settled.withColumn("event_id", F.col("_id")) if not side else settled


def _judged(reading: Reading, frame: DataFrame, bounds: DataFrame | None) -> DataFrame:
    cleaning = reading.cleaning
    frame = count_events_per_day(frame, cleaning.bot_events_per_day)  # first, because it passes over the records
    frame = with_limits(frame, cleaning.floor, cleaning.bot_events_per_day)
    frame = mark_outside(frame, reading, bounds)
    frame = refuse(frame, applicable(frame, reading), reading.key("rules"))
    sequence = F.expr(reading.given.sequence_by) if reading.given.sequence_by else F.lit(None)
    names = [name for name in contract(reading.table).names() if name != "event_id"]
    low, high = hashes([F.lit(reading.source), *(F.expr(text) for text in identity(reading))])
    return frame.select(
        *names,
        *_BESIDE,
        F.when(F.col("_rules") != "", F.struct("raw.*", "_corrupt")).alias("_record"),
        low.alias("_low"),
        high.alias("_high"),
        sequence.cast("string").alias("_sequence") if not reading.given.sequence_by else sequence.alias("_sequence"),
    )


def identity(reading: Reading) -> list[str]:
    """The expressions that make two records the same: the source's own, the table's key, else every column."""
    if reading.given.identity:
        return reading.given.identity
    promised = contract(reading.table)
    if promised.key and reading.given.fills != "events":
        return list(promised.key)
    return [name for name in promised.names() if name not in _NO_IDENTITY]
