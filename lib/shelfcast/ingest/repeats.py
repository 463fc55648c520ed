"""Finds which identities repeat among the records of a partition, and counts what was said of the others.

Whole partitions of a few numbers a record are sorted by numpy: nearly every identity occurs once, so that aggregating
by it, as Spark would, keeps and shuffles as many groups as there are records.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql.types import LongType, StringType, StructField, StructType

INPUTS = 64
KNOWN = -1  # the rank of an identity that is in silver already
REPEATED, REFUSED, COUNTED = "repeated", "refused", "counted"

_Longs = NDArray[np.int64]


def schema() -> StructType:
    """What comes of a partition; which columns a row fills depends on ``_kind``.

    ``repeated``: an identity of good records, ``_low`` and ``_high``, that occurs more than once or is known; its least
    rank among the new ones as ``_winner``, whether it is ``_known``, and how often it occurs in ``_input``, which
    takes a row for each input. ``refused``: a record as JSON. ``counted``: ``_times`` records of ``_input`` with equal
    ``_said``, ``_filled`` and ``_piece``.
    """
    texts = ("_kind", "_said", "_refused")
    longs = ("_input", "_low", "_high", "_winner", "_known", "_times", "_filled", "_piece")
    kinds = {**dict.fromkeys(texts, StringType()), **dict.fromkeys(longs, LongType())}
    return StructType([StructField(name, kind) for name, kind in kinds.items()])


def settle(names: list[str]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for ``mapInArrow`` over records partitioned by ``_low``.

    Each record has ``_low``, ``_high``, ``_rank`` (its input in the lowest bits), ``_said`` (text or null),
    ``_filled``, ``_piece`` and ``_refused`` (null for good ones). Rows of known identities have only the first three.

    Args:
        names: columns of `schema`.
    """

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        keys: list[pa.RecordBatch] = []
        counts: list[pa.Table] = []
        for batch in batches:
            new = batch.filter(pa.array(batch.column("_rank").to_numpy() != KNOWN))
            refused = new.column("_refused").is_valid()
            if new.num_rows:
                counts.append(_counted(new))
            if refused.true_count:
                lost = new.filter(refused)
                yield _rows(names, REFUSED, lost.num_rows, _refused=lost.column("_refused"))
            keys.append(batch.filter(batch.column("_refused").is_null()).select(["_low", "_high", "_rank"]))
        if counts:
            table = _summed(pa.concat_tables(counts)).combine_chunks()
            columns = {name: table.column(name).combine_chunks() for name in table.column_names}
            yield _rows(names, COUNTED, table.num_rows, **columns)
        if keys:
            every = pa.Table.from_batches(keys)
            found = repeated(*(every.column(name).to_numpy() for name in ("_low", "_high", "_rank")))
            if len(found["_low"]):
                yield _rows(names, REPEATED, len(found["_low"]), **{name: pa.array(of) for name, of in found.items()})

    return run


def _rows(names: list[str], kind: str, rows: int, **given: Any) -> pa.RecordBatch:
    """A batch in the columns of `schema`; what is not given is null."""
    given["_kind"] = pa.array([kind] * rows, pa.string())
    texts = ("_kind", "_said", "_refused")
    columns = [given.get(name, pa.nulls(rows, pa.string() if name in texts else pa.int64())) for name in names]
    return pa.RecordBatch.from_arrays(columns, names)


_OF = ["_input", "_said", "_filled", "_piece"]


def _counted(records: pa.RecordBatch) -> pa.Table:
    place = records.column("_rank").to_numpy() & (INPUTS - 1)
    columns = {"_input": pa.array(place), **{name: records.column(name) for name in _OF[1:]}}
    return _summed(pa.table({**columns, "_times": pa.array(np.ones(records.num_rows, np.int64))}))


def _summed(table: pa.Table) -> pa.Table:
    return table.group_by(_OF).aggregate([("_times", "sum")]).rename_columns({"_times_sum": "_times"})


def repeated(low: _Longs, high: _Longs, rank: _Longs) -> dict[str, _Longs]:
    """Identities that occur more than once, or are known and occur: a row for each and the inputs it occurs in.

    Args:
        low, high: [records] the two halves of the identity.
        rank: [records] its order; KNOWN for one that is in silver already.
    """
    order = np.argsort(low)
    same = np.zeros(len(low) + 1, bool)
    same[1:-1] = low[order[1:]] == low[order[:-1]]
    some = order[same[1:] | same[:-1]]
    some = some[np.lexsort((rank[some], high[some], low[some]))]
    low, high, rank = low[some], high[some], rank[some]
    begins = np.flatnonzero(np.r_[len(low) > 0, (low[1:] != low[:-1]) | (high[1:] != high[:-1])])
    rows: dict[str, list[int]] = {name: [] for name in ("_low", "_high", "_winner", "_known", "_input", "_times")}
    for start, end in pairwise([*begins, len(low)]):
        first = int(np.searchsorted(rank[start:end], KNOWN, side="right")) + start
        known = first > start
        if end - first < 2 - known:
            continue
        inputs, times = np.unique(rank[first:end] & (INPUTS - 1), return_counts=True)
        for place, number in zip(inputs.tolist(), times.tolist(), strict=True):
            values = (low[start], high[start], rank[first], known, place, number)
            for column, value in zip(rows.values(), values, strict=True):
                column.append(int(value))
    return {name: np.array(values, np.int64) for name, values in rows.items()}
