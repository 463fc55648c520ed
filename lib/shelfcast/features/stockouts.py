"""When could a series not be bought, and what would it have sold then? Counts of stock and runs of zeros.

Sales in such periods say what was there, not what was wanted: demand is censored. Without evidence every period counts
as available.
"""

from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.features.demand import days_with_stock
from shelfcast.features.periods import Grain, periods_since
from shelfcast.lake.visible import visible

_BEFORE = 13  # periods that the rate before a run is taken from
_LEAST_BEFORE = 8
_AFTER = 4  # periods after a run within which sales must recover
_RECOVERY = 0.5  # of the rate before
_AROUND = 8  # available periods on each side that tell the level in between

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


def out_of_stock(stock: DataFrame, grain: Grain, first: date, cutoff: date, in_stock: float) -> DataFrame:
    """Periods from ``first`` to ``cutoff`` with stock on less than a share ``in_stock`` of their counted days.

    Args:
        stock: silver/stock; counts not known at the cutoff are left out.

    Returns:
        product_id, store_id and position, the number of periods since ``first``.
    """
    known = visible(stock, cutoff).where(F.col("valid_from").isNull() | (F.col("valid_from") <= F.lit(cutoff)))
    position = periods_since(F.col("day"), first, grain.days)
    return (
        days_with_stock(known, grain, first, cutoff)
        .groupBy("product_id", "store_id", position.alias("position"))
        .agg(F.avg(F.col("stocked").cast("double")).alias("share"))
        .where(F.col("share") < F.lit(in_stock))
        .select("product_id", "store_id", "position")
    )


def zero_runs(units: Floats, length: npt.NDArray[Any], significance: float, longest: int) -> Bools:
    """Which positions [N, C] lie in a run of zeros that the series' own rate before makes improbable.

    The rate is negative binomial with the mean and variance of the 13 periods before the run (at least 8 of them); the
    run's probability, P(0) to the power of its length, must stay below ``significance``. The run must end inside the
    window, within ``longest`` periods, and sales must recover to half the rate: otherwise the series faded or paused.

    Args:
        length: [N] real positions, at the right.
    """
    rows, context = units.shape
    started = np.arange(context) >= (context - length)[:, None]
    silent = np.zeros((rows, context + 2), np.int8)
    silent[:, 1:-1] = started & (units <= 0)
    edges = np.diff(silent, axis=1)
    row, begin = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]  # exclusive; runs do not overlap, so both come in the same order
    sums, squares = (_cumulative(values) for values in (units, units.astype(np.float64) ** 2))
    since = np.maximum(begin - _BEFORE, (context - length)[row])
    until = np.minimum(end + _AFTER, context)
    before, after = begin - since, until - end
    mean = (sums[row, begin] - sums[row, since]) / np.maximum(before, 1)
    spread = (squares[row, begin] - squares[row, since]) / np.maximum(before, 1) - mean**2
    variance = spread * before / np.maximum(before - 1, 1)
    dispersion = np.maximum((variance - mean) / np.maximum(mean, 1e-9) ** 2, 1e-6)
    surprise = (end - begin) * np.log1p(dispersion * mean) / dispersion
    recovered = (sums[row, until] - sums[row, end]) / np.maximum(after, 1) >= _RECOVERY * mean
    flagged = (surprise > -np.log(significance)) & recovered & (after > 0)
    flagged &= (before >= _LEAST_BEFORE) & (end - begin <= longest)
    marks = np.zeros((rows, context + 1), np.int8)
    np.add.at(marks, (row[flagged], begin[flagged]), 1)
    np.add.at(marks, (row[flagged], end[flagged]), -1)
    return np.asarray(np.cumsum(marks, 1)[:, :context] > 0)


def expected_units(units: Floats, available: Floats, length: npt.NDArray[Any]) -> Floats:
    """[N, C]: the level at each position: mean units of up to 8 available periods before it and 8 after it.

    Only the positions out of stock are read; where no period of a series was available it is 0.
    """
    rows, context = units.shape
    counted = (available > 0) & (np.arange(context) >= (context - length)[:, None])
    rank = np.cumsum(counted, 1)
    total = rank[:, -1:]
    by_rank = np.zeros((rows, context + 1))
    row, position = np.nonzero(counted)
    by_rank[row, rank[row, position]] = units[row, position]
    by_rank = np.cumsum(by_rank, 1)
    low, high = np.maximum(rank - _AROUND, 0), np.minimum(rank + _AROUND, total)
    summed = np.take_along_axis(by_rank, high, 1) - np.take_along_axis(by_rank, low, 1)
    return np.asarray(summed / np.maximum(high - low, 1), np.float32)


def _cumulative(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[N, C + 1] sums of the values before each position."""
    return np.pad(np.cumsum(values, 1, dtype=np.float64), ((0, 0), (1, 0)))
