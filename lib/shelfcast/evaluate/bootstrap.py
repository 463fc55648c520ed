"""How sure a difference is: a paired bootstrap over series for WAPE, over users for what a list finds."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.evaluate.compared import CELL, SERIES
from shelfcast.evaluate.forecast_metrics import segments
from shelfcast.evaluate.sums import forecast_of

SAMPLE = 20_000
RESAMPLES = 1_000
_CHUNK = 50
_PARTS = 2**20

Interval = tuple[float, float, float]


def errors(rows: DataFrame, rivals: Sequence[str], series: int, seed: int) -> DataFrame:
    """What the bootstrap needs of about ``SAMPLE`` series at most, drawn by a hash of their key.

    Args:
        rows: ``compared.compared``.
        rivals: names of point forecasts, as in ``sums.points``.
        series: how many there are.
        seed: chooses the series.

    Returns:
        a row per series and horizon: series (a number), CELL, y, ours and a column per rival: absolute errors.
    """
    drawn = F.pmod(F.xxhash64(*SERIES, F.lit(seed)), F.lit(_PARTS)) < int(_PARTS * min(1.0, SAMPLE / max(series, 1)))
    return rows.where(drawn).select(
        F.xxhash64(*SERIES).alias("series"),
        *CELL,
        "y",
        F.abs(F.col("y") - F.col("q50")).alias("ours"),
        *[F.abs(F.col("y") - forecast_of(name)).alias(name) for name in rivals],
    )


def intervals(
    found: pd.DataFrame, rivals: Sequence[str], seed: int, resamples: int = RESAMPLES
) -> Iterator[tuple[str, str, Interval]]:
    """WAPE of the model less that of each rival, with its 95 % percentile interval (Efron 1979), by segment.

    Args:
        found: ``errors``, collected. Whole series are drawn, because a series' errors hang together.
        rivals: its columns.
        seed: of the draws, which are the same for all rivals and segments.
        resamples: how many.

    Yields:
        segment, rival, (difference, low, high), where anything was sold.
    """
    if found.empty:
        return
    numbers, _ = pd.factorize(found["series"])
    count = int(numbers.max()) + 1
    parts = dict(segments(found))
    columns = ["y", *rivals]
    values = np.column_stack([found["y"], *(found["ours"] - found[name] for name in rivals)])
    sums = np.concatenate([_by_series(numbers, values, mask, count) for mask in parts.values()], axis=1)
    drawn = _drawn(sums, count, seed, resamples).reshape(resamples, len(parts), len(columns))
    whole = sums.sum(axis=0).reshape(len(parts), len(columns))
    for place, segment in enumerate(parts):
        sold = drawn[:, place, 0]
        if whole[place, 0] <= 0 or not (sold > 0).any():
            continue
        for column, rival in enumerate(rivals, 1):
            ratios = drawn[sold > 0, place, column] / sold[sold > 0]
            low, high = np.quantile(ratios, [0.025, 0.975])
            yield segment, rival, (float(whole[place, column] / whole[place, 0]), float(low), float(high))


def mean_intervals(
    sums: npt.NDArray[Any], counts: npt.NDArray[Any], seed: int, resamples: int = RESAMPLES
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Means with their 95 % percentile intervals (Efron 1979), from sums over buckets of users.

    Whole buckets are drawn. A user's bucket is chance, so that the variance of a bucket's sum is that of its users'
    sum, and drawing buckets is as good as drawing users, whatever their number.

    Args:
        sums: [buckets, columns] of differences.
        counts: [buckets, columns] users behind them; of no column all 0.
        seed: of the draws, which are the same for all columns.
        resamples: how many.

    Returns:
        means, lower and upper ends, each [columns].
    """
    columns = sums.shape[1]
    drawn = _drawn(np.concatenate([sums, counts], axis=1), len(sums), seed, resamples)
    users = drawn[:, columns:]
    ratios = np.divide(drawn[:, :columns], users, out=np.full_like(users, np.nan), where=users > 0)
    low, high = np.nanquantile(ratios, [0.025, 0.975], axis=0)
    return sums.sum(axis=0) / counts.sum(axis=0), low, high


def _by_series(
    numbers: npt.NDArray[Any], values: npt.NDArray[Any], mask: npt.NDArray[Any], count: int
) -> npt.NDArray[Any]:
    """[series, columns]: sums over a segment's rows."""
    return np.column_stack([np.bincount(numbers[mask], column[mask], minlength=count) for column in values.T])


def _drawn(sums: npt.NDArray[Any], count: int, seed: int, resamples: int) -> npt.NDArray[Any]:
    """[resamples, columns]: sums over series drawn with replacement."""
    random = np.random.default_rng(seed)
    found = []
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        weights = [np.bincount(random.integers(0, count, count), minlength=count) for _ in range(size)]
        found.append(np.asarray(weights, np.float64) @ sums)
    return np.concatenate(found)
