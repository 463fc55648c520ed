"""Zero-inflated negative binomial counts, vectorised: numpy and scipy only.

A distribution is three arrays of one shape: ``zero`` π, the extra probability of 0; ``mean`` μ and ``dispersion`` α of
the count part. With NB the negative binomial of variance μ + α·μ²:

    P(y = 0) = π + (1 − π)·NB(0),   P(y = k) = (1 − π)·NB(k),   E y = (1 − π)·μ
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

_SMALLEST = 1e-8
_LARGEST_MEAN = 1e12


class Zinb(NamedTuple):
    """Parameters, arrays of one shape."""

    zero: NDArray[Any]
    mean: NDArray[Any]
    dispersion: NDArray[Any]


def _clean(zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> Zinb:
    return Zinb(
        np.clip(np.asarray(zero, np.float64), 0.0, 1.0),
        np.clip(np.asarray(mean, np.float64), _SMALLEST, _LARGEST_MEAN),
        np.clip(np.asarray(dispersion, np.float64), 1e-6, 1e6),
    )


def cdf(y: ArrayLike, zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """P(Y ≤ y), of any real y; 0 below 0."""
    d = _clean(zero, mean, dispersion)
    k = np.floor(np.asarray(y, np.float64))
    size = 1.0 / d.dispersion
    # P(Y <= k) = I_p(size, k + 1), p = size / (size + mean)
    count = special.betainc(size, np.maximum(k, 0.0) + 1.0, size / (size + d.mean))
    return np.asarray(np.where(k < 0, 0.0, d.zero + (1.0 - d.zero) * count))


def expectation(zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """E Y."""
    d = _clean(zero, mean, dispersion)
    return np.asarray((1.0 - d.zero) * d.mean)


def variance(zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """Var Y."""
    d = _clean(zero, mean, dispersion)
    return np.asarray((1.0 - d.zero) * d.mean * (1.0 + d.mean * (d.dispersion + d.zero)))


def quantile(level: float, zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """The smallest integer y with P(Y ≤ y) ≥ level, by bisection on the exact distribution function.

    Non-decreasing in ``level``, so quantiles of one distribution cannot cross.

    Args:
        level: between 0 and 1, both exclusive.
    """
    d = Zinb(*(np.ascontiguousarray(a) for a in np.broadcast_arrays(*_clean(zero, mean, dispersion))))
    if not 0.0 < level < 1.0:
        raise ValueError(f"a quantile's level lies between 0 and 1, not at {level}")
    low = np.full(d.zero.shape, -1.0)  # always P(Y <= low) < level <= P(Y <= high)
    high = np.zeros(d.zero.shape)
    short = cdf(high, *d) < level
    while short.any():
        low = np.where(short, high, low)
        high = np.where(short, 2.0 * high + 1.0, high)
        short = (cdf(high, *d) < level) & (high < _LARGEST_MEAN * 1e3)
    while ((high - low) > 1.0).any():
        middle = np.floor((low + high) / 2.0)
        enough = cdf(middle, *d) >= level
        high = np.where(enough & (middle > low), middle, high)
        low = np.where(~enough, middle, low)
    return high


def pit(y: ArrayLike, zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike, uniform: ArrayLike) -> NDArray[Any]:
    """Randomised probability integral transform F(y − 1) + v·(F(y) − F(y − 1)), uniform where the forecast is right.

    Czado, Gneiting and Held (2009), Predictive model assessment for count data. ``uniform`` v is drawn by the caller.
    """
    below = cdf(np.asarray(y, np.float64) - 1.0, zero, mean, dispersion)
    upto = cdf(y, zero, mean, dispersion)
    return np.asarray(below + np.asarray(uniform, np.float64) * (upto - below))


def cumulative(zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike, correlation: float) -> Zinb:
    """Distributions of the sums over horizons 1..h, matched in mean, variance and probability of 0.

    Every two horizons of a series are taken to correlate by ``correlation``; P(sum = 0) is interpolated between
    independence (product) and perfect dependence (smallest) by it.

    Args:
        zero, mean, dispersion: [..., horizon].

    Returns:
        arrays [..., horizon]; entry h − 1 is the sum over 1..h, entry 0 the first horizon itself.
    """
    d = _clean(zero, mean, dispersion)
    spread = np.sqrt(variance(*d))
    total = np.cumsum(expectation(*d), -1)
    squares = np.cumsum(spread**2, -1)
    var = squares + correlation * (np.cumsum(spread, -1) ** 2 - squares)
    none = np.log(np.clip(cdf(np.zeros_like(d.mean), *d), 1e-300, 1.0))
    apart, together = np.cumsum(none, -1), np.minimum.accumulate(none, -1)
    empty = np.exp(apart + np.clip(correlation, 0.0, 1.0) * (together - apart))
    matched = matching(total, var, empty)
    first = np.arange(d.mean.shape[-1]) == 0
    return Zinb(
        *(np.where(first, np.broadcast_to(own, sums.shape), sums) for own, sums in zip(d, matched, strict=True))
    )


def matching(total: NDArray[Any], var: NDArray[Any], empty: NDArray[Any]) -> Zinb:
    """The zero-inflated negative binomial with this mean, variance and, as far as one has it, P(0).

    Bisection on π: at fixed mean and variance, P(0) rises with π as long as the count part is overdispersed.
    """
    total = np.maximum(total, _SMALLEST)
    # alpha(pi) = ((var / total - 1) * (1 - pi) / total) - pi must stay positive: pi < ceiling
    excess = np.maximum(var / total - 1.0, 1e-6)
    ceiling = excess / (excess + total) * (1.0 - 1e-9)
    low, high = np.zeros_like(total), ceiling
    for _ in range(40):
        middle = (low + high) / 2.0
        more = cdf(np.zeros_like(total), *_given(middle, total, excess)) < empty
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return _given(low, total, excess)


def _given(zero: NDArray[Any], total: NDArray[Any], excess: NDArray[Any]) -> Zinb:
    """π fixed, the mean and the variance of the whole kept."""
    mean = total / (1.0 - zero)
    return Zinb(zero, mean, np.maximum(excess / mean - zero, 1e-6))
