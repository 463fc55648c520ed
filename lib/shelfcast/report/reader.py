"""Bounded reads of one lake for the page: whatever is large is folded batch by batch."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from shelfcast.errors import TableMissing
from shelfcast.lake.snapshot import Snapshot


def among(column: str, values: Iterable[str] | Iterable[date]) -> pc.Expression:
    """Whether a column's value is one of ``values``; never, if there are none."""
    listed = list(values)
    kind = pa.date32() if listed and isinstance(listed[0], date) else pa.string()
    return pc.field(column).isin(pa.array(listed, kind)) if listed else pc.scalar(False)


class Reader:
    """Reads tables at the published versions; a table that is not there reads as empty.

    Args:
        lake: the lake's URI.
        versions: table → version that readers of this as_of see; other tables are read at their newest.
    """

    def __init__(self, lake: str, versions: Mapping[str, int]) -> None:
        self.lake = lake
        self._versions = versions
        self._open: dict[tuple[str, bool], Snapshot | None] = {}

    def snapshot(self, table: str, *, newest: bool = False) -> Snapshot | None:
        """The table, or None if it has not been written. ``newest`` is for truth, which arrives after publishing."""
        if (table, newest) not in self._open:
            version = None if newest else self._versions.get(table)
            try:
                self._open[table, newest] = Snapshot(self.lake, table, version)
            except TableMissing:
                self._open[table, newest] = None
        return self._open[table, newest]

    def has(self, table: str) -> bool:
        return self.snapshot(table) is not None

    def rows(
        self, table: str, columns: Sequence[str], where: pc.Expression | None = None, *, newest: bool = False
    ) -> pa.Table:
        """Rows that ``where`` bounds to a few, e.g. by the chosen series or users."""
        snapshot = self.snapshot(table, newest=newest)
        return _empty(columns) if snapshot is None else snapshot.arrow(columns, where)

    def some(self, table: str, columns: Sequence[str], n: int, where: pc.Expression | None = None) -> pa.Table:
        """The first ``n`` rows met."""
        snapshot = self.snapshot(table)
        if snapshot is None:
            return _empty(columns)
        met, kept = 0, []
        for batch in snapshot.batches(columns, where):
            kept.append(batch.slice(0, n - met))
            met += kept[-1].num_rows
            if met >= n:
                break
        return pa.Table.from_batches(kept) if kept else _empty(columns)

    def top(
        self, table: str, columns: Sequence[str], by: str, n: int,
        where: pc.Expression | None = None, *, newest: bool = False,
    ) -> pa.Table:  # fmt: skip
        """The ``n`` rows with the largest ``by``, largest first; ties by the other columns in order."""
        snapshot = self.snapshot(table, newest=newest)
        best: pa.Table | None = None
        order = [(by, "descending"), *((name, "ascending") for name in columns if name != by)]
        for batch in snapshot.batches(columns, where) if snapshot else ():
            joined = pa.concat_tables([*([best] if best is not None else []), pa.Table.from_batches([batch])])
            best = joined.take(pc.select_k_unstable(joined, k=n, sort_keys=order))
        return _empty(columns) if best is None else best

    def sums(
        self, table: str, keys: Sequence[str], values: Sequence[str], where: pc.Expression | None = None,
        *, newest: bool = False, at_most: int | None = None,
    ) -> pa.Table:  # fmt: skip
        """Sums of ``values`` and the number of ``rows`` per ``keys``, sorted by them.

        The keys bound the result; where they do not, ``at_most`` keeps about that many with the largest first value.
        """
        snapshot = self.snapshot(table, newest=newest)
        folded: pa.Table | None = None
        for batch in snapshot.batches([*keys, *values], where) if snapshot else ():
            part = pa.Table.from_batches([batch])
            part = part.append_column("rows", pa.array([1] * part.num_rows, pa.int64()))
            folded = _fold(pa.concat_tables([*([folded] if folded is not None else []), part]), keys, [*values, "rows"])
            if at_most is not None and folded.num_rows > 2 * at_most:
                folded = folded.take(pc.select_k_unstable(folded, k=at_most, sort_keys=[(values[0], "descending")]))
        if folded is None or folded.num_rows == 0:
            return _empty([*keys, *values, "rows"])
        return folded.sort_by([(key, "ascending") for key in keys])


def _fold(table: pa.Table, keys: Sequence[str], values: Sequence[str]) -> pa.Table:
    summed = table.group_by(list(keys)).aggregate([(value, "sum") for value in values])
    named = summed.select([*keys, *(f"{value}_sum" for value in values)]).rename_columns([*keys, *values])
    return named.cast(table.select([*keys, *values]).schema, safe=False)


def _empty(columns: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.nulls(0) for name in columns})
