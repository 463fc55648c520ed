"""Reads raw files as they are: all columns, with the file and the position of every record."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import TimestampNTZType

from shelfcast.errors import SourceError
from shelfcast.ingest.files import RawFile
from shelfcast.ingest.lines import RFC_4180, read_csv, read_json
from shelfcast.ingest.names import storable
from shelfcast.ingest.raw_schema import conflict, footer
from shelfcast.lake.paths import is_local
from shelfcast.settings import Input

_FOLDER = re.compile(r"^[A-Za-z_][\w-]*=[^/]+$")
_THREADS = 16
_UNLIKE = "CANNOT_MERGE_SCHEMAS"
SPARK_ERRORS = (PySparkException, Py4JError)


def read_files(spark: SparkSession, files: Sequence[RawFile], given: Input, base: str, salt: bytes) -> DataFrame:
    """Raw columns, ``_file``, ``_position`` and ``_corrupt`` of some files of one input.

    Args:
        base: the source's root; folders below it named ``key=value`` become columns.
        salt: goes into the hash of a line.

    Raises:
        SourceError: naming the file, if one cannot be read, and the column, if its type differs between files.
    """
    reader = spark.read.option("__globPaths__", "false")
    if all(_in_folders(file.path) for file in files):
        reader = reader.option("basePath", base)
    uris = [file.uri for file in files]
    try:
        if given.format in ("parquet", "delta"):
            nanos = _nanoseconds(files)
            frame = reader.options(**given.options).option("mergeSchema", "true").parquet(*uris)
            return _columnar(frame, nanos, base)
        if given.options.get("multiLine", "false").lower() == "true":
            return _whole(reader.options(**given.options).format(given.format), uris, given, base, salt)
        text = reader.format("text").load(uris)
        encoding = given.options.get("encoding", "UTF-8")
        value = F.col("value") if encoding.upper() == "UTF-8" else F.decode(F.col("value").cast("binary"), encoding)
        text = text.withColumn("value", value).withColumn("_file", _relative(F.col("_metadata.file_path"), base))
        if given.format == "csv":
            return read_csv(text, given, files, salt)
        return read_json(text, given, sum(file.size for file in files), salt)
    except SPARK_ERRORS as error:
        if not about_reading(error, files):
            raise
        changed = conflict(files) if _UNLIKE in str(error) else None
        raise changed or unreadable(error, files) from error


def about_reading(error: Exception, files: Sequence[RawFile]) -> bool:
    """Whether an error of Spark is about a raw file, and not about what it was doing with it."""
    text = str(error)
    marks = ("FAILED_READ_FILE", "EOFException", "ZipException", "Unexpected end of", _UNLIKE)
    return any(mark in text for mark in marks) or any(file.uri in text for file in files)


def unreadable(error: Exception, files: Sequence[RawFile]) -> SourceError:
    """The error of a read as one clear message that names the file."""
    text = str(error)
    named = [file.uri for file in files if file.uri in text or quote(file.uri) in text]
    which = named[0] if named else ", ".join(file.uri for file in files[:3])
    reason = next((line.strip() for line in text.splitlines() if "Caused by" in line), text.splitlines()[0])[:300]
    return SourceError(f"file {which} cannot be read, it may be truncated or damaged; export it again ({reason})")


def _in_folders(path: str) -> bool:
    folders = path.split("/")[:-1]
    return bool(folders) and any(_FOLDER.match(folder) for folder in folders)


def _relative(uri: Column, base: str) -> Column:
    """The path below ``base`` from a file's percent-encoded URI."""
    plain = F.url_decode(F.replace(uri, F.lit("+"), F.lit("%2B")))
    local = F.regexp_replace(plain, r"^file:/+", "/") if is_local(base) else plain
    return F.when(local.startswith(f"{base}/"), F.substring(local, len(base) + 2, 1 << 30)).otherwise(local)


def _nanoseconds(files: Sequence[RawFile]) -> set[str]:
    """Columns that hold nanoseconds, which Spark reads as integers; reads every footer, so damage shows early.

    Raises:
        SourceError: naming the first file that is no whole Parquet file.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        schemas = list(pool.map(footer, files))
    return {
        field.name
        for schema in schemas
        for field in schema
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
    }


def _columnar(frame: DataFrame, nanos: set[str], base: str) -> DataFrame:
    cells = [
        _plain(F.col(f"`{field.name}`"), field.dataType, field.name in nanos).alias(stored)
        for field, stored in zip(frame.schema.fields, storable(frame.columns), strict=True)
    ]
    return frame.select(
        _relative(F.col("_metadata.file_path"), base).alias("_file"),
        F.col("_metadata.row_index").cast("string").alias("_position"),
        F.lit(None).cast("string").alias("_corrupt"),
        *cells,
    )


def _plain(cell: Column, kind: Any, nanoseconds: bool) -> Column:
    """Times as the lake keeps them: microseconds, and wall-clock times taken as UTC."""
    if nanoseconds and kind.typeName() == "long":
        return F.timestamp_micros(F.floor(cell / 1000).cast("long"))
    return cell.cast("timestamp") if isinstance(kind, TimestampNTZType) else cell


def _whole(reader: DataFrameReader, uris: list[str], given: Input, base: str, salt: bytes) -> DataFrame:
    """Records that span lines: no line to hash, so a position is the hash of the record's columns."""
    if given.format == "csv":
        reader = (
            reader.options(**RFC_4180 | given.options)
            .option("header", given.options.get("header", "true"))
            .option("inferSchema", "false")
        )
    else:
        reader = reader.option("primitivesAsString", "true")
    reader = reader.schema(given.fields) if given.fields else reader
    frame = reader.load(uris)
    names = storable(frame.columns)
    text = F.to_json(F.struct(*(F.col(f"`{name}`") for name in frame.columns)))
    digest = F.substring(F.sha2(F.concat(F.lit(salt), F.encode(text, "UTF-8")), 256), 1, 32)
    frame = frame.select(
        _relative(F.col("_metadata.file_path"), base).alias("_file"),
        digest.alias("_digest"),
        F.lit(None).cast("string").alias("_corrupt"),
        *(F.col(f"`{name}`").alias(stored) for name, stored in zip(frame.columns, names, strict=True)),
    )
    same = Window.partitionBy("_file", "_digest").orderBy("_digest")
    ordinal = F.row_number().over(same).cast("string")
    return frame.withColumn("_position", F.concat_ws("-", "_digest", ordinal)).drop("_digest")
