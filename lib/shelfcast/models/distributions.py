"""Zero-inflated negative binomial counts, vectorised: numpy and scipy only.

A distribution is three arrays of one shape: ``zero`` π, the extra probability of 0; ``mean`` μ and ``dispersion`` α of
the count part. With NB the negative binomial of variance μ + α·μ²:

    P(y = 0) = π + (1 − π)·NB(0),   P(y = k) = (1 − π)·NB(k),   E y = (1 − π)·μ
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from shelfcast.models import count_quantiles

_SMALLEST = 1e-8
_LARGEST_MEAN = 1e12
_ROOT_STEPS = 10


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
    k = np.maximum(np.floor(np.asarray(y, np.float64)), -1.0)
    return count_quantiles.upto(k, *d)


def empty(zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """P(Y = 0), in closed form."""
    d = _clean(zero, mean, dispersion)
    return np.asarray(d.zero + (1.0 - d.zero) * np.exp(-np.log1p(d.dispersion * d.mean) / d.dispersion))


def negative_log_likelihood(y: ArrayLike, zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """Of counts, element by element; ``forecaster.negative_log_likelihood`` is the same for TensorFlow's gradients."""
    truth, zero = np.asarray(y), np.clip(zero, 1e-12, 1 - 1e-12)
    size, product = 1.0 / np.asarray(dispersion), np.multiply(dispersion, mean)
    nothing = -size * np.log1p(product)
    count = np.maximum(truth, 1.0)  # where it is 0 the other branch holds
    counted = special.gammaln(count + size) - special.gammaln(size) - special.gammaln(count + 1.0) + nothing
    counted += count * (np.log(product) - np.log1p(product))
    inflated = np.logaddexp(np.log(zero), np.log1p(-zero) + nothing)
    return np.asarray(-np.where(truth > 0, np.log1p(-zero) + counted, inflated))


def expectation(zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """E Y."""
    d = _clean(zero, mean, dispersion)
    return np.asarray((1.0 - d.zero) * d.mean)


def variance(zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """Var Y."""
    d = _clean(zero, mean, dispersion)
    return np.asarray((1.0 - d.zero) * d.mean * (1.0 + d.mean * (d.dispersion + d.zero)))


def quantile(level: float, zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """The smallest integer y with P(Y ≤ y) ≥ level; see ``quantiles``."""
    return quantiles((level,), zero, mean, dispersion)[..., 0]


def quantiles(levels: Sequence[float], zero: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> NDArray[Any]:
    """[..., levels]: for each level the smallest integer y with P(Y ≤ y) ≥ level.

    Non-decreasing in the level, so quantiles of one distribution cannot cross.

    Args:
        levels: each between 0 and 1, both exclusive.
    """
    if not all(0.0 < level < 1.0 for level in levels):
        raise ValueError(f"a quantile's level lies between 0 and 1, not at {list(levels)}")
    d = Zinb(*np.broadcast_arrays(*_clean(zero, mean, dispersion)))
    return count_quantiles.smallest(np.asarray(levels, np.float64), *(a.reshape(-1) for a in d)).reshape(
        *d.zero.shape, len(levels)
    )


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
    none = np.log(np.clip(empty(*d), 1e-300, 1.0))
    apart, together = np.cumsum(none, -1), np.minimum.accumulate(none, -1)
    expected = np.exp(apart + np.clip(correlation, 0.0, 1.0) * (together - apart))
    matched = matching(total[..., 1:], var[..., 1:], expected[..., 1:])
    return Zinb(*(np.concatenate([own[..., :1], sums], -1) for own, sums in zip(d, matched, strict=True)))


def matching(total: NDArray[Any], var: NDArray[Any], none: NDArray[Any]) -> Zinb:
    """The zero-inflated negative binomial with this mean, variance and, as far as one has it, P(0) = ``none``.

    At fixed mean and variance P(0) rises with π as long as the count part is overdispersed, so its root is bracketed;
    it is found by false position in the variant of Illinois (Dowell and Jarratt 1971).
    """
    total = np.maximum(total, _SMALLEST)
    # alpha(pi) = ((var / total - 1) * (1 - pi) / total) - pi must stay positive: pi < ceiling
    excess = np.maximum(var / total - 1.0, 1e-6)

    def surplus(zero: NDArray[Any]) -> NDArray[Any]:
        mean = total / (1.0 - zero)
        dispersion = np.maximum(excess / mean - zero, 1e-6)
        return np.asarray(zero + (1.0 - zero) * np.exp(-np.log1p(dispersion * mean) / dispersion) - none)

    low, high = np.zeros_like(total), excess / (excess + total) * (1.0 - 1e-9)
    under, over = surplus(low), surplus(high)
    low = np.where(over <= 0.0, high, low)  # more zeros than this mean and variance allow
    high = np.where(under >= 0.0, low, high)  # fewer
    kept = np.zeros_like(total)
    for _ in range(_ROOT_STEPS):
        gap = over - under
        share = np.clip(np.where(gap > 0.0, -under / np.where(gap > 0.0, gap, 1.0), 0.5), 0.0, 1.0)
        middle = low + share * (high - low)
        value = surplus(middle)
        short = value < 0.0
        low, high = np.where(short, middle, low), np.where(short, high, middle)
        # The end that stays twice running counts half, or it would stay for ever.
        halved = np.where(short, np.where(kept > 0.0, 0.5, 1.0), np.where(kept < 0.0, 0.5, 1.0))
        under, over = np.where(short, value, under * halved), np.where(short, over * halved, value)
        kept = np.where(short, 1.0, -1.0)
    closer = np.abs(under) <= np.abs(over)
    return _given(np.where(closer, low, high), total, excess)


def _given(zero: NDArray[Any], total: NDArray[Any], excess: NDArray[Any]) -> Zinb:
    """π fixed, the mean and the variance of the whole kept."""
    mean = total / (1.0 - zero)
    return Zinb(zero, mean, np.maximum(excess / mean - zero, 1e-6))
