"""Writes a generated world: the log week by week, its sides, the ledger of what was planted, and a configuration."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import yaml
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.errors import ConfigError
from shelfcast.generate import catalogue, events
from shelfcast.generate.world import World
from shelfcast.lake.paths import filesystem, normalise

FORMATS = ("parquet", "csv")
LEDGER = "ledger.json"
_EVENTS_A_FILE = 1_000_000
_RULES = {  # planted kind → the shipped rules that refuse it
    "future": ("impossible_time",),
    "corrupt": ("unparsable", "unknown_type"),
    "no_product": ("missing_key",),
    "absurd_quantity": ("absurd_quantity",),
    "non_positive": ("non_positive_quantity",),
    "unknown_type": ("unknown_type",),
    "bot": ("bot_like",),
    "hot_user": ("bot_like",),
}


@dataclass(frozen=True)
class Writing:
    """Attributes:
    spark: the session.
    world: what is asked for.
    out: folder or URI, absolute.
    format: of the events, parquet or csv; sides are Parquet.
    """

    spark: SparkSession
    world: World
    out: str
    format: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be planted: a Parquet file holds no broken line."""
        return tuple(kind for kind in events.ADDED if kind != "corrupt" or self.format == "csv")


def write(spark: SparkSession, world: World, out: str, format_: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Write the world below ``out`` and return its ledger.

    ``events/arrived=MONDAY/`` holds what arrived in a week, late records included; ``products``, ``promotions`` and
    ``stock`` the sides; ``truth/product_weeks`` what drove each product's demand; ``truth/defects`` every planted
    record with its receipt; ``ledger.json`` the counts that cleaning must find; ``source.yaml`` is complete for
    ``--conf``.

    Raises:
        ConfigError: if ``out`` holds something already, or the format is unknown.
    """
    if format_ not in FORMATS:
        raise ConfigError(f"generate: format is {format_}, it must be one of {', '.join(FORMATS)}")
    writing = Writing(spark, world, normalise(out), format_)
    _require_empty(writing.out)
    weeks = catalogue.product_weeks(spark, world)
    weeks.repartition(_files(world.products * world.weeks)).write.parquet(f"{writing.out}/truth/product_weeks")
    weeks = spark.read.parquet(f"{writing.out}/truth/product_weeks")
    sides = {
        "products": catalogue.catalogue(spark, world),
        "promotions": catalogue.promotions(weeks, world),
        "stock": catalogue.stock(weeks, world),
    }
    for name, frame in sides.items():
        frame.coalesce(_files(world.products)).write.parquet(f"{writing.out}/{name}")
        say(f"{name} written")
    _write_events(writing, weeks)
    say(f"events written, {world.events:,} good ones")
    ledger = _ledger(writing, weeks)
    for name, text in ((LEDGER, json.dumps(ledger, indent=1)), ("source.yaml", _source(writing))):
        _write_text(f"{writing.out}/{name}", text)
    return ledger


def _require_empty(out: str) -> None:
    files, inner = filesystem(out)
    info = files.get_file_info(inner)
    if info.type == fs.FileType.File or files.get_file_info(fs.FileSelector(inner, allow_not_found=True)):
        raise ConfigError(f"generate: {out} holds something already; name another folder with --out, or remove it")


def _files(rows: int) -> int:
    return 1 + rows // _EVENTS_A_FILE


def _write_events(writing: Writing, weeks: DataFrame) -> None:
    world = writing.world
    good = events.good(weeks, world)
    everything = (
        good.withColumn("defect", F.lit(""))
        .unionByName(events.added(good, world, writing.kinds))
        .unionByName(events.bots(writing.spark, world))
    )
    rows = world.events + world.hot_user
    salts = _files(int(1.5 * rows / world.weeks))
    monday = F.date_add(F.lit(world.start), F.col("arrived") * 7)
    spread = (
        everything.withColumn("arrived", monday)
        .withColumn("_salt", F.pmod(F.xxhash64("receipt"), F.lit(salts)))
        .repartition(world.weeks * salts, "arrived", "_salt")
        .sortWithinPartitions("arrived", "event_time", "receipt")
    )
    where = f"{writing.out}/events"
    if writing.format == "parquet":
        spread.select(*events.COLUMNS, "arrived").write.partitionBy("arrived").parquet(where)
        return
    line = F.concat_ws(",", *(F.coalesce(F.col(name).cast("string"), F.lit("")) for name in events.COLUMNS))
    torn = F.concat_ws(",", "event_time", "action", "receipt")
    value = F.when(F.col("defect") == "corrupt", torn).otherwise(line)
    spread.select(value.alias("value"), "arrived").write.partitionBy("arrived").text(where)


def _ledger(writing: Writing, weeks: DataFrame) -> dict[str, Any]:
    """What was planted, counted; every planted record is written to ``truth/defects``."""
    world = writing.world
    good = events.good(weeks, world)
    planted = [
        good.where(F.col("defect").isin(*events.ALTERED)),
        events.added(good, world, writing.kinds),
        events.bots(writing.spark, world),
    ]
    columns = ("defect", "receipt", "week", "arrived")
    where = f"{writing.out}/truth/defects"
    some = reduce(DataFrame.unionByName, [frame.select(*columns) for frame in planted])
    some.coalesce(_files(world.events // 50)).write.parquet(where)
    counted = writing.spark.read.parquet(where).groupBy("defect", "week", "arrived").count()
    rows = counted.orderBy("defect", "week", "arrived").collect()  # bounded by kinds × weeks × weeks late
    kinds: Counter[str] = Counter()
    for row in rows:
        kinds[row["defect"]] += row["count"]
    refused: Counter[str] = Counter()
    fine = {*events.ALTERED, "duplicate"} | (set() if world.hot_user_is_bot else {"hot_user"})
    for kind, number in kinds.items():
        if kind not in fine:
            refused.update(dict.fromkeys(_RULES[kind], number))
    extra = sum(number for kind, number in kinds.items() if kind not in events.ALTERED)
    return {
        "world": world.document(),
        "format": writing.format,
        "records": world.events + extra,
        "good": world.events + (0 if world.hot_user_is_bot else world.hot_user),
        "duplicates": kinds["duplicate"],
        "refused": dict(refused),
        "quarantined": sum(number for kind, number in kinds.items() if kind not in fine),
        "planted": dict(kinds),
        "by_week": [row.asDict() for row in rows],
    }


def _source(writing: Writing) -> str:
    """A configuration for --conf with this world as its only source."""
    inputs: dict[str, Any] = {}
    if writing.format == "csv":
        fields = ", ".join(f"{name} string" for name in events.COLUMNS)
        inputs = {"inputs": {"events": {"format": "csv", "fields": fields}}}
    document = {
        "sources": {"generated": {"extends": "generated", "root": writing.out, **inputs}},
        "calendar": {"week_start": "monday"},
    }
    return str(yaml.safe_dump(document, sort_keys=False))


def _write_text(uri: str, text: str) -> None:
    files, inner = filesystem(uri)
    with files.open_output_stream(inner) as out:
        out.write(text.encode())
