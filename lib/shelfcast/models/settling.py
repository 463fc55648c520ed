"""What the network cannot know is settled after it: products without history, and the end of a listing."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from shelfcast.models import distributions
from shelfcast.models.distributions import Zinb
from shelfcast.models.launches import LaunchRates, fitted
from shelfcast.models.trained_forecaster import LEVELS, Forecasts

COLUMNS = ("length", "listed")
"""Columns of gold/windows read here besides those of ``window_tensors.COLUMNS``."""


def rates_of(cells: pd.DataFrame) -> dict[str, LaunchRates]:
    """Grain → rates, from gold/launches of one as-of date."""
    return {str(grain): fitted(part) for grain, part in cells.groupby("grain")}


def settled(found: Forecasts, table: pa.Table, rates: Mapping[str, LaunchRates], correlation: float) -> Forecasts:
    """Forecasts with those of series that never sold taken from ``rates``, and 0 from the end of a listing on.

    Args:
        found: of the rows of ``table``, rows of gold/windows.
        rates: grain → rates; a grain without any gets those of nothing observed.
        correlation: between two horizons of a series, for the sums.
    """
    length, listed = (table[name].to_numpy() for name in COLUMNS)
    horizon = found.mean.shape[-1]
    unsold = np.flatnonzero(length == 0)
    grains = np.asarray(table["grain"].take(unsold).to_pylist(), object)
    for grain in sorted(set(grains)):
        rows = unsold[grains == grain]
        launched = rates.get(grain) or fitted(_nothing())
        _replace(found, rows, launched.forecast(table.take(rows), horizon), correlation)
    return _ended(found, listed) if (listed < horizon).any() else found


def _replace(found: Forecasts, rows: NDArray[Any], single: Zinb, correlation: float) -> None:
    sums = distributions.cumulative(*single, correlation)
    both = Zinb(*(np.stack([a, b], 1) for a, b in zip(single, sums, strict=True)))
    mean = distributions.expectation(*single)
    found.mean[rows] = np.stack([mean, np.cumsum(mean, -1)], 1)
    found.quantiles[rows] = distributions.quantiles(LEVELS, *both)
    for whole, part in zip(found.distribution, both, strict=True):
        whole[rows] = part


def _ended(found: Forecasts, listed: NDArray[Any]) -> Forecasts:
    """Horizons from ``listed`` on sell nothing; sums stay what they were before."""
    horizon = found.mean.shape[-1]
    past = np.arange(horizon) >= listed[:, None]
    newest = np.minimum(np.arange(horizon)[None], np.maximum(listed - 1, 0)[:, None])
    never = listed == 0

    def closed(values: NDArray[Any], nothing: float) -> NDArray[Any]:
        single = np.where(past, nothing, values[:, 0])
        sums = np.where(never[:, None], nothing, np.take_along_axis(values[:, 1], newest, 1))
        return np.stack([single, sums], 1)

    quantiles = np.stack([closed(found.quantiles[..., n], 0.0) for n in range(found.quantiles.shape[-1])], -1)
    zero, mean, dispersion = found.distribution
    return Forecasts(quantiles, closed(found.mean, 0.0), Zinb(closed(zero, 1.0), closed(mean, 0.0), dispersion))


def _nothing() -> pd.DataFrame:
    names = {"plan": str, "department": str, "category": str, "periods": float, "sold_periods": float, "units": float}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in names.items()})
