"""Looks once at every record of a log of events: counts its fate, keeps what is refused, finds what is there twice.

One pass over the log with one shuffle of a few numbers a record. What then goes to silver is known by the few
identities that repeat, so that writing it is a pass without a sort.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from shelfcast.errors import ConfigError
from shelfcast.ingest.accounts import Account
from shelfcast.ingest.canonical import IMPUTED, Reading
from shelfcast.ingest.clean import Unit
from shelfcast.ingest.fates import DUPLICATE, FEW, QUARANTINE, SILVER, identifier
from shelfcast.ingest.publish import quarantined, weeks_of
from shelfcast.lake.tables import contract

_KEY = ["_low", "_high"]
_INPUTS = 64
_FILES_A_WEEK = 4
_WEEKS = 1 << 22  # more than days from 1970 to the last date there is
_EPOCH = date(1970, 1, 1).toordinal()
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
    if len(readings) > _INPUTS:
        raise ConfigError(f"source {unit.source}: more than {_INPUTS} inputs fill {unit.table}; split the source")
    ranked = {name: _ranked(frame, index, unit) for index, (name, frame) in enumerate(judged.items())}
    counters = {reading.input: Counters(reading, ranked[reading.input]) for reading in readings}
    # A checkpoint, because what is merely persisted is computed again where it is joined to the records it came from.
    found = _found([counters[name].frame for name in ranked], known).localCheckpoint(True, StorageLevel.DISK_ONLY)
    accounts = [counters[reading.input].account(read[reading.input]) for reading in readings]
    repeated = found.where("_refused IS NULL")
    identities = _count_duplicates(accounts, repeated)
    chosen = repeated.select(*_KEY, F.when(~F.col("_known"), F.col("_winner")).otherwise(-1).alias("_winner"))
    sent = F.broadcast(chosen) if identities <= FEW else chosen
    silver = reduce(DataFrame.unionByName, [_silver(frame, sent if identities else None) for frame in ranked.values()])
    pieces = [piece for one in counters.values() for piece in one.pieces()]
    if identities and (known is not None or not unit.dated):  # a week may hold nothing but duplicates
        weeks = weeks_of([silver])
    else:
        weeks = sorted({week for _, week in pieces})
    clustered = len(pieces) <= _FILES_A_WEEK * max(len(weeks), len({task for task, _ in pieces}))
    return Looked(accounts, silver, _refused(found, len(readings)), weeks, clustered)


def _ranked(frame: DataFrame, index: int, unit: Unit) -> DataFrame:
    """Add ``_task`` and ``_rank``: lower is earlier; equal for no two records of one identity, but for one in 2⁴³."""
    times = sorted({known.ingested_at for arrival in unit.arrivals for known in arrival.content()})
    order = F.lit(0)
    if len(times) > 1:
        order = F.array_position(F.array(*map(F.lit, times)), F.col("ingested_at")).cast("long")
    place = F.xxhash64("_file", "_position").bitwiseAND(F.lit(_HASHED))
    rank = F.shiftleft(order.cast("long"), 49).bitwiseOR(F.shiftleft(place, 6)).bitwiseOR(F.lit(index).cast("long"))
    return frame.withColumns({"_rank": rank, "_task": F.spark_partition_id().cast("long")})


def _found(frames: Sequence[DataFrame], known: DataFrame | None) -> DataFrame:
    """Identities of good records that repeat, or are known, with the winner's rank; and each refused record whole."""
    kinds = [frame.schema["_record"].dataType for frame in frames]
    each = reduce(
        DataFrame.unionByName,
        [
            frame.select(*_KEY, F.when(F.col("_rules") != "", _whole(kinds, index)).alias("_refused"), "_rank")
            for index, frame in enumerate(frames)
        ],
    )
    of_input = [
        F.count_if(F.col("_rank").bitwiseAND(F.lit(_INPUTS - 1)) == index).alias(f"_of_{index}")
        for index in range(len(frames))
    ]
    grouped = each.groupBy(*_KEY, "_refused").agg(F.min("_rank").alias("_winner"), *of_input)
    if known is None:
        marked = grouped.withColumn("_known", F.lit(False))
    else:
        ids = known.select(F.col("event_id").alias("_id"), F.lit(True).alias("_there")).distinct()
        marked = (
            grouped.withColumn("_id", F.when(F.col("_refused").isNull(), identifier(*map(F.col, _KEY))))
            .join(ids, "_id", "left")
            .withColumn("_known", F.col("_there").isNotNull())
            .drop("_id", "_there")
        )
    several = reduce(Column.__add__, [F.col(f"_of_{index}") for index in range(len(frames))]) > 1
    return marked.where(F.col("_refused").isNotNull() | several | F.col("_known"))


def _whole(kinds: Sequence[DataType], index: int) -> Column:
    """A refused record of one input; its raw columns stay a struct, because Spark cannot compile the making of JSON."""
    records = [
        (F.col("_record") if of == index else F.lit(None)).cast(kind).alias(f"record_{of}")
        for of, kind in enumerate(kinds)
    ]
    return F.struct("source", "_input", "_file", "_position", "_rules", "ingest_id", *records)


def _refused(found: DataFrame, inputs: int) -> DataFrame:
    """Rows of silver/quarantine."""
    entry = found.where("_refused IS NOT NULL").select("_refused.*")
    record = F.coalesce(*(F.to_json(f"record_{index}") for index in range(inputs)))
    return quarantined(entry.withColumn("_record", record))


def _count_duplicates(accounts: Sequence[Account], repeated: DataFrame) -> int:
    """Take them from what goes to silver; returns how many identities repeat."""
    winner = F.when(~F.col("_known"), F.col("_winner").bitwiseAND(F.lit(_INPUTS - 1)))
    lost = [
        F.sum(F.col(f"_of_{index}") - F.when(winner == index, 1).otherwise(0)).alias(f"of_{index}")
        for index in range(len(accounts))
    ]
    row = repeated.agg(F.count("*").alias("identities"), *lost).collect()[0]
    for index, account in enumerate(accounts):
        account.fates[DUPLICATE] = row[f"of_{index}"] or 0
        account.fates[SILVER] -= account.fates[DUPLICATE]
    return int(row["identities"])


def _silver(frame: DataFrame, chosen: DataFrame | None) -> DataFrame:
    good = frame.where(F.col("_rules") == "")
    if chosen is not None:
        good = good.join(chosen, _KEY, "left").where(F.col("_winner").isNull() | (F.col("_winner") == F.col("_rank")))
    return good.withColumn("event_id", identifier(*map(F.col, _KEY))).select(*contract("silver/events").names())


class Counters:
    """Counts of one input, taken while its records pass by.

    Attributes:
        frame: the records; whoever reads them all fills the counts.
    """

    def __init__(self, reading: Reading, frame: DataFrame) -> None:
        self.reading = reading
        self.rules = list({**reading.cleaning.rules, **reading.given.rules})
        direct = [name for name in contract(reading.table).names() if name in reading.given.columns]
        self.unparsable = ["_corrupt", *direct]
        self.filled = direct
        good, times = F.col("_rules") == "", Observation()
        piece = F.col("_task") * _WEEKS + F.unix_date("week_start")
        tests = {
            "refused": ~good,
            **{f"rule {name}": F.find_in_set(F.lit(name), "_rules") > 0 for name in self.rules},
            **{f"imputed {name}": good & (F.find_in_set(F.lit(name), "_imputed") > 0) for name in IMPUTED},
            **{f"unparsable {name}": F.find_in_set(F.lit(name), "_unparsable") > 0 for name in self.unparsable},
            **{f"filled {name}": F.col(name).isNotNull() for name in self.filled},
        }
        self._counted = times
        self.frame = frame.observe(
            times,
            F.count("*").alias("records"),
            F.collect_set(F.when(good, piece)).alias("pieces"),
            *(F.count_if(test).alias(name) for name, test in tests.items()),
        )

    def pieces(self) -> list[tuple[int, date]]:
        """Task and week of each pair that has good records."""
        pairs = (divmod(piece, _WEEKS) for piece in self._counted.get["pieces"])
        return [(task, date.fromordinal(_EPOCH + days)) for task, days in pairs]

    def account(self, read: int) -> Account:
        """Duplicates still count as silver."""
        got = self._counted.get
        account = Account(self.reading, read)
        account.fates.update({SILVER: got["records"] - got["refused"], QUARANTINE: got["refused"]})
        for counter, kind, names in (
            (account.rules, "rule", self.rules),
            (account.imputed, "imputed", IMPUTED),
            (account.unparsable, "unparsable", self.unparsable),
        ):
            counter.update({name: got[f"{kind} {name}"] for name in names if got[f"{kind} {name}"]})
        account.filled = {name for name in self.filled if got[f"filled {name}"]}
        return account
