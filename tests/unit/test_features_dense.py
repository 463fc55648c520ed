"""Sparse periods to dense arrays: padding, zero-filling, clipping."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shelfcast.features.dense import Filling, clip

SALE = pa.list_(
    pa.struct([("position", pa.int32()), *((name, pa.float32()) for name in ("units", "orders", "price", "discount"))])
)
PLAN = pa.list_(
    pa.struct(
        [
            ("position", pa.int32()),
            *((name, pa.float32()) for name in ("display", "display_main", "mailer", "mailer_main")),
        ]
    )
)
OUT = pa.list_(pa.struct([("position", pa.int32()), ("out", pa.float32())]))


def batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    names = {"product_id": pa.string(), "age": pa.int32(), "sale": SALE, "plan": PLAN, "out": OUT}
    return pa.RecordBatch.from_pylist([{"out": [], **row} for row in rows], schema=pa.schema(names))


def sale(position: int, units: float) -> dict[str, object]:
    return {"position": position, "units": units, "orders": 1.0, "price": 2.0, "discount": 0.5}


def plan(position: int) -> dict[str, object]:
    return {"position": position, "display": 1.0, "display_main": 0.0, "mailer": 0.25, "mailer_main": 0.0}


def filling(**changes: object) -> Filling:
    given_ = {"context": 4, "horizon": 2, "outliers": "none", "width": 3.0, "calendar": {"holiday": [0, 1, 0, 0, 0, 2]}}
    return Filling(**{**given_, **changes})  # type: ignore[arg-type]


def test_silent_periods_are_zero_and_what_lies_before_the_first_sale_is_padding() -> None:
    rows = [{"product_id": "a", "age": 3, "sale": [sale(3, 5.0), sale(1, 2.0)], "plan": [plan(0), plan(2), plan(5)]}]
    filled = filling().fill(batch(rows)).to_pylist()[0]
    assert filled["length"] == 3
    assert filled["units"] == [0, 2, 0, 5]
    assert filled["price"] == [0, 2, 0, 2]
    assert filled["display"] == [0, 0, 1, 0, 0, 1]  # the plan before the first sale is padding
    assert filled["mailer"] == [0, 0, 0.25, 0, 0, 0.25]
    assert filled["holiday"] == [0, 1, 0, 0, 0, 2]


def test_a_listed_but_silent_series_has_all_zeros() -> None:
    filled = filling().fill(batch([{"product_id": "a", "age": 60, "sale": [], "plan": []}])).to_pylist()[0]
    assert filled["length"] == 4
    assert filled["units"] == [0, 0, 0, 0]
    assert filled["display"] == [0] * 6


def test_an_empty_batch_stays_empty() -> None:
    assert filling().fill(batch([])).num_rows == 0


def test_a_sale_far_above_the_usual_ones_is_clipped_and_counted() -> None:
    units = np.array([[1, 2, 1, 2, 1, 2, 1, 2, 500], [1, 2, 1, 2, 0, 0, 0, 0, 500]], np.float32)
    for how in ("iqr", "robust_z"):
        clipped, counts = clip(units, how, 3.0)
        assert counts.tolist() == [1, 0]  # the second series sold too seldom for a spread
        assert 2 < clipped[0, -1] < 10
        assert clipped[1, -1] == 500
        assert (clipped[:, :-1] == units[:, :-1]).all()


@given(st.lists(st.lists(st.integers(0, 1000), min_size=12, max_size=12), min_size=1, max_size=5))
def test_clipping_never_raises_a_sale_and_leaves_zeros(units: list[list[int]]) -> None:
    before = np.array(units, np.float32)
    for how in ("none", "iqr", "robust_z"):
        after, counts = clip(before, how, 3.0)
        assert (after <= before).all()
        assert ((after == 0) == (before == 0)).all()
        assert (counts == (after < before).sum(axis=1)).all()
