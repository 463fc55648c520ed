"""A user's weeks are cut out of sorted events, wherever the batches end."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfcast.features.interactions import user_weeks

MONDAY = date(2024, 1, 1)
KINDS = {
    "week_start": pa.date32(), "user_id": pa.string(), "event_time": pa.timestamp("us", tz="UTC"),
    "product_id": pa.string(), "event_type": pa.string(), "event_date": pa.date32(), "quantity": pa.float32(),
    "store_id": pa.string(),
}  # fmt: skip


def _event(week: int, user: int, number: int, store: int) -> dict[str, Any]:
    day = MONDAY + timedelta(weeks=week)
    return {
        "week_start": day, "user_id": f"u{user}", "event_time": datetime(day.year, day.month, day.day, tzinfo=UTC),
        "product_id": f"p{number}", "event_type": "view", "event_date": day, "quantity": 1.0, "store_id": f"s{store}",
    }  # fmt: skip


def _batches(rows: list[dict[str, Any]], size: int) -> list[pa.RecordBatch]:
    table = pa.Table.from_pylist(rows, pa.schema(list(KINDS.items())))
    return table.combine_chunks().to_batches(max_chunksize=size)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=40),
    st.integers(1, 12),
)
def test_batches_may_end_anywhere(drawn: list[tuple[int, int, int]], size: int) -> None:
    rows = [_event(week, user, number, store) for number, (week, user, store) in enumerate(sorted(drawn))]

    found = pa.Table.from_batches(user_weeks(iter(_batches(rows, size)))).to_pylist()

    keys = sorted({(row["week_start"], row["user_id"]) for row in rows})
    assert [(row["week_start"], row["user_id"]) for row in found] == keys
    for row in found:
        own = [one for one in rows if (one["week_start"], one["user_id"]) == (row["week_start"], row["user_id"])]
        assert row["items"] == [one["product_id"] for one in own]
        assert row["times"] == [one["event_time"] for one in own]
        stores = [one["store_id"] for one in own]
        assert row["store_id"] == min(set(stores), key=lambda store: (-stores.count(store), store))


@pytest.mark.parametrize("rows", [0, 3])
def test_empty_batches_are_passed_over(rows: int) -> None:
    batches = _batches([_event(0, 0, number, 0) for number in range(rows)], 10)
    empty = pa.RecordBatch.from_pydict({name: pa.array([], kind) for name, kind in KINDS.items()})

    found = list(user_weeks(iter([empty, *batches, empty])))

    assert [batch.num_rows for batch in found] == [1] * (rows > 0)
    assert np.all([len(batch["items"][0]) == rows for batch in found])
