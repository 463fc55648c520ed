"""How well the ends of a product's life are forecast: launches and silences, by Poisson deviance.

At a few pieces a month WAPE says nothing: a forecast of zero wins. The deviance rewards the right mean, however small.
Plain numpy; N series, H horizons.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SHRINK = 10.0  # launches that the mean by age weighs as much as, in a category's mean
_LEAST = 1e-9


class History(NamedTuple):
    """units [N, C] oldest first, ending at the origin; age [N] periods since the first sale, both counted."""

    units: NDArray[Any]
    age: NDArray[Any]


def poisson_deviance(truth: NDArray[Any], mean: NDArray[Any]) -> float:
    """Mean unit deviance 2·(y·log(y ÷ m) − (y − m)); 0 for a perfect forecast."""
    fit = np.maximum(np.asarray(mean, np.float64), _LEAST)
    y = np.asarray(truth, np.float64)
    logs = np.where(y > 0, y * np.log(np.where(y > 0, y, 1.0) / fit), 0.0)
    return float(np.mean(2.0 * (logs - (y - fit))))


def mean_by_age(history: History, horizon: int, newest: int) -> NDArray[Any]:
    """[newest + horizon + 1]: mean units of launches at each age, 1 being the period of the first sale.

    Launches whose first sale lies in the window's first quarter are left out: they may only seem to be launches.
    """
    sums, counts = _by_age(history, horizon, newest, np.zeros(len(history.age), int), 1)
    return np.asarray((sums / np.maximum(counts, 1.0))[0])


def launch_means(history: History, category: NDArray[Any], horizon: int, newest: int) -> NDArray[Any]:
    """[N, H]: for each series the mean units of its category's launches at its ages ahead, shrunk to all launches'.

    Args:
        category: [N] values of any kind.
        newest: greatest age of a series that is asked for; the rows of older ones mean nothing.
    """
    names, number = np.unique(np.asarray(category, str), return_inverse=True)
    overall = mean_by_age(history, horizon, newest)
    sums, counts = _by_age(history, horizon, newest, number, len(names))
    shrunk = (sums + SHRINK * overall) / (counts + SHRINK)
    ahead = np.minimum(history.age, newest)[:, None] + np.arange(1, horizon + 1)
    return np.asarray(shrunk[number[:, None], ahead])


def gaps(history: History) -> NDArray[Any]:
    """[N] periods since the last sale; the whole context where there is none."""
    sold = history.units > 0
    return np.where(sold.any(1), np.argmax(sold[:, ::-1], 1), history.units.shape[1])


def _by_age(
    history: History, horizon: int, newest: int, number: NDArray[Any], groups: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Units and launches per group and age, of the periods up to the origin alone."""
    context = history.units.shape[1]
    seen = int(np.minimum(history.age, context).max(initial=0))
    launched = (history.age <= context) & (history.age <= seen - seen // 4)
    sums, counts = np.zeros((groups, newest + horizon + 1)), np.zeros((groups, newest + horizon + 1))
    for age in range(1, newest + horizon + 1):
        rows = np.flatnonzero(launched & (history.age >= age))
        np.add.at(sums[:, age], number[rows], history.units[rows, context - history.age[rows] + age - 1])
        np.add.at(counts[:, age], number[rows], 1.0)
    return sums, counts
