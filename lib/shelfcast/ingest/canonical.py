"""Turns raw records of one input into canonical ones: the columns of the table it fills, in the lake's types."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.errors import ConfigError
from shelfcast.ingest.expressions import require_columns
from shelfcast.ingest.lookups import KEYS, Lookup, join_lookup
from shelfcast.lake.contract import Contract
from shelfcast.lake.expressions import Name, references
from shelfcast.lake.tables import contract
from shelfcast.settings import Cleaning, Input, Source

ARRIVAL = ("source", "ingest_id", "ingested_at")
_DERIVED = {"event_id", "week_start", "event_date", "known_from", *ARRIVAL}
_DATED = {"redemptions": "redeemed_on", "reviews": "reviewed_on"}
IMPUTED = {"quantity": 1.0, "store_id": "*"}
_NEVER_GUESSED = ("event_type", "quantity")  # where earlier files said it, a default would be wrong
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_THURSDAY = 3


@dataclass(frozen=True)
class Reading:
    """One input of one source, as it is to be read.

    Attributes:
        source, input: their names.
        of, given: their configuration.
        week_start: name of the weekday that weeks begin on.
        cleaning: what decides over refusal.
    """

    source: str
    input: str
    of: Source
    given: Input
    week_start: str
    cleaning: Cleaning

    @property
    def table(self) -> str:
        return f"silver/{self.given.fills}"

    @property
    def bronze(self) -> str:
        return f"bronze/{self.source}/{self.stored_as}"

    @property
    def stored_as(self) -> str:
        """The input whose files hold the records."""
        return self.given.records_of or self.input

    def key(self, field: str) -> str:
        return f"sources.{self.source}.inputs.{self.input}.{field}"

    def expressions(self) -> dict[str, str]:
        """Every SQL expression by its key in the configuration, those over raw columns included."""
        given = self.given
        named = {self.key(f"columns.{name}"): text for name, text in given.columns.items()}
        single = {"where": given.where, "sequence_by": given.sequence_by, "known_from": given.known_from}
        named |= {self.key(field): text for field, text in single.items() if text is not None}
        named |= {self.key(f"identity[{index}]"): text for index, text in enumerate(given.identity)}
        named |= {self.key(f"rules.{name}"): rule.when for name, rule in given.rules.items() if rule is not None}
        return named


def check_columns(
    spark: SparkSession, reading: Reading, have: Iterable[str], files: str, before: Iterable[str] = ()
) -> None:
    """Check that what the source's YAML names is in the files and in the table it fills.

    Args:
        before: columns of files read earlier: where these have one that a canonical column can do without, later
            files may lack it.

    Raises:
        ConfigError: for an unknown canonical column or an expression that is none.
        SourceError: for a raw column that the files lack.
    """
    promised = contract(reading.table)
    allowed = [name for name in promised.names() if name not in {"event_id", "week_start", *ARRIVAL}]
    for name in reading.given.columns:
        if name not in allowed:
            raise ConfigError(f"{reading.key('columns')}: {reading.table} has no column {name}; it has {allowed}")
    columns, known = list(have), list(before)
    needed = {reading.key(f"columns.{name}") for name in (*promised.required(), *_NEVER_GUESSED)}
    for key, text in reading.expressions().items():
        found = references(spark, text, key)
        plain = key.startswith((reading.key("columns."), reading.key("where"))) and not looks_up(found)
        raw = {n[0] for n in found if n[0] != "_time_zone"} if plain else {n[1] for n in found if n[0] == "raw"}
        spared = known if key.startswith(reading.key("columns.")) and key not in needed else []
        require_columns(sorted(raw), [*columns, *spared], key, files)


def canonical(bronze: DataFrame, reading: Reading, lookup: Lookup) -> DataFrame:
    """Canonical columns, and beside them ``raw`` (struct), ``_unparsable``, ``_missing`` and ``_imputed``.

    The last three are names of columns with commas between them: arrays would have to be filtered for every
    record, which Spark does not compile.

    Args:
        bronze: raw records with the lake's own columns.
        lookup: name → silver table of products, stores or campaigns, or None.
    """
    spark = bronze.sparkSession
    promised = contract(reading.table)
    own = [name for name in bronze.columns if not name.startswith("_")]
    zone = F.lit(reading.of.time_zone)
    frame = bronze.withColumn("_time_zone", zone)
    found = {name: references(spark, text, name) for name, text in reading.given.columns.items()}
    direct = {name: text for name, text in reading.given.columns.items() if not looks_up(found[name])}
    late = {name: text for name, text in reading.given.columns.items() if name not in direct}
    unparsable = [
        F.when(F.col(f"`_c_{name}`").isNull() & _present(found[name], own), F.lit(name))
        for name in direct
        if not _is_text(promised, name) and any(part[0] != "_time_zone" for part in found[name])
    ]
    frame = frame.select(
        F.struct(*(F.col(f"`{name}`") for name in own)).alias("raw"),
        *(F.col(name) for name in ("_file", "_position", "_corrupt", "_time_zone")),
        *(F.col(f"`{name}`") for name in own),
        *(_typed(F.expr(text), promised, name).alias(f"_c_{name}") for name, text in direct.items()),
        F.col("_ingest_id").alias("ingest_id"),
        F.col("_ingested_at").alias("ingested_at"),
    )
    broken = F.when(F.col("_corrupt").isNotNull(), F.lit("_corrupt"))
    frame = frame.select(
        "raw",
        "_file",
        "_position",
        "_corrupt",
        "_time_zone",
        "ingest_id",
        "ingested_at",
        F.lit(reading.source).alias("source"),
        F.lit(reading.input).alias("_input"),
        F.concat_ws(",", broken, *unparsable).alias("_unparsable"),
        *(F.col(f"`_c_{name}`").alias(name) for name in direct),
        *(
            F.lit(None).cast(column.type).alias(column.name)
            for column in promised.columns
            if column.name not in direct and column.name not in _DERIVED
        ),
    )
    frame = _complete(frame, reading, direct, late, lookup)
    return frame.withColumn("_missing", _missing(promised))


def _complete(
    frame: DataFrame, reading: Reading, direct: Mapping[str, str], late: Mapping[str, str], lookup: Lookup
) -> DataFrame:
    """Imputations, local dates, looked-up columns and the day from which a plan is known."""
    promised = contract(reading.table)
    names = set(promised.names())
    events = reading.given.fills == "events"
    imputed = [
        name for name in IMPUTED if events or (name == "store_id" and reading.given.fills in ("promotions", "stock"))
    ]
    imputed = [name for name in imputed if name in names]
    missing = [
        F.when(F.col(name).isNull() & (F.find_in_set(F.lit(name), "_unparsable") == 0), F.lit(name)) for name in imputed
    ]
    frame = frame.withColumn("_imputed", F.concat_ws(",", *missing))
    for name in imputed:
        frame = frame.withColumn(name, F.coalesce(name, F.lit(IMPUTED[name])))
    if events and reading.of.currency is not None:
        frame = frame.withColumn("currency", F.coalesce("currency", F.lit(reading.of.currency)))
    wanted = _lookups(frame.sparkSession, reading, late)
    if events:
        stores = lookup("stores")
        own_zones = "stores" in wanted or stores is not None
        if own_zones:
            fields = {*wanted.get("stores", ()), "time_zone"}
            frame = join_lookup(frame, stores, "stores", reading.source, None, fields)
            frame = frame.withColumn("_time_zone", F.coalesce("stores.time_zone", "_time_zone"))
        if "event_date" not in direct:
            local = F.from_utc_timestamp("event_time", F.col("_time_zone"))  # as slow as all the rest together
            utc = reading.of.time_zone == "UTC" and not own_zones
            in_utc = F.date_from_unix_date(F.floor(F.unix_seconds("event_time") / 86_400).cast("int"))
            frame = frame.withColumn("event_date", in_utc if utc else F.to_date(local))
        frame = frame.withColumn("week_start", week_start("event_date", reading.week_start))
    day = next(
        (
            F.col(name)
            for name in ("event_date", *_DATED.values(), "valid_from")
            if name in direct or (events and name == "event_date")
        ),
        None,
    )
    for name in sorted(wanted.keys() - {"stores"} if events else wanted):
        held_on = day if name != "campaigns" else None
        frame = join_lookup(frame, lookup(name), name, reading.source, held_on, wanted[name])
    for name, text in late.items():
        frame = frame.withColumn(name, _typed(F.expr(text), promised, name))
    if "known_from" in names and "known_from" not in reading.given.columns:
        default = _DATED.get(reading.given.fills, "valid_from")
        frame = frame.withColumn("known_from", F.expr(reading.given.known_from or default).cast("date"))
    return frame


def week_start(day: str, first: str) -> Column:
    """The first day of the week that a date lies in, weeks beginning on the weekday ``first``."""
    since_monday = F.unix_date(day) + (_THURSDAY - _WEEKDAYS.index(first))  # 1970-01-01 was one; no calendar is asked
    return F.date_sub(F.col(day), F.pmod(since_monday, F.lit(7)))


def _lookups(spark: SparkSession, reading: Reading, late: Mapping[str, str]) -> dict[str, set[str]]:
    """Lookups that any expression over canonical columns uses, each with its columns that are named."""
    given = reading.given
    rules = {**reading.cleaning.rules, **given.rules}
    fitted = reading.cleaning.fitted_bounds
    texts = [*late.values(), given.known_from, given.sequence_by, *given.identity]
    texts += [rule.when for rule in rules.values() if rule is not None]
    texts += [fitted.per] if fitted is not None and given.fills == "events" else []
    found: dict[str, set[str]] = {}
    for text in texts:
        for name in references(spark, text, reading.key("rules")) if text else ():
            if len(name) > 1 and name[0] in KEYS:
                found.setdefault(name[0], set()).add(name[1])
    return found


def looks_up(names: Iterable[Name]) -> bool:
    """Whether any of these is a column of a lookup."""
    return any(len(name) > 1 and name[0] in KEYS for name in names)


def _is_text(promised: Contract, name: str) -> bool:
    return promised.schema()[name].dataType.typeName() == "string"


def _typed(value: Column, promised: Contract, name: str) -> Column:
    """The value in the contract's type; blank text and what is no finite number become null."""
    kind = promised.schema()[name].dataType
    cast = value.cast(kind)
    if kind.typeName() == "string":
        return F.nullif(F.trim(cast), F.lit(""))
    # Infinity is the greatest number but for NaN, so that one comparison finds both.
    return F.when(F.abs(cast) < F.lit(math.inf), cast) if kind.typeName() == "double" else cast


def _present(names: Iterable[Name], own: Iterable[str]) -> Column:
    """Whether every raw column of an expression holds something."""
    known = {name.lower(): name for name in own}
    cells = [F.col(f"`{known[name[0].lower()]}`") for name in sorted(names) if name[0].lower() in known]
    filled = [F.coalesce(F.trim(cell.cast("string")) != "", F.lit(False)) for cell in cells]
    return reduce(lambda left, right: left & right, filled, F.lit(True))


def _missing(promised: Contract) -> Column:
    """Names of required columns that are null; a broken line has none, and an event's type has a rule of its own."""
    own = {"event_id", "event_type", "event_date", "week_start", *ARRIVAL}
    validity = {"valid_from", "valid_to", "known_from"}
    names = [name for name in promised.required() if name not in own | validity | set(IMPUTED)]
    if not promised.key and "product_id" in promised.names():
        names.append("product_id")
    whole = F.col("_corrupt").isNull()
    marks = [F.when(F.col(name).isNull() & whole, F.lit(name)) for name in dict.fromkeys(names)]
    return F.concat_ws(",", *marks)
