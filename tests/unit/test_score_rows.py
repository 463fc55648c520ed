"""Rows of gold/forecasts from a batch of windows, and how batches are cut; no Spark session."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from shelfcast.lake.tables import contract
from shelfcast.models.distributions import Zinb
from shelfcast.models.trained_forecaster import Forecasts
from shelfcast.score import forecasts

AS_OF, HORIZON = date(2017, 11, 28), 2


@pytest.fixture
def found():
    """Forecasts of two series in which every number is another one."""
    numbers = np.arange(2 * 2 * HORIZON, dtype=float).reshape(2, 2, HORIZON)
    return Forecasts(
        quantiles=np.stack([numbers, numbers + 100, numbers + 200], -1),
        mean=numbers + 0.5,
        distribution=Zinb(numbers / 10, numbers + 300, numbers + 400),
    )


def test_a_series_has_its_horizons_and_then_its_sums(window_table, found):
    windows = window_table(np.ones((2, 30)), horizon=HORIZON, grain=["week.product", "day.product"])
    rows = forecasts.long_rows(windows, found, AS_OF, HORIZON, "v1")
    assert rows.schema.names == contract(forecasts.TABLE).names()
    second = rows.to_pylist()[4:]
    assert [(row["horizon"], row["cumulative"]) for row in second] == [(1, False), (2, False), (1, True), (2, True)]
    assert [row["target_start"].isoformat() for row in second] == ["2017-11-27", "2017-11-28", *["2017-11-27"] * 2]
    assert rows["target_start"].to_pylist()[1] == date(2017, 12, 4)
    assert second[3] == {
        "as_of": AS_OF, "grain": "day.product", "product_id": "p1", "store_id": "*",
        "target_start": date(2017, 11, 27), "horizon": 2, "cumulative": True, "q10": 7, "q50": 107, "q90": 207,
        "mean": 7.5, "distribution": {"family": "zinb", "zero": 0.7, "mean": 307, "dispersion": 407},
        "model_version": "v1",
    }  # fmt: skip


def test_the_rows_have_the_types_of_the_contract(window_table, found):
    rows = forecasts.long_rows(window_table(np.ones((2, 30)), horizon=HORIZON), found, AS_OF, HORIZON, "v1")
    assert rows.schema.field("horizon").type == pa.int32()
    assert rows.schema.field("as_of").type == rows.schema.field("target_start").type == pa.date32()
    assert rows.schema.field("q50").type == pa.float64()


@pytest.mark.parametrize(("rows", "sizes"), [(10, [3, 3, 4]), (4, [4]), (0, [])])
def test_a_record_batch_is_cut_into_equal_parts_in_order(rows, sizes):
    batch = pa.RecordBatch.from_pydict({"n": pa.array(range(rows), pa.int32())})
    cut = list(forecasts.parts(batch, 4))
    assert [len(part) for part in cut] == sizes
    assert [n for part in cut for n in part["n"].to_pylist()] == list(range(rows))
