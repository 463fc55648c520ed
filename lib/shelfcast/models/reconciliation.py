"""Forecasts of a tree of totals that add up: weighted least squares in two passes, and quantiles of sums.

Wickramasuriya, Athanasopoulos and Hyndman (2019), Optimal forecast reconciliation for hierarchical and grouped time
series through trace minimization. Their estimate S(S'W⁻¹S)⁻¹S'W⁻¹ŷ with a diagonal W needs no matrix on a tree: going
up, every node joins its own forecast with the sum of its children's by precision; going down, what a node gained is
given to its children in proportion to their variances.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from shelfcast.models import distributions

LEVELS = (0.1, 0.5, 0.9)
_LEAST = 1e-8  # of a mean or variance that is told from 0
Array = NDArray[Any]


class Estimate(NamedTuple):
    """A forecast and the variance of its error, arrays of one shape [nodes, ...]; a variance of ∞ is no forecast."""

    mean: Array
    variance: Array


def summed(values: Array, parent: Array, nodes: int) -> Array:
    """[nodes, ...]: sums of the rows of ``values`` [children, ...] that have the same parent."""
    found = np.zeros((nodes, *values.shape[1:]))
    np.add.at(found, parent, values)
    return found


def reconciled(levels: Sequence[Estimate], parents: Sequence[Array]) -> list[Array]:
    """Forecasts of all levels that add up and differ least from the given ones.

    Args:
        levels: from the root's level to the leaves'; leaves have finite variances.
        parents: for each level below the first the position of each node's parent in the level above.

    Returns:
        an array [nodes, ...] per level; what comes out of the leaves can be negative.
    """
    joined: list[Estimate] = [levels[-1]]
    pooled: list[Estimate] = []
    for own, parent in zip(reversed(levels[:-1]), reversed(parents), strict=True):
        below = Estimate(*(summed(values, parent, len(own.mean)) for values in joined[0]))
        pooled.insert(0, below)
        joined.insert(0, _pooled(own, below))
    found = [joined[0].mean]
    for at, parent in enumerate(parents):
        gained = found[at] - pooled[at].mean
        children, whole = joined[at + 1], pooled[at].variance[parent]
        count = np.bincount(parent, minlength=len(found[at])).reshape(-1, *[1] * (gained.ndim - 1))[parent]
        share = np.where(whole > 0.0, children.variance / np.where(whole > 0.0, whole, 1.0), 1.0 / count)
        found.append(children.mean + share * gained[parent])
    return found


def _pooled(own: Estimate, below: Estimate) -> Estimate:
    """Two forecasts of one total, weighted by precision."""
    none = ~np.isfinite(own.variance) | (own.variance + below.variance <= 0.0)
    whole = np.where(none, 1.0, own.variance + below.variance)
    weight = np.where(none, 0.0, below.variance / whole)  # of the own one
    own_mean = np.where(none, 0.0, own.mean)
    return Estimate(below.mean + weight * (own_mean - below.mean), below.variance * (1.0 - weight))


def correlation(whole: Array, parts: Array, spreads: Array) -> float:
    """The one correlation between parts that explains how totals vary, pooled over the totals, within 0 .. 1.

    Args:
        whole: [nodes] variance of each total.
        parts: [nodes] sum of its parts' variances.
        spreads: [nodes] sum of their standard deviations.
    """
    room = float(np.sum(spreads**2 - parts))
    return float(np.clip(np.sum(whole - parts) / room, 0.0, 1.0)) if room > 1e-9 else 0.0


def variance_of_sum(parts: Array, spreads: Array, between: float) -> Array:
    """Variance of a sum whose parts correlate by ``between``, from sums of their variances and deviations."""
    return np.asarray(parts + between * np.maximum(spreads**2 - parts, 0.0))


def count_quantiles(mean: Array, variance: Array) -> Array:
    """[..., 3]: 10, 50 and 90 % of the negative binomial of this mean and variance; of a sum without sales 0."""
    safe = np.maximum(mean, _LEAST)
    dispersion = np.maximum(variance - safe, 0.0) / safe**2
    found = distributions.quantiles(LEVELS, np.zeros_like(safe), safe, dispersion)
    return np.where((mean > _LEAST)[..., None], found, 0.0)


def amount_quantiles(mean: Array, variance: Array) -> Array:
    """[..., 3]: 10, 50 and 90 % of the gamma distribution of this mean and variance: for money."""
    sure = (mean <= _LEAST) | (variance <= _LEAST)
    safe, spread = np.where(sure, 1.0, mean)[..., None], np.where(sure, 1.0, variance)[..., None]
    found = stats.gamma.ppf(np.asarray(LEVELS), safe**2 / spread, scale=spread / safe)
    return np.where(sure[..., None], mean[..., None], found)
