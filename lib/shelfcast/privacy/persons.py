"""Finds a person in a lake: by which ids tables know one, and which rows are about that person."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ConfigError
from shelfcast.ingest.canonical import Reading
from shelfcast.ingest.erased import id_expressions, user_expression
from shelfcast.ingest.identity import policies
from shelfcast.lake import overview
from shelfcast.lake.deleting import NAMED, ROW, Deletion
from shelfcast.lake.store import Lake
from shelfcast.lake.tables import contract
from shelfcast.settings import Settings

_QUARANTINE = "silver/quarantine"
_HEX_DIGITS = 32


def stored_forms(user: str, key: bytes) -> tuple[str, ...]:
    """What an id of the logs is in the tables: itself where it is kept, else its keyed hash."""
    return user, hmac.new(key, user.encode(), hashlib.sha256).hexdigest()[:_HEX_DIGITS]


@dataclass(frozen=True)
class Person:
    """One user in one lake.

    Attributes:
        lake: the lake.
        settings: the whole configuration: only a source's YAML tells which raw columns name persons.
        forms: the id, and what it may be in the tables.
    """

    lake: Lake
    settings: Settings
    forms: tuple[str, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Every value of ``user_id`` that stands for the person, in silver and gold."""
        found = set(self.forms)
        for table, readings in self.bronze.items():
            frame = self.lake.read(table)
            own = frame.where(_one_of(self.expressions(table), self.forms))
            for reading in readings:
                text = user_expression(reading, frame)
                if text is not None:
                    values = own.select(F.expr(text).cast("string").alias("id")).distinct().collect()
                    found |= {row["id"] for row in values if row["id"] is not None}
        return tuple(sorted(found))

    @cached_property
    def bronze(self) -> Mapping[str, list[Reading]]:
        """Every table of bronze → the inputs that read its records.

        Raises:
            ConfigError: if the configuration does not name an input that the lake has records of.
        """
        found: dict[str, list[Reading]] = {}
        for name, source in self.settings.sources.items():
            for input_name, given in source.inputs.items():
                week = self.settings.calendar.week_start
                reading = Reading(name, input_name, source, given, week, self.settings.cleaning)
                found.setdefault(reading.bronze, []).append(reading)
        stored = [name for name in overview.names(self.lake.uri) if name.startswith("bronze/")]
        for name in stored:
            if name not in found:
                raise ConfigError(
                    f"table {name} may hold records of the person, but the configuration does not name its source: "
                    "pass its YAML with --conf, so that the columns which name persons are known"
                )
        return {name: found[name] for name in stored}

    def columns(self, table: str) -> set[str]:
        """The columns of a table of bronze that hold ids of persons."""
        return {name for reading in self.bronze[table] for name in policies(self.lake.spark, reading)}

    def expressions(self, table: str) -> list[str]:
        """What in the records of a table of bronze names a person by an id."""
        readings, frame = self.bronze[table], self.lake.read(table)
        named = {name: policy for one in readings for name, policy in policies(self.lake.spark, one).items()}
        return id_expressions(readings, named, frame)

    def deletions(self) -> list[Deletion]:
        """What there is of the person, the raw records last: by them all else is found, should it be cut short."""
        spark = self.lake.spark
        named = spark.createDataFrame([(one,) for one in self.ids], "id string")
        found = [self._quarantined()] if self.lake.exists(_QUARANTINE) and self.bronze else []
        same = F.col(f"{ROW}.user_id") == F.col(f"{NAMED}.id")
        found += [Deletion(table, named, same) for table in overview.names(self.lake.uri) if _has_users(table)]
        for table in self.bronze:
            if texts := self.expressions(table):
                matches = [F.expr(text).cast("string") == F.col(f"{NAMED}.id") for text in texts]
                found.append(Deletion(table, named, reduce(Column.__or__, matches)))
        return found

    def raw_files(self) -> list[str]:
        """The files, by source and input, whose records name the person."""
        listed = (f"{row['source']}/{row['input']}: {row['file']}" for row in self._records("input").collect())
        return sorted(set(listed))

    def _quarantined(self) -> Deletion:
        same = [F.col(f"{ROW}.{name}") == F.col(f"{NAMED}.{name}") for name in ("source", "file", "position")]
        return Deletion(_QUARANTINE, self._records("position"), reduce(Column.__and__, same))

    def _records(self, by: str) -> DataFrame:
        """Where the person's raw records come from: source and file, and the input or the position in the file."""
        parts = []
        for table, readings in self.bronze.items():
            frame = self.lake.read(table)
            told = {"input": F.lit(readings[0].stored_as), "position": F.col("_position")}[by]
            place = (F.lit(readings[0].source).alias("source"), F.col("_file").alias("file"), told.alias(by))
            parts.append(frame.where(_one_of(self.expressions(table), self.ids)).select(*place).distinct())
        return reduce(DataFrame.unionByName, parts)


def _has_users(table: str) -> bool:
    return contract(table).personal and "user_id" in contract(table).names()


def _one_of(texts: Sequence[str], ids: Sequence[str]) -> Column:
    matches = [F.coalesce(F.expr(text).cast("string").isin(*ids), F.lit(False)) for text in texts]
    return reduce(Column.__or__, matches, F.lit(False))
