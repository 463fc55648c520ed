"""gold/interactions: what each user did in each week, as arrays in time order.

Spark sorts, and a pass over the sorted columns only finds where a user's week ends: the arrays are slices of columns
that lie there already, so that no event is ever wrapped in a struct, collected and unwrapped again.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.features.periods import in_days

BUCKETS = 1024
_GROUP = ("week_start", "user_id")
_LISTS = {
    "items": "product_id",
    "types": "event_type",
    "times": "event_time",
    "dates": "event_date",
    "quantities": "quantity",
}
_KINDS = {
    "week_start": "date",
    "user_id": "string",
    "store_id": "string",
    "items": "array<string>",
    "types": "array<string>",
    "times": "array<timestamp>",
    "dates": "array<date>",
    "quantities": "array<float>",
}
_USER_BITS = 44  # of a hash, so that the day of a week fits into the same number


def build(events: DataFrame, types: Sequence[str], weeks: Sequence[date], salts: int) -> DataFrame:
    """A row per user and week; ties in time are ordered by product_id. Events without a user are left out.

    Args:
        events: visible events.
        types: event types to keep.
        weeks: first days of the weeks to build.
        salts: files a week: one shuffle by week and shares of the users serves the aggregation and the write.
    """
    kept = F.col("event_type").isin(list(types)) & F.col("user_id").isNotNull() & in_days("week_start", weeks)
    user = F.xxhash64("user_id")
    # One number that tells nearly all users' weeks apart: Spark sorts by it without looking at a text.
    place = F.shiftleft(F.unix_date("week_start").cast("long"), _USER_BITS) + F.shiftrightunsigned(
        user, 64 - _USER_BITS
    )
    ordered = (
        events.where(kept)
        .select(
            place.alias("_place"),
            F.pmod(user, F.lit(salts)).alias("_salt"),
            *_GROUP,
            "event_time",
            "product_id",
            "event_type",
            "event_date",
            F.coalesce("quantity", F.lit(1.0)).cast("float").alias("quantity"),
            "store_id",
        )
        .repartition("week_start", "_salt")
        .sortWithinPartitions("_place", *_GROUP, "event_time", "product_id", "event_type", "event_date", "quantity")
        .drop("_place", "_salt")
    )
    schema = ", ".join(f"{name} {kind}" for name, kind in _KINDS.items())
    return ordered.mapInArrow(user_weeks, schema).select(
        "user_id",
        "week_start",
        F.pmod(F.xxhash64("user_id"), F.lit(BUCKETS)).cast("int").alias("bucket"),
        "store_id",
        *_LISTS,
    )


def user_weeks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Events sorted by week and user to a row for each; one that goes on in the next batch waits for it."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows == 0:
            continue
        starts = np.flatnonzero(_begins(batch, waiting[-1] if waiting else None))
        if len(starts) == 0:
            waiting.append(batch)
            continue
        waiting.append(batch.slice(0, starts[-1]))
        if sum(part.num_rows for part in waiting):
            yield _rows(pa.concat_batches(waiting))
        waiting = [batch.slice(starts[-1])]
    if waiting:
        yield _rows(pa.concat_batches(waiting))


def _begins(batch: pa.RecordBatch, before: pa.RecordBatch | None) -> NDArray[np.bool_]:
    """[rows] whether a row is of another user or week than the row before it."""
    rows = batch.num_rows
    begins = np.zeros(rows, bool)
    for name in _GROUP:
        column = batch.column(name)
        differs = pc.not_equal(column.slice(1), column.slice(0, rows - 1))
        begins[1:] |= differs.to_numpy(zero_copy_only=False)
        begins[0] |= before is None or before.column(name)[-1] != column[0]
    return begins


def _rows(events: pa.RecordBatch) -> pa.RecordBatch:
    starts = np.flatnonzero(_begins(events, None))
    offsets = pa.array(np.append(starts, events.num_rows).astype(np.int32))
    columns: dict[str, Any] = {name: events.column(name).take(pa.array(starts)) for name in _GROUP}
    columns["store_id"] = _commonest(events.column("store_id"), starts)
    columns |= {name: pa.ListArray.from_arrays(offsets, events.column(of)) for name, of in _LISTS.items()}
    return pa.RecordBatch.from_pydict(columns)


def _commonest(values: pa.Array, starts: NDArray[np.int64]) -> pa.Array:
    """The text that each group holds most often; of several the least."""
    coded = values.dictionary_encode()
    order = pc.array_sort_indices(coded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))
    pair = group * len(order) + rank[coded.indices.to_numpy()]
    found, times = np.unique(pair, return_counts=True)
    best = np.lexsort((found, -times, found // len(order)))
    first = best[np.unique(found[best] // len(order), return_index=True)[1]]
    return coded.dictionary.take(pa.array(order[found[first] % len(order)]))
