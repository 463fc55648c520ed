"""Accounts for every record: read = silver + quarantined + duplicates + superseded, per source and input."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame
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
    columns = [name for name in contract(readings[0].table).names() if name in settled.columns]
    filled = [F.count(F.col(name)).alias(name) for name in columns]
    groups = settled.groupBy("_input", "_fate", "_rules", "_imputed", "_unparsable")
    for row in groups.agg(F.count("*").alias("_records"), *filled).collect():  # one row per kind of record
        account, records = accounts[row["_input"]], row["_records"]
        account.fates[row["_fate"]] += records
        account.rules.update(dict.fromkeys(_names(row["_rules"]), records))
        account.unparsable.update(dict.fromkeys(_names(row["_unparsable"]), records))
        account.filled |= {name for name in columns if row[name] > 0}
        if not row["_rules"]:
            account.imputed.update(dict.fromkeys(_names(row["_imputed"]), records))
    return list(accounts.values())


def _names(text: str) -> list[str]:
    return text.split(",") if text else []
