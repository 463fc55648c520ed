"""Sums that all metrics follow from: per cell of rows, so that nothing that is added up grows with the data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from utilsforecast import losses

from shelfcast.evaluate.baselines import ROUNDED, Floats
from shelfcast.evaluate.compared import BOOSTED_QUANTILES, CELL, SERIES
from shelfcast.models.boosting import COLUMNS
from shelfcast.models.distributions import pit

QUANTILES = {"q10": 0.1, "q50": 0.5, "q90": 0.9}
TENTHS = range(1, 11)
RIVAL = "lightgbm_quantile"
_RIVAL_QUANTILES = {**BOOSTED_QUANTILES, COLUMNS["l1"]: 0.5}
_COLUMNS = ["y", *QUANTILES, "mean", "zero", "count_mean", "dispersion", "missing", "draw"]


def points(names: Sequence[str]) -> list[str]:
    """Point forecasts whose errors are added up: the model's, and each baseline as it is and rounded."""
    return ["q50", "q50_rounded", "mean", *names, *[name + ROUNDED for name in names]]


def rival_quantiles(columns: Sequence[str]) -> dict[str, float]:
    """Columns of the rival that forecasts quantiles, with their levels; none unless all are there."""
    return _RIVAL_QUANTILES if _RIVAL_QUANTILES.keys() <= set(columns) else {}


def measures(names: Sequence[str], quantiles: Mapping[str, float] | None = None) -> list[str]:
    """Columns of sums.

    Args:
        names: baselines.
        quantiles: ``rival_quantiles``.
    """
    errors = [f"{point}__{kind}" for point in points(names) for kind in ("abs", "sq", "err")]
    levels = [f"{q}__{kind}" for q in QUANTILES for kind in ("pinball", "at_most", "below")]
    rival = [f"{RIVAL}__pinball", f"{RIVAL}{ROUNDED}__pinball"] if quantiles else []
    return ["n", "y_sum", "missing_sum", *errors, *levels, *rival, *[f"pit_{tenth}" for tenth in TENTHS]]


def cell_sums(rows: pd.DataFrame, names: Sequence[str], quantiles: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Sum one batch's errors by cell; losses are utilsforecast's means, taken back to sums.

    Args:
        rows: ``compared.compared``.
        names: baselines.
        quantiles: ``rival_quantiles``.

    Returns:
        a row per cell: its key and ``measures``.
    """
    frame, keys = _prepared(rows, names, list(quantiles or {}))
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
    for ending in ("", ROUNDED) if quantiles else ():
        sums[f"{RIVAL}{ending}__pinball"] = sum(
            losses.quantile_loss(frame, models={name: name + ending}, q=level, id_col="cell")[name].to_numpy() * n
            for name, level in (quantiles or {}).items()
        )
    for tenth in TENTHS:
        frame["inside"] = frame["tenth"] == tenth
        sums[f"pit_{tenth}"] = _total(frame, "inside")
    return pd.concat([keys, pd.DataFrame(sums)], axis=1)[[*CELL, *measures(names, quantiles)]]


def _prepared(rows: pd.DataFrame, names: Sequence[str], quantiles: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows with their cell's number and all point forecasts; the cells' keys in that order."""
    grouped = rows.groupby(CELL, sort=True)
    keys = grouped.size().reset_index()[CELL]
    every = list(dict.fromkeys([*names, *quantiles]))
    frame = rows[[*_COLUMNS, *every]].copy()
    frame["cell"] = grouped.ngroup()
    frame["missing"] = frame["missing"].astype(np.float64)
    for name in ("q50", *every):
        frame[name + ROUNDED] = np.rint(frame[name])
    transform = pit(
        *(frame[name].to_numpy(dtype=np.float64) for name in ("y", "zero", "count_mean", "dispersion", "draw"))
    )
    frame["tenth"] = np.clip(np.floor(transform * 10) + 1, 1, 10)
    return frame, keys


def _total(frame: pd.DataFrame, column: str) -> Floats:
    return frame.groupby("cell", sort=True)[column].sum().to_numpy(dtype=np.float64)


def summed(rows: DataFrame, names: Sequence[str], quantiles: Mapping[str, float] | None = None) -> DataFrame:
    """Add up ``cell_sums`` over all rows: at most horizons × classes × deciles × 2 rows."""
    columns = measures(names, quantiles)
    listed, levels = list(names), dict(quantiles or {})
    schema = "horizon int, demand_class string, decile int, promoted boolean, " + ", ".join(
        f"{column} double" for column in columns
    )

    def batches(parts: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            if len(part):
                yield cell_sums(part, listed, levels)

    needed = rows.select(*CELL, *_COLUMNS, *dict.fromkeys([*listed, *levels]))
    return needed.mapInPandas(batches, schema).groupBy(*CELL).agg(*[F.sum(column).alias(column) for column in columns])


def scaled_errors(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """RMSSE of the model's mean and of every baseline, one row.

    Of a series: the root of its mean squared error over the horizon ÷ ``naive_square``. Over series: the mean, and the
    mean weighted by the pieces of the last periods (M5's weights, without prices). A history that never moved has none.

    Returns:
        per point ``<point>__rmsse`` and ``<point>__rmsse_weighted``.
    """
    every = [name for name in points(names) if not name.startswith("q50")]
    squares = [F.avg((F.col("y") - forecast_of(name)) ** 2).alias(name) for name in every]
    held = rows.where(F.col("naive_square") > 0).groupBy(*SERIES)
    series = held.agg(F.first("naive_square").alias("scale"), F.first("recent").alias("weight"), *squares)
    total = F.nullif(F.sum("weight"), F.lit(0.0))
    found = []
    for name in every:
        error = F.sqrt(F.col(name) / F.col("scale"))
        found += [
            F.avg(error).alias(f"{name}__rmsse"),
            (F.sum(error * F.col("weight")) / total).alias(f"{name}__rmsse_weighted"),
        ]
    return series.agg(*found)


def forecast_of(point: str) -> Column:
    """A point forecast's column of ``compared.compared``, by its name of ``points``."""
    return F.rint(point.removesuffix(ROUNDED)) if point.endswith(ROUNDED) else F.col(point)
