"""Reads logs of lines (CSV, JSON lines): every line keeps its position, and a broken one only its hash."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pyarrow import input_stream
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from shelfcast.errors import SourceError
from shelfcast.ingest.files import RawFile
from shelfcast.ingest.names import as_ddl, ddl_fields, storable
from shelfcast.lake.paths import filesystem
from shelfcast.settings import Input

_HEAD = 1 << 20  # bytes of a file that its header must fit in
_SAMPLED = 1 << 30  # bytes of JSON that are searched for keys; of more, as large a sample
_MOST_KEYS = 2000
_BROKEN = "_broken"
RFC_4180 = {"escape": '"'}  # a quote within quotes is written twice, as nearly everybody does; Spark's default is \\
_OWN_OPTIONS = {"header", "encoding", "multiLine"}


def read_csv(text: DataFrame, given: Input, files: Sequence[RawFile], salt: bytes) -> DataFrame:
    """Raw columns of CSV lines, strings unless ``fields`` types them.

    Files may differ in their headers; each is read by its own, and columns are matched by name.

    Args:
        text: ``value``, a line, and ``_file``.
        salt: goes into the hash of a line, so that a line cannot be guessed from its position.
    """
    headed = given.options.get("header", "false" if given.fields else "true").lower() == "true"
    if not headed:
        declared = ddl_fields(given.fields or "")
        if not declared:
            raise SourceError("a CSV without a header needs fields: with its column names, e.g. fields: user, item")
        return _parse_csv(text, declared, given, salt)
    types = dict(ddl_fields(given.fields or ""))
    groups = defaultdict(list)
    for file in files:
        groups[header(file, given)].append(file.path)
    frames = []
    for line, paths in groups.items():
        declared = [(name, types.get(name, "string")) for name in columns_of(line, given)]
        mine = text.where(F.col("_file").isin(paths)) if len(groups) > 1 else text
        mine = mine.where(F.rtrim("value") != line.rstrip())
        frames.append(_parse_csv(mine, declared, given, salt))
    result = frames[0]
    for frame in frames[1:]:
        result = result.unionByName(frame, allowMissingColumns=True)
    return result


def header(file: RawFile, given: Input) -> str:
    """The first line of a file, decompressed.

    Raises:
        SourceError: if the file cannot be read that far.
    """
    files, inner = filesystem(file.uri)
    try:
        with files.open_input_file(inner) as raw, input_stream(raw, compression=_compression(file.uri)) as opened:
            head = opened.read(_HEAD)
    except (OSError, ValueError) as error:
        raise SourceError(f"file {file.uri} cannot be read: {error}; it may be truncated, export it again") from error
    lines = head.decode(given.options.get("encoding", "UTF-8"), errors="replace").splitlines()
    # Lines come from Spark without the mark of a byte order.
    return next((line for line in lines if line.strip()), "").removeprefix("\ufeff")


def columns_of(line: str, given: Input) -> list[str]:
    """Column names in a header line, as the lake stores them."""
    separator = given.options.get("sep", given.options.get("delimiter", ",")).replace("\\t", "\t")
    quote = given.options.get("quote", '"')
    cells = next(csv.reader(io.StringIO(line), delimiter=separator[:1], quotechar=quote[:1] or '"'), [])
    return storable(cells)


def _compression(uri: str) -> str | None:
    suffixes = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
    return next((codec for suffix, codec in suffixes.items() if uri.lower().endswith(suffix)), None)


def _parse_csv(text: DataFrame, declared: list[tuple[str, str]], given: Input, salt: bytes) -> DataFrame:
    parsed = F.from_csv("value", as_ddl([*declared, (_BROKEN, "string")]), RFC_4180 | _options(given))
    return _parsed(text, parsed, {name: name for name, _ in declared}, salt)


def _options(given: Input) -> dict[str, str]:
    own = {key: value for key, value in given.options.items() if key not in _OWN_OPTIONS}
    return own | {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _BROKEN}


def read_json(text: DataFrame, given: Input, size: int, salt: bytes) -> DataFrame:
    """Raw columns of JSON lines: the top-level keys, as text unless ``fields`` declares them.

    Nested values are kept as JSON text.

    Raises:
        SourceError: if no line is a JSON object.
    """
    declared = ddl_fields(given.fields) if given.fields else [(key, "string") for key in _keys(text, size)]
    names = [name for name, _ in declared]
    parsed = F.from_json("value", as_ddl([*declared, (_BROKEN, "string")]), _options(given))
    return _parsed(text, parsed, dict(zip(names, storable(names), strict=True)), salt)


def _keys(text: DataFrame, size: int) -> list[str]:
    sample = text if size <= _SAMPLED else text.sample(fraction=_SAMPLED / size, seed=0)
    found = sample.select(F.explode(F.json_object_keys("value")).alias("key")).distinct().limit(_MOST_KEYS + 1)
    keys = sorted(row["key"] for row in found.collect())
    if not keys:
        raise SourceError("not a single line is a JSON object; check format: in the source")
    if len(keys) > _MOST_KEYS:
        raise SourceError(f"more than {_MOST_KEYS} different keys; declare those you need with fields:")
    return keys


def _parsed(text: DataFrame, parsed: Column, names: Mapping[str, str], salt: bytes) -> DataFrame:
    """Raw columns, ``_file``, ``_position`` and ``_corrupt``; a broken line leaves no other trace.

    Args:
        names: field of ``parsed`` → column.
    """
    folders = [name for name in text.columns if name not in ("value", "_file")]
    cell = F.col("_cells")
    broken = cell.isNull() | cell[_BROKEN].isNotNull()
    digest = F.substring(F.sha2(F.concat(F.lit(salt), F.encode("value", "UTF-8")), 256), 1, 32)
    mark = F.concat(F.lit("hash "), F.col("_digest"), F.lit(", length "), F.length("value").cast("string"))
    same = Window.partitionBy("_file", "_digest").orderBy("_digest")
    return (
        text.where(F.trim("value") != "")
        .select("_file", *folders, "value", parsed.alias("_cells"), digest.alias("_digest"))
        .select(
            "_file",
            *folders,
            "_digest",
            F.when(broken, mark).alias("_corrupt"),
            *(F.when(~broken, cell[field]).alias(name) for field, name in names.items()),
        )
        .withColumn("_ordinal", F.row_number().over(same))
        .withColumn("_position", F.concat_ws("-", "_digest", F.col("_ordinal").cast("string")))
        .drop("_digest", "_ordinal")
    )
