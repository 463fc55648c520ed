"""Training around periods in which a series could not be bought: numpy, arrays [N, C] oldest first.

``available`` is 1 where a period counts and 0 where it was out of stock; it is 1 in the padding.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def available_mean(units: NDArray[Any], available: NDArray[Any], length: NDArray[Any], periods: int) -> NDArray[Any]:
    """Mean units of the available ones among the last min(``periods``, age) periods up to each position (causal).

    Where none of them was available the last mean that was known holds; 0 before the first one.
    """
    counted = (available > 0) & _started(units, length)
    sums, counts = _window(units * counted, periods), _window(counted, periods)
    known = np.where(counts > 0.5, sums / np.maximum(counts, 1.0), np.nan)
    place = np.maximum.accumulate(np.where(np.isnan(known), -1, np.arange(units.shape[1])), 1)
    held = np.take_along_axis(known, np.maximum(place, 0), 1)
    return np.asarray(np.where(place < 0, 0.0, held), np.float32)


def available_targets(available: NDArray[Any], horizon: int) -> NDArray[Any]:
    """[N, C, H]: 1 where a position and its target were both available, to be multiplied with the weights.

    A position out of stock teaches nothing either: what it has just seen is no demand.
    """
    ahead = np.concatenate([available, np.ones((len(available), horizon), available.dtype)], 1)
    context = available.shape[1]
    reach = np.stack([ahead[:, 1 + h : 1 + h + context] for h in range(horizon)], -1)
    return np.asarray(((reach > 0) & (available > 0)[..., None]), np.float32)


def uncensored(units: NDArray[Any], available: NDArray[Any], length: NDArray[Any], periods: int = 13) -> NDArray[Any]:
    """Units with periods out of stock raised to the level known by then, so that a silence is not read as one."""
    level = available_mean(units, available, length, periods)
    return np.asarray(np.where((available > 0) | ~_started(units, length), units, np.maximum(units, level)), np.float32)


def _started(units: NDArray[Any], length: NDArray[Any]) -> NDArray[Any]:
    context = units.shape[1]
    return np.asarray(np.arange(context) >= (context - length)[:, None])


def _window(values: NDArray[Any], periods: int) -> NDArray[Any]:
    """Sums of the last ``periods`` values up to each position."""
    total = np.cumsum(values, 1, dtype=np.float64)
    before = np.zeros_like(total)
    before[:, periods:] = total[:, :-periods]
    return np.asarray(total - before)
