"""Small tables that several processes write without a JVM: a commit says whether it came first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from pyspark.sql.pandas.types import to_arrow_type
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_random

from shelfcast.lake.contract import Contract, spark_type
from shelfcast.lake.paths import normalise, storage_options, table_uri
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.tables import contract

_ONCE = CommitProperties(max_commit_retries=0)
_CONTENDED = 120.0  # seconds of losing against others after which something else is wrong
T = TypeVar("T")


def arrow_schema(promised: Contract) -> pa.Schema:
    """The contract's columns as Arrow types."""
    return pa.schema(
        [
            pa.field(c.name, to_arrow_type(spark_type(c.type), timezone="UTC"), nullable=not c.required)
            for c in promised.columns
        ]
    )


@dataclass(frozen=True)
class Base:
    """A table as it stood when something was decided, for one commit.

    Attributes:
        delta: None where the table has not been written yet; a commit moves it on.
    """

    lake: str
    table: str
    delta: DeltaTable | None

    def rows(self, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        if self.delta is None:
            return []
        found: list[dict[str, Any]] = Snapshot(self.lake, self.table, self.delta.version()).arrow(columns).to_pylist()
        return found


def newest(lake: str, table: str) -> Base:
    """A table as it stands now."""
    uri = table_uri(normalise(lake), table)
    stored = DeltaTable(uri, storage_options=storage_options(uri)) if Snapshot.exists(lake, table) else None
    return Base(normalise(lake), table, stored)


def commit(
    base: Base, rows: Sequence[Mapping[str, Any]], mode: Literal["append", "overwrite"], predicate: str | None = None
) -> bool:
    """Append rows to ``base``, or overwrite with them what meets ``predicate`` (everything if None), in one commit.

    Returns:
        False, and nothing is written, if the table has changed since.
    """
    uri = table_uri(base.lake, base.table)
    data = pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema(contract(base.table)))
    if base.delta is None:
        try:
            write_deltalake(uri, data, mode="error", storage_options=storage_options(uri), commit_properties=_ONCE)
        except DeltaError as error:  # of no kind of its own
            if isinstance(error, CommitFailedError) or "already exists" in str(error):
                return False
            raise
        return True
    if mode == "append":
        write = partial(write_deltalake, base.delta, data, mode="append")
    else:
        write = partial(write_deltalake, base.delta, data, mode="overwrite", predicate=predicate)
    try:
        # A table that an older version has written gets the columns that were declared since.
        write(schema_mode="merge", commit_properties=_ONCE)
    except CommitFailedError:
        return False
    return True


def until_won(attempt: Callable[[], T | None]) -> T:
    """Repeat what reads, decides and commits, for as long as it returns None because others came first.

    Raises:
        RetryError: after two minutes.
    """
    again = Retrying(
        retry=retry_if_result(lambda won: won is None),
        wait=wait_random(0, 0.2),
        stop=stop_after_delay(_CONTENDED),
    )
    return again(attempt)  # type: ignore[return-value]  # a None is never returned
