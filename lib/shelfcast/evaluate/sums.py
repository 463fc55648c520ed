"""Sums that all metrics follow from: per cell of rows, so that nothing that is added up grows with the data."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from utilsforecast import losses

from shelfcast.evaluate.baselines import ROUNDED, Floats
from shelfcast.evaluate.compared import CELL
from shelfcast.models.distributions import pit

QUANTILES = {"q10": 0.1, "q50": 0.5, "q90": 0.9}
TENTHS = range(1, 11)
_COLUMNS = ["y", *QUANTILES, "mean", "zero", "count_mean", "dispersion", "missing", "draw"]


def points(names: Sequence[str]) -> list[str]:
    """Point forecasts whose errors are added up: the model's, and each baseline as it is and rounded."""
    return ["q50", "q50_rounded", "mean", *names, *[name + ROUNDED for name in names]]


def measures(names: Sequence[str]) -> list[str]:
    """Columns of sums."""
    errors = [f"{point}__{kind}" for point in points(names) for kind in ("abs", "sq", "err")]
    levels = [f"{q}__{kind}" for q in QUANTILES for kind in ("pinball", "at_most", "below")]
    return ["n", "y_sum", "missing_sum", *errors, *levels, *[f"pit_{tenth}" for tenth in TENTHS]]


def cell_sums(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Sum one batch's errors by cell; losses are utilsforecast's means, taken back to sums.

    Args:
        rows: ``compared.compared``.
        names: baselines.

    Returns:
        a row per cell: its key and ``measures``.
    """
    frame, keys = _prepared(rows, names)
    every = points(names)
    n = frame.groupby("cell", sort=True).size().to_numpy(dtype=np.float64)
    sums = {"n": n, "y_sum": _total(frame, "y"), "missing_sum": _total(frame, "missing")}
    for kind, loss in (("abs", losses.mae), ("sq", losses.mse), ("err", losses.bias)):
        means = loss(frame, models=every, id_col="cell")
        sums |= {f"{point}__{kind}": means[point].to_numpy() * n for point in every}
    for name, level in QUANTILES.items():
        pinball = losses.quantile_loss(frame, models={name: name}, q=level, id_col="cell")
        at_most = losses.calibration(frame, models={name: name}, id_col="cell")
        # P(y < q) is one less the share of q <= y: the same function with the two sides changed.
        reached = losses.calibration(frame, models={name: "y"}, id_col="cell", target_col=name)
        sums[f"{name}__pinball"] = pinball[name].to_numpy() * n
        sums[f"{name}__at_most"] = at_most[name].to_numpy() * n
        sums[f"{name}__below"] = (1 - reached[name].to_numpy()) * n
    for tenth in TENTHS:
        frame["inside"] = frame["tenth"] == tenth
        sums[f"pit_{tenth}"] = _total(frame, "inside")
    return pd.concat([keys, pd.DataFrame(sums)], axis=1)[[*CELL, *measures(names)]]


def _prepared(rows: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows with their cell's number and all point forecasts; the cells' keys in that order."""
    grouped = rows.groupby(CELL, sort=True)
    keys = grouped.size().reset_index()[CELL]
    frame = rows[[*_COLUMNS, *names]].copy()
    frame["cell"] = grouped.ngroup()
    frame["missing"] = frame["missing"].astype(np.float64)
    for name in ("q50", *names):
        frame[name + ROUNDED] = np.rint(frame[name])
    transform = pit(
        *(frame[name].to_numpy(dtype=np.float64) for name in ("y", "zero", "count_mean", "dispersion", "draw"))
    )
    frame["tenth"] = np.clip(np.floor(transform * 10) + 1, 1, 10)
    return frame, keys


def _total(frame: pd.DataFrame, column: str) -> Floats:
    return frame.groupby("cell", sort=True)[column].sum().to_numpy(dtype=np.float64)


def summed(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Add up ``cell_sums`` over all rows: at most horizons × classes × deciles × 2 rows."""
    columns = measures(names)
    listed = list(names)
    schema = "horizon int, demand_class string, decile int, promoted boolean, " + ", ".join(
        f"{column} double" for column in columns
    )

    def batches(parts: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            if len(part):
                yield cell_sums(part, listed)

    needed = rows.select(*CELL, *_COLUMNS, *listed)
    return needed.mapInPandas(batches, schema).groupBy(*CELL).agg(*[F.sum(column).alias(column) for column in columns])
