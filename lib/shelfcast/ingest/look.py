"""Looks once at every record of a log of events: counts its fate, keeps what is refused, finds what is there twice.

One pass over the log with one shuffle of a few numbers a record. What then goes to silver is known by the few
identities that repeat, so that writing it is a pass without a sort.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from shelfcast.errors import ConfigError
from shelfcast.ingest.accounts import Account, filled
from shelfcast.ingest.clean import Unit
from shelfcast.ingest.fates import DUPLICATE, FEW, QUARANTINE, SILVER, identifier
from shelfcast.ingest.publish import quarantined, weeks_of
from shelfcast.ingest.repeats import COUNTED, INPUTS, KNOWN, REFUSED, REPEATED, schema, settle
from shelfcast.lake.tables import contract

_KEY = ["_low", "_high"]
_TOLD = ("_rules", "_imputed", "_unparsable")
_FILES_A_WEEK = 4
_RECORDS_A_TASK = 2_000_000  # which take about 150 MB in a worker
_WEEKS = 1 << 22  # more than days from 1970 to the last date there is
_HASHED = (1 << 43) - 1  # what is left of a long beside 14 bits of the arrival and 6 of the input


@dataclass(frozen=True)
class Looked:
    """Attributes:
    accounts: of each input.
    silver: the records that go to silver, in its columns.
    refused: the others that are kept, in the columns of silver/quarantine.
    weeks: first days of the weeks with records that go to silver.
    clustered: whether the log lies by weeks, so that written without a shuffle a week is a few files.
    """

    accounts: list[Account]
    silver: DataFrame
    refused: DataFrame
    weeks: list[date]
    clustered: bool = False


def look(unit: Unit, judged: Mapping[str, DataFrame], read: Mapping[str, int], known: DataFrame | None) -> Looked:
    """Settle events of which no version replaces another: of equal identities the first arrival goes to silver.

    Args:
        judged: input → records with what refuses them, from ``clean.judge``.
        read: input → records read, counted on their own.
        known: ``event_id`` of events that are in silver and stay there; what repeats them is a duplicate.
    """
    readings = unit.readings
    if len(readings) > INPUTS:
        raise ConfigError(f"source {unit.source}: more than {INPUTS} inputs fill {unit.table}; split the source")
    ranked = [_ranked(judged[reading.input], index, unit) for index, reading in enumerate(readings)]
    tasks = 1 + sum(read.values()) // _RECORDS_A_TASK
    found = _found(ranked, known, tasks).persist(StorageLevel.DISK_ONLY)
    accounts = _accounts(unit, read, found)
    identities = _count_duplicates(accounts, found)
    sent = None
    if identities:
        sent = F.broadcast(_chosen(found)) if identities <= FEW else _chosen(found)
    silver = reduce(DataFrame.unionByName, [_silver(frame, sent) for frame in ranked])
    weeks, clustered = _pieces(found)
    if identities and (known is not None or not unit.dated):  # a week may hold nothing but duplicates
        weeks = weeks_of([silver])
    return Looked(accounts, silver, _refused(found, len(readings)), weeks, clustered)


def _ranked(frame: DataFrame, index: int, unit: Unit) -> DataFrame:
    """Add ``_rank``: lower is earlier; equal for no two records of one identity, but for one in 2⁴³."""
    times = sorted({known.ingested_at for arrival in unit.arrivals for known in arrival.content()})
    order = F.lit(0)
    if len(times) > 1:
        order = F.array_position(F.array(*map(F.lit, times)), F.col("ingested_at")).cast("long")
    place = F.xxhash64("_file", "_position").bitwiseAND(F.lit(_HASHED))
    rank = F.shiftleft(order.cast("long"), 49).bitwiseOR(F.shiftleft(place, 6)).bitwiseOR(F.lit(index).cast("long"))
    return frame.withColumn("_rank", rank)


def _found(frames: Sequence[DataFrame], known: DataFrame | None, tasks: int) -> DataFrame:
    """Identities that repeat, refused records and counts, as told in ``repeats.schema``."""
    kinds = [frame.schema["_record"].dataType for frame in frames]
    good = F.col("_rules") == ""
    ordinary = reduce(Column.__and__, [F.col(name) == "" for name in _TOLD])
    piece = F.spark_partition_id().cast("long") * _WEEKS + F.unix_date("week_start")
    each = reduce(
        DataFrame.unionByName,
        [
            frame.select(
                *_KEY,
                "_rank",
                F.when(~ordinary, F.concat_ws("\n", *_TOLD)).alias("_said"),
                filled(frame, "silver/events").alias("_filled"),
                F.when(good, piece).alias("_piece"),
                F.when(~good, _whole(kinds, index)).alias("_refused"),
            )
            for index, frame in enumerate(frames)
        ],
    )
    if known is not None:
        stored = known.select(*_halves("event_id"), F.lit(KNOWN).cast("long").alias("_rank"))
        each = each.unionByName(stored, allowMissingColumns=True)
    result = schema()
    spread = each.repartition(max(tasks, _parallel(each)), "_low")  # and then as text, which Spark cannot compile
    return spread.withColumn("_refused", F.to_json("_refused")).mapInArrow(settle(result.names), result)


def _parallel(frame: DataFrame) -> int:
    return frame.sparkSession.sparkContext.defaultParallelism


def _halves(name: str) -> list[Column]:
    """The two longs that ``fates.identifier`` was made of."""
    digits = F.hex(F.unbase64(F.concat(name, F.lit("=="))))
    return [
        F.conv(F.substring(digits, start, 16), 16, -10).cast("long").alias(half)
        for start, half in zip((1, 17), _KEY, strict=True)
    ]


_ENTRY = ("source", "_input", "_file", "_position", "_rules", "ingest_id")


def _whole(kinds: Sequence[DataType], index: int) -> Column:
    """A refused record of one input, with its raw columns as a struct."""
    records = [
        (F.col("_record") if of == index else F.lit(None)).cast(kind).alias(f"record_{of}")
        for of, kind in enumerate(kinds)
    ]
    return F.struct(*_ENTRY, *records)


def _refused(found: DataFrame, inputs: int) -> DataFrame:
    """Rows of silver/quarantine."""
    fields = ", ".join(f"{name} string" for name in (*_ENTRY, *(f"record_{index}" for index in range(inputs))))
    entry = found.where(F.col("_kind") == REFUSED).select(F.from_json("_refused", fields).alias("_of")).select("_of.*")
    record = F.coalesce(*(f"record_{index}" for index in range(inputs)))
    return quarantined(entry.withColumn("_record", record))


def _accounts(unit: Unit, read: Mapping[str, int], found: DataFrame) -> list[Account]:
    """Of each input; duplicates still count as silver."""
    accounts = [Account(reading, read[reading.input]) for reading in unit.readings]
    groups = found.where(F.col("_kind") == COUNTED).groupBy("_input", "_said", "_filled").agg(F.sum("_times"))
    for place, said, mask, records in groups.collect():  # one row per kind of record
        told = dict(zip(_TOLD, (said or "\n\n").split("\n"), strict=True))
        accounts[place].add(QUARANTINE if told["_rules"] else SILVER, records, told, mask)
    return accounts


def _count_duplicates(accounts: Sequence[Account], found: DataFrame) -> int:
    """Take them from what goes to silver; returns how many identities repeat."""
    won = (F.col("_known") == 0) & (F.col("_winner").bitwiseAND(F.lit(INPUTS - 1)) == F.col("_input"))
    lost = F.sum(F.col("_times") - won.cast("long"))
    rows = found.where(F.col("_kind") == REPEATED).groupBy("_input").agg(lost, F.count("*")).collect()
    for place, records, _ in rows:
        accounts[place].fates[DUPLICATE] += records
        accounts[place].fates[SILVER] -= records
    return sum(row[2] for row in rows)


def _chosen(found: DataFrame) -> DataFrame:
    """Of each identity that repeats the rank that goes to silver, none if it is known.

    Its columns have names of their own: a persisted table that shares some with what it is joined to is made again.
    """
    winner = F.when(F.col("_known") == 0, F.col("_winner")).otherwise(KNOWN).alias("_chosen")
    repeats = found.where(F.col("_kind") == REPEATED)
    return repeats.select(F.col("_low").alias("_chosen_low"), F.col("_high").alias("_chosen_high"), winner).distinct()


def _pieces(found: DataFrame) -> tuple[list[date], bool]:
    """Weeks of good records, and whether the tasks that read them hold so few weeks each that none is cut small."""
    pieces = found.where("_piece IS NOT NULL").select("_piece").distinct()
    week = F.date_from_unix_date((F.col("_piece") % _WEEKS).cast("int"))
    task = F.floor(F.col("_piece") / _WEEKS)
    row = pieces.agg(F.collect_set(week), F.count_distinct(task), F.count("*")).collect()[0]
    weeks = sorted(row[0])
    return weeks, row[2] <= _FILES_A_WEEK * max(len(weeks), row[1])


def _silver(frame: DataFrame, chosen: DataFrame | None) -> DataFrame:
    good = frame.where(F.col("_rules") == "")
    if chosen is not None:
        same = (F.col("_low") == F.col("_chosen_low")) & (F.col("_high") == F.col("_chosen_high"))
        good = good.join(chosen, same, "left").where(F.col("_chosen").isNull() | (F.col("_chosen") == F.col("_rank")))
    return good.withColumn("event_id", identifier(*map(F.col, _KEY))).select(*contract("silver/events").names())
