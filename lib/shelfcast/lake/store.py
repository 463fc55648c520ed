"""The only module that reads and writes Delta tables through Spark."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import date

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from shelfcast.errors import ContractError, TableMissing
from shelfcast.lake.contract import Contract, same_type, spark_type
from shelfcast.lake.paths import normalise, table_uri
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.tables import contract

SliceValue = date | str
# Least and greatest values of a file's columns would let readers skip files; slices do that already, and finding them
# takes as long as all the rest of a write of texts. Rows are counted in any case.
_NO_STATISTICS = ("delta.dataSkippingNumIndexedCols", "0")

_WIDENS = {("int", "bigint"), ("int", "double"), ("float", "double"), ("date", "timestamp")}


class Lake:
    """Tables below one URI.

    Args:
        spark: a session with Delta's extensions, or what builds it when it is first needed.
        uri: a local folder or an object-store URI.
    """

    def __init__(self, spark: SparkSession | Callable[[], SparkSession], uri: str) -> None:
        self._spark = spark
        self.uri = normalise(uri)

    @property
    def spark(self) -> SparkSession:
        if not isinstance(self._spark, SparkSession):
            self._spark = self._spark()
        return self._spark

    def exists(self, table: str) -> bool:
        return Snapshot.exists(self.uri, table)

    def version(self, table: str) -> int:
        """The newest Delta version.

        Raises:
            TableMissing: if the table has not been written.
        """
        return Snapshot(self.uri, table).version

    def read(self, table: str, version: int | None = None) -> DataFrame:
        """A table, pinned at ``version`` if given.

        Columns that were declared after the table was written are there, and null.

        Raises:
            TableMissing: if the table has not been written.
        """
        if not self.exists(table):
            raise TableMissing(f"table {table} is not in the lake {self.uri}: run the step that writes it first")
        frame = self._stored(table, version)
        missing = [column for column in contract(table).columns if column.name not in frame.columns]
        if not missing:
            return frame
        return frame.withColumns({one.name: F.lit(None).cast(spark_type(one.type)) for one in missing})

    def _stored(self, table: str, version: int | None = None) -> DataFrame:
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(table_uri(self.uri, table))

    def replace(
        self, table: str, frame: DataFrame, *, slices: Sequence[SliceValue] | None, attempt: int, run_id: str
    ) -> int:
        """Replace exactly ``slices`` (the whole table if None) by ``frame`` in one commit.

        Rows outside ``slices`` make the write fail. A repeated attempt is skipped by Delta (``txnVersion``).

        Returns:
            the Delta version that holds the result.

        Raises:
            ContractError: if the frame does not fit the table's contract, naming column and both types.
        """
        promised = contract(table)
        fitted = promised.check_required(promised.conform(frame))
        names = sorted(_text(value) for value in slices) if slices is not None else ["*"]
        if slices is not None and not slices:
            raise ContractError(f"table {table}: no slice was named to be replaced")
        label = hashlib.sha256("|".join(names).encode()).hexdigest()[:16]
        writer = (
            fitted.write.format("delta")
            .mode("overwrite")
            .option("txnAppId", f"shelfcast/{table}/{label}")
            .option("txnVersion", attempt)
            .option("userMetadata", run_id)
        )
        if promised.slice is not None:
            writer = writer.partitionBy(promised.slice)
        if self.exists(table):
            stored = self._stored(table).schema
            if slices is None:
                if _shape(stored) != _shape(fitted.schema):  # nothing that was stored stays, nor need its columns
                    writer = writer.option("overwriteSchema", "true")
            else:
                if wider := check_stored(promised, table, stored, fitted.schema):
                    self._widen(promised, table, wider, run_id)
                writer = writer.option("replaceWhere", where(promised, table, slices))
                if promised.open or not set(promised.names()) <= set(stored.names):
                    writer = writer.option("mergeSchema", "true")
        else:
            writer = writer.option(*_NO_STATISTICS)
        try:
            writer.save(table_uri(self.uri, table))
        except PySparkException as error:
            raise _refusal(table, error) from error
        return self.version(table)

    def _widen(self, promised: Contract, table: str, wider: Sequence[StructField], run_id: str) -> None:
        """Write a table that an older version of shelfcast has written anew in today's types, in one commit."""
        frame = self._stored(table)
        frame = frame.withColumns({field.name: F.col(field.name).cast(field.dataType) for field in wider})
        writer = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer = writer.option("userMetadata", run_id)
        if promised.slice is not None:
            writer = writer.partitionBy(promised.slice)
        writer.save(table_uri(self.uri, table))


def check_stored(promised: Contract, table: str, stored: StructType, arriving: StructType) -> list[StructField]:
    """The arriving columns whose stored type is narrower: an older version of shelfcast wrote them.

    Raises:
        ContractError: naming the column, both types and what to do, where the types do not go together, or where the
            stored rows lack a column that is required now.
    """
    wider = []
    for field in arriving:
        before = stored[field.name].dataType if field.name in stored.names else None
        if before is None and field.name in promised.required():
            raise ContractError(f"table {table}: column {field.name} is required but not stored; {_way_out(table)}")
        if before is None or same_type(before, field.dataType):
            continue
        kinds = before.simpleString(), field.dataType.simpleString()
        if promised.open or kinds not in _WIDENS:
            said = f"column {field.name} is stored as {kinds[0]} but arrives as {kinds[1]}"
            raise ContractError(f"table {table}: {said}; {_way_out(table)}")
        wider.append(field)
    return wider


def _way_out(table: str) -> str:
    room = table.partition("/")[0]
    if room == "bronze":
        return "give the new records an input of their own in the source's YAML"
    away = {"silver": "the lake's folder silver", "gold": "the lake's folders gold and ops/published"}
    return (
        f"an older version of shelfcast wrote the table: move {away.get(room, f'the table {table}')} away "
        "and run again with --force"
    )


def _shape(schema: StructType) -> list[tuple[str, str]]:
    return [(field.name, field.dataType.simpleString()) for field in schema]


def _refusal(table: str, error: PySparkException) -> Exception:
    """A broken promise as a ContractError with Spark's own first line; anything else as it is."""
    line = str(error).splitlines()[0]
    if "USER_RAISED_EXCEPTION" in line or "DELTA_REPLACE_WHERE_MISMATCH" in line:
        said = line.removeprefix("[USER_RAISED_EXCEPTION] ").partition(" SQLSTATE")[0]
        return ContractError(said if table in said else f"table {table}: {said}")
    return error


def _text(value: SliceValue) -> str:
    return value.isoformat() if isinstance(value, date) else value


def _literal(value: SliceValue) -> str:
    if isinstance(value, date):
        return f"DATE'{value.isoformat()}'"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def where(promised: Contract, table: str, slices: Sequence[SliceValue]) -> str:
    """The rows of slices as an SQL condition."""
    if promised.slice is None:
        raise ContractError(f"table {table} has no slices; replace it whole")
    return f"{promised.slice} IN ({', '.join(_literal(value) for value in sorted(set(slices), key=_text))})"
