"""Accounts for every record: read = silver + quarantined + duplicates + superseded, per source and input."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError, SourceError
from shelfcast.ingest.canonical import Reading
from shelfcast.ingest.fates import FATES
from shelfcast.lake.tables import contract


@dataclass
class Account:
    """What became of the records of one input.

    Attributes:
        reading: the input.
        read: records read from bronze, counted on their own.
        fates: fate → records.
        rules: rule → records it refused; a record may be refused by several.
        imputed: column → accepted records whose missing value was filled in.
        unparsable: column → records whose value could not be parsed.
        filled: columns that hold a value in at least one record.
    """

    reading: Reading
    read: int
    fates: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    imputed: Counter[str] = field(default_factory=Counter)
    unparsable: Counter[str] = field(default_factory=Counter)
    filled: set[str] = field(default_factory=set)

    def add(self, fate: str, records: int, told: Mapping[str, str], mask: int) -> None:
        """Count records of one kind.

        Args:
            told: ``_rules``, ``_imputed`` and ``_unparsable``, each with commas.
            mask: from `filled`.
        """
        rules, imputed, unparsable = (_names(told[name]) for name in ("_rules", "_imputed", "_unparsable"))
        self.fates[fate] += records
        self.rules.update(dict.fromkeys(rules, records))
        self.unparsable.update(dict.fromkeys(unparsable, records))
        columns = contract(self.reading.table).names()
        self.filled |= {name for place, name in enumerate(columns) if mask >> place & 1}
        if not rules:
            self.imputed.update(dict.fromkeys(imputed, records))

    def check(self) -> None:
        """Check that the sum closes and that the source fits its files.

        Raises:
            ReconciliationError: if records were lost or multiplied.
            SourceError: if not one value of a column could be parsed, or every record was refused.
        """
        where = f"source {self.reading.source}, input {self.reading.input}"
        if self.read != sum(self.fates.values()):
            parts = " + ".join(f"{self.fates[fate]:,} {fate}" for fate in FATES)
            raise ReconciliationError(
                f"{where}: {self.read:,} records were read, but {parts} = {sum(self.fates.values()):,}; nothing was "
                "published; does a products or stores side hold two rows for one key and day?"
            )
        for name, records in self.unparsable.items():
            if name == "_corrupt" and records == self.read:
                raise SourceError(f"{where}: not one of {records:,} lines could be parsed; check format: and options:")
            if name != "_corrupt" and name not in self.filled and records > 0:
                kind = next(c.type for c in contract(self.reading.table).columns if c.name == name)
                raise SourceError(
                    f"{where}: {self.reading.key(f'columns.{name}')} = {self.reading.given.columns[name]!r} gives no "
                    f"{kind} in any of {records:,} records that hold something there; correct the expression"
                )

        if self.read == self.fates["quarantined"] > 0:
            reasons = ", ".join(f"{rule}: {records:,}" for rule, records in self.rules.most_common())
            raise SourceError(
                f"{where}: all {self.read:,} records were refused ({reasons}); correct the source's columns: or rules:"
            )

    def counts(self) -> dict[str, Any]:
        """As stored in ops/runs."""
        return {
            "source": self.reading.source,
            "input": self.reading.input,
            "table": self.reading.table,
            "read": self.read,
            **{fate: self.fates[fate] for fate in FATES},
            "rules": dict(sorted(self.rules.items())),
            "imputed": dict(sorted(self.imputed.items())),
        }


def tally(settled: DataFrame, readings: Sequence[Reading], read: dict[str, int]) -> list[Account]:
    """Count what became of the records of one table, in one pass.

    Args:
        settled: records with ``_input``, ``_fate``, ``_rules``, ``_imputed`` and ``_unparsable``.
        readings: the inputs that fill the table.
        read: input → records read.
    """
    accounts = {reading.input: Account(reading, read[reading.input]) for reading in readings}
    groups = settled.groupBy("_input", "_fate", "_rules", "_imputed", "_unparsable")
    mask = F.bit_or(filled(settled, readings[0].table))
    for row in groups.agg(F.count("*").alias("_records"), mask.alias("_mask")).collect():  # one row per kind of record
        accounts[row["_input"]].add(row["_fate"], row["_records"], row.asDict(), row["_mask"])
    return list(accounts.values())


def filled(frame: DataFrame, table: str) -> Column:
    """A bit for each of the table's columns that holds something."""
    places = [(place, name) for place, name in enumerate(contract(table).names()) if name in frame.columns]
    bits = [F.when(F.col(name).isNotNull(), 1 << place).otherwise(0) for place, name in places]
    return reduce(Column.bitwiseOR, bits).cast("long")


def _names(text: str) -> list[str]:
    return text.split(",") if text else []
