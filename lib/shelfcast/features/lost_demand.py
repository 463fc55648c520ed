"""gold/lost_demand: what series would have sold in the periods in which they could not be bought."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.features.periods import Grain
from shelfcast.features.series import KEY
from shelfcast.features.stockouts import expected_units
from shelfcast.settings import Censoring


def evident(stock: DataFrame | None, censoring: Censoring) -> bool:
    """Whether anything here can say that a series was out of stock."""
    return censoring.zero_runs or (censoring.stock and stock is not None)


def build(windows: DataFrame, grain: Grain, cutoff: date) -> DataFrame:
    """Rows of gold/lost_demand of one grain, without the slice column.

    Args:
        windows: gold/windows.
    """
    here = windows.where((F.col("grain") == grain.name) & (F.col("cutoff") == F.lit(cutoff)))
    some = here.where(F.array_min("available") < 1).select(*KEY, "length", "units", "available")
    schema = (
        "grain string, product_id string, store_id string, period_start date, sold double, expected double, lost double"
    )
    return some.mapInArrow(_estimator(cutoff, grain.days), schema)


def _estimator(cutoff: date, days: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def estimate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield _estimated(batch, cutoff, days)

    return estimate


def _estimated(batch: pa.RecordBatch, cutoff: date, days: int) -> pa.RecordBatch:
    units, available = (
        batch.column(name).flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
        for name in ("units", "available")
    )
    length = batch.column("length").to_numpy(zero_copy_only=False)
    row, position = np.nonzero(available < 1)
    expected = expected_units(units, available, length)[row, position].astype(np.float64)
    sold = units[row, position].astype(np.float64)
    context = units.shape[1]
    starts = [cutoff + timedelta(days=1 - days * (context - int(place))) for place in position]
    columns = {name: batch.column(name).take(pa.array(row)) for name in KEY}
    return pa.RecordBatch.from_pydict(
        columns
        | {
            "period_start": pa.array(starts, pa.date32()),
            "sold": pa.array(sold),
            "expected": pa.array(expected),
            "lost": pa.array(np.maximum(expected - sold, 0.0)),
        }
    )
