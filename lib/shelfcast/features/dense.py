"""Sparse periods of a batch of series to dense arrays: padding, zero-filling and outlier clipping, in numpy.

A scatter touches each period with a sale once; a Spark array expression would visit every position of every array.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shelfcast.features.stockouts import zero_runs
from shelfcast.lake.plans import PLANS

SALES = ("units", "orders", "price", "discount")
_FEWEST = 8  # sales below which a spread says nothing
_NORMAL = 1.4826  # median absolute deviation to standard deviation

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Filling:
    """How windows of one grain and cutoff are filled.

    Attributes:
        context: periods of history.
        horizon: periods beyond it.
        outliers: none, iqr or robust_z.
        width: how many spreads above the middle a sale may lie.
        zero_runs: whether improbable runs of zeros count as out of stock, at ``significance`` and up to ``longest``
            periods.
        calendar: column → one value per period of context and horizon, the same for every series.
    """

    context: int
    horizon: int
    outliers: str
    width: float
    calendar: Mapping[str, Sequence[float]]
    zero_runs: bool = False
    significance: float = 1e-4
    longest: int = 8

    def fill(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows with ``sale``, ``plan`` and ``out`` (arrays of structs with a position) to the columns of gold/windows.

        Adds ``length`` and ``clipped``. Positions before the first sale stay 0, also those of plans.
        """
        rows = batch.num_rows
        age = batch.column("age").to_numpy(zero_copy_only=False)
        length = np.minimum(age, self.context).astype(np.int32)
        columns = {name: batch.column(name) for name in batch.schema.names if name not in ("sale", "plan", "out")}
        sales = scatter(batch.column("sale"), SALES, self.context)
        sales["units"], clipped = clip(sales["units"], self.outliers, self.width)
        planned = scatter(batch.column("plan"), PLANS, self.context + self.horizon)
        columns["available"] = as_lists(self.available(batch.column("out"), sales["units"], length))
        real = np.arange(self.context + self.horizon) >= (self.context - length)[:, None]
        for name, values in planned.items():
            columns[name] = as_lists(values * real)
        for name, values in sales.items():
            columns[name] = as_lists(values)
        for name, known in self.calendar.items():
            columns[name] = as_lists(np.tile(np.asarray(known, np.float32), (rows, 1)))
        columns["length"] = pa.array(length, pa.int32())
        columns["clipped"] = pa.array(clipped.astype(np.int32), pa.int32())
        return pa.RecordBatch.from_pydict(columns)

    def available(self, out: pa.ListArray, units: Floats, length: npt.NDArray[np.int32]) -> Floats:
        """[rows, context]: 0 where a real period was out of stock, by count or by an improbable silence, else 1."""
        empty = scatter(out, ("out",), self.context)["out"] > 0
        empty &= np.arange(self.context) >= (self.context - length)[:, None]
        if self.zero_runs:
            empty |= zero_runs(units, length, self.significance, self.longest)
        return np.where(empty, np.float32(0), np.float32(1))


def scatter(entries: pa.ListArray, fields: Sequence[str], width: int) -> dict[str, Floats]:
    """Field → [rows, width] with each entry at its position and 0 elsewhere."""
    counts = np.diff(entries.offsets.to_numpy())
    flat = entries.flatten()
    row = np.repeat(np.arange(len(entries)), counts)
    position = flat.field("position").to_numpy(zero_copy_only=False)
    filled = {}
    for name in fields:
        values = np.zeros((len(entries), width), np.float32)
        values[row, position] = flat.field(name).to_numpy(zero_copy_only=False)
        filled[name] = values
    return filled


def clip(units: Floats, how: str, width: float) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Units [rows, periods] with sales far above the series' usual ones lowered to the bound, and how many per row.

    The bound is fitted on periods with sales (zeros would make the spread 0): third quartile + width × interquartile
    range, or median + width × scaled median absolute deviation; a spread counts at least one piece.
    """
    if how == "none":
        return units, np.zeros(len(units), np.int64)
    sold = units > 0
    seen = np.where(sold, units, np.nan)
    enough = sold.sum(axis=1) >= _FEWEST
    bound = np.full(len(units), np.inf, np.float32)
    if enough.any():
        some = seen[enough]
        if how == "iqr":
            low, high = np.nanpercentile(some, [25, 75], axis=1)
            middle, spread = high, high - low
        else:
            middle = np.nanmedian(some, axis=1)
            spread = _NORMAL * np.nanmedian(np.abs(some - middle[:, None]), axis=1)
        bound[enough] = middle + width * np.maximum(spread, 1.0)
    far = units > bound[:, None]
    return np.where(far, bound[:, None], units).astype(np.float32), far.sum(axis=1)


def as_lists(values: Floats) -> pa.ListArray:
    """[rows, width] to an Arrow column of lists."""
    rows, width = values.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width, pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).ravel(), pa.float32()))
