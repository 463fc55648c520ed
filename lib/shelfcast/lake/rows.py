"""``shelfcast show``: some rows of a table as its readers see it, without a JVM."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shelfcast.errors import ConfigError
from shelfcast.lake import overview
from shelfcast.lake.tables import CONTRACTS, contract


@dataclass(frozen=True)
class Rows:
    """Some rows of a table version, each a mapping of column to value."""

    table: str
    version: int
    as_of: date | None
    rows: list[dict[str, Any]]

    @property
    def title(self) -> str:
        return f"{self.table}, version {self.version}" + (f", as of {self.as_of}" if self.as_of else "")


def full_name(lake: str, table: str) -> str:
    """``forecasts`` as ``gold/forecasts``.

    Raises:
        ConfigError: with the nearest table, if there is none of that name.
    """
    names = [entry["table"] for entry in overview.tables(lake)] + list(CONTRACTS)
    matching = [name for name in dict.fromkeys(names) if table in (name, name.partition("/")[2])]
    if not matching:
        near = difflib.get_close_matches(table, [*names, *(name.partition("/")[2] for name in names)], n=1)
        hint = f"did you mean {near[0]}?" if near else f"tables here: {', '.join(names)}"
        raise ConfigError(f"there is no table {table}; {hint}")
    return str(matching[0])


def show(lake: str, table: str, conditions: Sequence[str], limit: int, as_of: date | None = None) -> Rows:
    """The first ``limit`` rows that fulfil every ``column=value``, in key order within what was read.

    Raises:
        ConfigError: if a table, column or value does not exist or fit.
    """
    name = full_name(lake, table)
    snapshot, day = overview.published(lake, name, as_of)
    schema = snapshot.dataset().schema
    where = None
    if contract(name).slice == "as_of" and day is not None:
        where = pc.field("as_of") == day
    for condition in conditions:
        one = _condition(name, schema, condition)
        where = one if where is None else where & one
    found = snapshot.dataset().head(limit, filter=where)
    order = [(column, "ascending") for column in contract(name).key if column in schema.names]
    listed = found.sort_by(order).to_pylist() if order else found.to_pylist()
    return Rows(name, snapshot.version, day if contract(name).slice == "as_of" else None, listed)


def _condition(table: str, schema: pa.Schema, text: str) -> pc.Expression:
    column, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--where {text}: write column=value")
    if column not in schema.names:
        near = difflib.get_close_matches(column, schema.names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"columns: {', '.join(schema.names)}"
        raise ConfigError(f"table {table} has no column {column}; {hint}")
    kind = schema.field(column).type
    try:
        return pc.field(column) == pa.scalar(value).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(f"--where {text}: {value!r} is no {kind}") from error
