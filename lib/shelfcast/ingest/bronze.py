"""Writes what arrived to bronze: every column as read, identities transformed."""

from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import SourceError
from shelfcast.ingest.arrivals import Arrival
from shelfcast.ingest.canonical import check_columns
from shelfcast.ingest.files import RawFile, root
from shelfcast.ingest.identity import transform
from shelfcast.ingest.raw_schema import check_types
from shelfcast.ingest.read import SPARK_ERRORS, about_reading, read_files, unreadable
from shelfcast.lake.step import Step


def write_bronze(
    step: Step, arrival: Arrival, policies: Mapping[str, str], key: bytes, erased: Callable[[DataFrame], Column] | None
) -> None:
    """Read an arrival's files and write them as one slice; records of replaced files leave in the same commit.

    Args:
        policies: raw column that names a person → what becomes of it.
        erased: whether a record names somebody who was erased; None: nobody was.

    Raises:
        SourceError: if a file cannot be read, lacks a column the source names and cannot do without, holds another type
            than files before, or holds no record.
    """
    reading = arrival.reading
    salt = key if "hash" in policies.values() else b""
    frame = read_files(step.spark, arrival.new, reading.given, root(reading.source, reading.of), salt)
    raw = [name for name in frame.columns if not name.startswith("_")]
    stored = step.read(reading.bronze) if step.has(reading.bronze) else None
    before = [name for name in stored.columns if not name.startswith("_")] if stored is not None else []
    check_columns(step.spark, reading, raw, named(arrival.new), before)
    if lacking := sorted(set(before) - set(raw) - {name for name, policy in policies.items() if policy == "drop"}):
        step.say(f"{reading.bronze}: {named(arrival.new)} lack(s) {', '.join(lacking)}, which earlier files had")
    frame = transform(frame, policies, key).withColumns(
        {"_ingest_id": F.lit(arrival.ingest_id), "_ingested_at": F.lit(arrival.at)}
    )
    if stored is not None:
        check_types(frame.schema, stored.schema, named(arrival.new), reading.bronze)
    slices = {str(arrival.ingest_id)}
    try:
        if frame.isEmpty():
            raise SourceError(f"source {reading.source}, input {reading.input}: {named(arrival.new)} hold(s) no record")
        if erased is not None:
            named_erased = erased(frame)
            if left_out := frame.where(named_erased).count():
                step.say(f"{reading.bronze}: {left_out:,} record(s) of erased persons left out")
            frame = frame.where(~named_erased)
        if arrival.replaced and stored is not None:
            touched = {known.ingest_id for known in arrival.known if known.file in arrival.replaced}
            stays = stored.where(F.col("_ingest_id").isin(*touched) & ~F.col("_file").isin(*arrival.replaced))
            frame = frame.unionByName(stays, allowMissingColumns=True)
            slices |= touched
        step.replace(reading.bronze, frame, slices=sorted(slices))
    except SPARK_ERRORS as error:
        if not about_reading(error, arrival.new):
            raise
        raise unreadable(error, arrival.new) from error


def read_bronze(step: Step, arrival: Arrival, ids: tuple[str, ...]) -> DataFrame:
    """The records of some ingests of an input.

    Raises:
        SourceError: if no record ever had a column that the source names.
    """
    reading = arrival.reading
    frame = step.read(reading.bronze)
    check_columns(step.spark, reading, [name for name in frame.columns if not name.startswith("_")], reading.bronze)
    frame = frame.where(F.col("_ingest_id").isin(*(arrival.bronze_id(name) for name in ids)))
    if not arrival.derived:
        return frame
    suffix = F.substring("_ingest_id", len(f"{reading.source}.{reading.stored_as}.") + 1, 1 << 30)
    return frame.withColumn("_ingest_id", F.concat(F.lit(f"{reading.source}.{reading.input}."), suffix))


def named(files: tuple[RawFile, ...]) -> str:
    """Some files as text."""
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return ", ".join(file.uri for file in files[:3]) + more
