"""Exact quantiles of zero-inflated negative binomials, many at a time.

Small counts, nearly all of a catalogue, are reached by summing probabilities upwards with the recurrence

    NB(0) = (1 + αμ)^(−1/α),   NB(k) = NB(k − 1)·(1/α + k − 1)/k·αμ/(1 + αμ),

which costs a few products where the incomplete beta function costs a continued fraction. Large ones, and levels so
close to a step of the distribution function that rounding could decide, are searched with the incomplete beta function.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

_STEPS = (3, 10, 40, 160)  # few distributions are left after each
_ROWS = 16384  # so that what a step reads and writes stays in the cache
_FEW = 1024
_ROUNDING = 1e-11  # of a sum of 160 probabilities, generously
_LEAST = 1e-280  # below it NB(0) loses digits, and so would all that follow from it


def smallest(levels: NDArray[Any], zero: NDArray[Any], mean: NDArray[Any], dispersion: NDArray[Any]) -> NDArray[Any]:
    """[N, levels] float64, the smallest y with P(Y ≤ y) ≥ level, of N distributions."""
    found = np.empty((len(zero), len(levels)))
    for start in range(0, len(zero), _ROWS):
        part = slice(start, start + _ROWS)
        found[part] = _smallest(levels, zero[part], mean[part], dispersion[part])
    return found


def _smallest(levels: NDArray[Any], zero: NDArray[Any], mean: NDArray[Any], dispersion: NDArray[Any]) -> NDArray[Any]:
    wanted = (levels[:, None] - zero) / np.maximum(1.0 - zero, 1e-300)  # [levels, N], of the count part
    found = np.full(wanted.shape, -1.0)
    rising = dispersion * mean
    none, size, odds = np.exp(-np.log1p(rising) / dispersion), 1.0 / dispersion, rising / (1.0 + rising)
    left = np.flatnonzero(none > _LEAST)
    for steps in _STEPS:
        sums = _summed(none[left], size[left], odds[left], steps)
        for place, aim in enumerate(wanted[:, left]):
            found[place, left] = _reached(sums, aim)
        left = left[sums[-1] < wanted[:, left].max(0)]
        if not len(left):
            break
    places, rows = np.nonzero(found < 0.0)
    if len(rows):
        found[places, rows] = searched(levels[places], zero[rows], mean[rows], dispersion[rows])
    return found.T


def _summed(none: NDArray[Any], size: NDArray[Any], odds: NDArray[Any], steps: int) -> NDArray[Any]:
    """[steps, N]: the count part's P(Y ≤ k), k = 0 .. steps − 1."""
    sums = np.empty((steps, len(none)))
    sums[0] = none
    k = np.arange(1.0, steps)[:, None]
    np.add(size, k - 1.0, out=sums[1:])
    sums[1:] *= odds
    sums[1:] /= k
    if len(none) < _FEW:
        return np.asarray(np.add.accumulate(np.multiply.accumulate(sums, 0), 0))
    # Row by row where rows are long: numpy accumulates column by column.
    for row in range(1, steps):
        sums[row] *= sums[row - 1]
    for row in range(1, steps):
        sums[row] += sums[row - 1]
    return sums


def _reached(sums: NDArray[Any], aim: NDArray[Any]) -> NDArray[Any]:
    """The first row of ``sums`` not below ``aim``; −1 where no row is, or where rounding could decide."""
    steps = len(sums)
    first = np.add.reduce((sums < aim - _ROUNDING).view(np.int8), 0, dtype=np.int8 if steps < 128 else np.int16)
    at = sums[np.minimum(first, steps - 1), np.arange(len(aim))]
    return np.where((first < steps) & (at > aim + _ROUNDING), first, -1.0)


def searched(levels: NDArray[Any], zero: NDArray[Any], mean: NDArray[Any], dispersion: NDArray[Any]) -> NDArray[Any]:
    """[N] quantiles by bisection on the exact distribution function, between bounds found from a gamma start.

    Args:
        levels: [N], one of each distribution.
    """

    def enough(y: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(upto(y, zero, mean, dispersion) >= levels)

    aim = np.clip((levels - zero) / np.maximum(1.0 - zero, 1e-300), 1e-12, 1.0 - 1e-12)
    variance = mean * (1.0 + dispersion * mean)
    gamma = mean**2 / variance  # shape of the gamma distribution of this mean and variance
    guess = np.floor(special.gammaincinv(gamma, aim) * (mean / gamma))
    reach = np.maximum(np.floor(np.sqrt(variance) / 128.0), 1.0)
    low, high = guess - reach, guess + reach  # P(Y <= low) < level <= P(Y <= high) once both loops are over
    below, above = reach.copy(), reach.copy()
    while (wrong := (low >= 0.0) & enough(low)).any():
        high, below = np.where(wrong, low, high), np.where(wrong, 2.0 * below, below)
        low = np.where(wrong, low - below, low)
    low = np.maximum(low, -1.0)
    while (wrong := ~enough(high) & (high < 1e18)).any():
        low, above = np.where(wrong, high, low), np.where(wrong, 2.0 * above, above)
        high = np.where(wrong, high + above, high)
    while (high - low > 1.0).any():
        middle = np.floor((low + high) / 2.0)
        reached = enough(middle) & (middle > low)
        low, high = np.where(reached, low, np.maximum(low, middle)), np.where(reached, middle, high)
    return np.asarray(high)


def upto(y: NDArray[Any], zero: NDArray[Any], mean: NDArray[Any], dispersion: NDArray[Any]) -> NDArray[Any]:
    """P(Y ≤ y) for whole y ≥ −1: I_p(1/α, y + 1) with p = 1/(1 + αμ), mixed with the extra zeros."""
    size = 1.0 / dispersion
    count = special.betainc(size, np.maximum(y, 0.0) + 1.0, size / (size + mean))
    return np.asarray(np.where(y < 0.0, 0.0, zero + (1.0 - zero) * count))
