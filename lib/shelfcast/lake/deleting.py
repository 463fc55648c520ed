"""Deletes rows by what a frame names, so that neither the table's log nor Spark's tells whom they were about."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.lake.paths import table_uri
from shelfcast.lake.store import Lake

NOTED = "spark.databricks.delta.commitInfo.userMetadata"
ROW, NAMED = "row", "named"  # what a condition calls the table's rows and those of the frame


@dataclass(frozen=True)
class Deletion:
    """Rows of one table that are to go.

    Attributes:
        table: its name.
        named: a few rows that name them.
        condition: over columns of ``row`` (the table) and ``named``.
    """

    table: str
    named: DataFrame
    condition: Column

    def count(self, lake: Lake) -> int:
        """How many rows there are."""
        rows = lake.read(self.table).alias(ROW)
        return rows.join(F.broadcast(self.named.alias(NAMED)), self.condition, "left_semi").count()

    def run(self, lake: Lake, run_id: str) -> None:
        """Delete them in one commit, which rewrites only files that hold any."""
        with set_options(lake.spark, {NOTED: run_id}):
            table = DeltaTable.forPath(lake.spark, table_uri(lake.uri, self.table)).alias(ROW)
            table.merge(self.named.alias(NAMED), self.condition).whenMatchedDelete().execute()


@contextmanager
def set_options(spark: SparkSession, options: Mapping[str, str]) -> Iterator[None]:
    """Settings of a session for as long as this lasts."""
    before = {key: spark.conf.get(key, None) for key in options}
    for key, value in options.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, old in before.items():
            if old is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, old)
