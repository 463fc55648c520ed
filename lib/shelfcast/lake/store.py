"""The only module that reads and writes Delta tables through Spark."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import date

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructField, StructType

from shelfcast.errors import ContractError, TableMissing
from shelfcast.lake.contract import Contract
from shelfcast.lake.paths import normalise, table_uri
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.tables import contract

SliceValue = date | str
# Least and greatest values of a file's columns would let readers skip files; slices do that already, and finding them
# takes as long as all the rest of a write of texts. Rows are counted in any case.
_NO_STATISTICS = ("delta.dataSkippingNumIndexedCols", "0")


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

        Raises:
            TableMissing: if the table has not been written.
        """
        if not self.exists(table):
            raise TableMissing(f"table {table} is not in the lake {self.uri}: run the step that writes it first")
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
            self._check_stored(table, fitted)
            if slices is not None:
                writer = writer.option("replaceWhere", _where(promised, table, slices))
            if promised.open or self._lacks(table, promised.names()):
                writer = writer.option("mergeSchema", "true")
        else:
            writer = writer.option(*_NO_STATISTICS)
        try:
            writer.save(table_uri(self.uri, table))
        except PySparkException as error:
            raise _refusal(table, error) from error
        return self.version(table)

    def _lacks(self, table: str, names: Sequence[str]) -> bool:
        """Whether the stored table is older than a declared column, which is then added to it, null in old rows."""
        return not set(names) <= set(self.read(table).columns)

    def _check_stored(self, table: str, frame: DataFrame) -> None:
        """Refuse a frame whose column has another type than the stored table's."""
        stored = {field.name: field for field in self.read(table).schema.fields}
        for field in frame.schema.fields:
            before = stored.get(field.name)
            if before is not None and _loose(before) != _loose(field):
                raise ContractError(
                    f"table {table}: column {field.name} is stored as {before.dataType.simpleString()} "
                    f"but arrives as {field.dataType.simpleString()}; cast it in the source's YAML"
                )


def _refusal(table: str, error: PySparkException) -> Exception:
    """A broken promise as a ContractError with Spark's own first line; anything else as it is."""
    line = str(error).splitlines()[0]
    if "USER_RAISED_EXCEPTION" in line or "DELTA_REPLACE_WHERE_MISMATCH" in line:
        said = line.removeprefix("[USER_RAISED_EXCEPTION] ").partition(" SQLSTATE")[0]
        return ContractError(said if table in said else f"table {table}: {said}")
    return error


def _loose(field: StructField) -> str:
    return StructType([field]).simpleString()


def _text(value: SliceValue) -> str:
    return value.isoformat() if isinstance(value, date) else value


def _literal(value: SliceValue) -> str:
    if isinstance(value, date):
        return f"DATE'{value.isoformat()}'"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _where(promised: Contract, table: str, slices: Sequence[SliceValue]) -> str:
    if promised.slice is None:
        raise ContractError(f"table {table} has no slices; replace it whole")
    return f"{promised.slice} IN ({', '.join(_literal(value) for value in sorted(set(slices), key=_text))})"
