"""Reads of one table version without a JVM: training ranks, the report and ``show`` read this way."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyarrow import fs
from pyspark.sql.pandas.types import to_arrow_type

from shelfcast.errors import EnvironmentProblem, TableMissing
from shelfcast.lake.contract import spark_type
from shelfcast.lake.paths import filesystem, is_local, normalise, storage_options, table_uri
from shelfcast.lake.tables import CONTRACTS


class Snapshot:
    """One version of one table.

    Args:
        lake: the lake's URI.
        table: e.g. ``gold/windows``.
        version: Delta version; the newest if None.

    Raises:
        TableMissing: if there is no such table or version.
        EnvironmentProblem: if the lake's store does not answer.
    """

    def __init__(self, lake: str, table: str, version: int | None = None) -> None:
        uri = table_uri(normalise(lake), table)
        try:
            with _answered(uri):
                self._delta = DeltaTable(uri, version=version, storage_options=storage_options(uri))
        except (TableNotFoundError, FileNotFoundError) as error:
            raise TableMissing(f"table {table} is not in the lake {lake}: run the step that writes it first") from error
        self.table = table
        self._uri = uri
        self.version = self._delta.version()
        self._dataset: ds.Dataset | None = None

    @staticmethod
    def exists(lake: str, table: str) -> bool:
        uri = table_uri(normalise(lake), table)
        with _answered(uri):
            return bool(DeltaTable.is_deltatable(uri, storage_options=storage_options(uri)))

    def dataset(self) -> ds.Dataset:
        """The version as a pyarrow dataset: projections and filters are pushed down to files and row groups.

        Columns that were declared after the table was written are there, and null.
        """
        if self._dataset is None:
            # pyarrow's own file system: deltalake's is one in Python, which reads that are still under way when the
            # interpreter ends would call, and the process would abort.
            store, folder = filesystem(self._uri)
            stored = self._delta.to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(folder, store))
            missing = [field for field in self._declared() if field.name not in stored.schema.names]
            self._dataset = stored.replace_schema(pa.schema([*stored.schema, *missing])) if missing else stored
        return self._dataset

    def _declared(self) -> Iterator[pa.Field]:
        for column in CONTRACTS[self.table].columns if self.table in CONTRACTS else ():
            yield pa.field(column.name, to_arrow_type(spark_type(column.type), timezone="UTC"))

    def arrow(self, columns: Sequence[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Rows as one Arrow table; the caller bounds it by ``where`` and ``columns``."""
        return self.dataset().to_table(columns=list(columns) if columns else None, filter=where)

    def batches(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None, rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """Rows in batches of at most ``rows``, never more than a few in memory."""
        yield from self.dataset().to_batches(
            columns=list(columns) if columns else None, filter=where, batch_size=rows, batch_readahead=2
        )

    def count(self, where: pc.Expression | None = None) -> int:
        return int(self.dataset().count_rows(filter=where))

    def column_names(self) -> list[str]:
        return [field.name for field in self._delta.schema().fields]

    def slices(self) -> list[str]:
        """Values of the partition column as text, sorted; empty for a table without slices."""
        return sorted({str(value) for part in self._delta.partitions() for value in part.values()})

    def history(self, limit: int | None = None) -> list[dict[str, object]]:
        return self._delta.history(limit)


@contextmanager
def _answered(uri: str) -> Iterator[None]:
    """Raises an EnvironmentProblem with the store's own last words where an object store refuses or is not there."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if is_local(uri):
            raise
        said = re.sub(r"\x1b\[\d+m", "", str(error))
        lines = [line.strip(" \t↳") for line in said.splitlines() if line.strip()]
        raise EnvironmentProblem(
            f"{uri} cannot be read: {lines[-1][:300] if lines else error}; check that the bucket or container is "
            "there, and the credentials, region and endpoint in the environment (AWS_*, AZURE_*, GOOGLE_*)"
        ) from error
