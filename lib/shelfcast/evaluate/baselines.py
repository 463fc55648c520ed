"""Forecasts that anybody could make from a series' history alone, for the model to beat.

Smoothing methods are statsforecast's; averages and medians are taken over what there is where a history is short.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfcast.errors import ConfigError

Floats = npt.NDArray[np.float64]

_WINDOWED = re.compile(r"(window_average|moving_median)_([1-9][0-9]*)")
_SMOOTHED: dict[str, tuple[str, dict[str, float]]] = {
    "ses": ("SimpleExponentialSmoothingOptimized", {}),
    "croston_sba": ("CrostonSBA", {}),
    "tsb": ("TSB", {"alpha_d": 0.1, "alpha_p": 0.2}),  # of five pairs the most accurate on early Complete Journey weeks
    "imapa": ("IMAPA", {}),
    "theta": ("DynamicOptimizedTheta", {}),
}
_LEAST_OF_THETA = 4  # periods; shorter histories have no trend to speak of
_PLAIN = ("naive", "seasonal_naive")
ROUNDED = "_rounded"


def check(names: Sequence[str]) -> list[str]:
    """The baselines by name, in order.

    Raises:
        ConfigError: naming the unknown baseline and the nearest known one.
    """
    known = [*_PLAIN, "window_average_8", "moving_median_8", *_SMOOTHED]
    for name in names:
        if name not in known and not _WINDOWED.fullmatch(name):
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"evaluate.baselines: there is no baseline {name!r}; {meant}"
                f"known are {', '.join([*_PLAIN, *_SMOOTHED])}, window_average_N and moving_median_N"
            )
    if not names:
        raise ConfigError("evaluate.baselines is empty: name at least one, e.g. moving_median_8")
    return list(dict.fromkeys(names))


def forecast(name: str, units: Floats, length: npt.NDArray[np.int64], horizon: int, season: int) -> Floats:
    """Forecast a block of series.

    Args:
        name: a baseline that ``check`` accepts.
        units: [series, context] pieces, oldest first, padded with zeros at the left.
        length: [series] how many of the context periods are real.
        horizon: periods ahead.
        season: periods of a season, for ``seasonal_naive``; shorter histories take the last value instead.

    Returns:
        [series, horizon] pieces.
    """
    real = np.clip(length, 1, units.shape[1])
    if name == "naive":
        return _level(units[:, -1], horizon)
    if name == "seasonal_naive":
        return _seasonal(units, real, horizon, season)
    windowed = _WINDOWED.fullmatch(name)
    if windowed:
        last = _last(units, real, int(windowed[2]))
        statistic = np.nanmean if windowed[1] == "window_average" else np.nanmedian
        return _level(statistic(last, axis=1), horizon)
    if name == "theta":
        return _theta(units, real, horizon, season)
    smooth = _smoother(name)
    return np.stack([smooth(row[-n:], horizon) for row, n in zip(units, real, strict=True)])


def _level(value: Floats, horizon: int) -> Floats:
    return np.repeat(np.asarray(value, dtype=np.float64)[:, None], horizon, axis=1)


def _last(units: Floats, length: npt.NDArray[np.int64], periods: int) -> Floats:
    """[series, periods] the newest periods, padding as NaN."""
    context = units.shape[1]
    newest = units[:, max(context - periods, 0) :]
    distance = np.arange(newest.shape[1], 0, -1)
    return np.where(distance[None, :] <= length[:, None], newest, np.nan)


def _seasonal(units: Floats, length: npt.NDArray[np.int64], horizon: int, season: int) -> Floats:
    forecasts = _level(units[:, -1], horizon)
    whole = length >= season
    if whole.any():
        steps = units.shape[1] - season + np.arange(horizon) % season
        forecasts[whole] = units[whole][:, steps]
    return forecasts


def _theta(units: Floats, length: npt.NDArray[np.int64], horizon: int, season: int) -> Floats:
    """Dynamic optimised Theta, seasonal where two seasons are known, not below 0."""
    forecasts = _level(units[:, -1], horizon)
    for row in np.flatnonzero((length >= _LEAST_OF_THETA) & (units.min(axis=1) < units.max(axis=1))):
        history = units[row, -length[row] :]
        seasonal = season if len(history) >= 2 * season else 1
        found = _smoother("theta", seasonal)(history, horizon)
        forecasts[row] = np.where(np.isfinite(found), np.maximum(found, 0), forecasts[row])
    return forecasts


@cache
def _smoother(name: str, season: int | None = None) -> Callable[[Floats, int], Floats]:
    # Importing statsforecast takes seconds: only workers that forecast pay for it, once.
    from statsforecast import models

    kind, given = _SMOOTHED[name]
    model: Any = getattr(models, kind)(**given, **({} if season is None else {"season_length": season}))
    return lambda history, horizon: np.asarray(model.forecast(y=np.ascontiguousarray(history), h=horizon)["mean"])
