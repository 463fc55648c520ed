"""Forecasts for what never sold: what products of its kind sold in the same place, shrunk towards wider kinds.

A rate is the mean over all, times a factor for what is planned in the period, one for the department and one for the
category; a factor is (units + k) ÷ (units expected without it + k), the posterior mean of a gamma prior at 1 that
weighs as much as k units. The distribution is negative binomial, as wide as the share of earlier periods without a
sale says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import brentq

from shelfcast.models.distributions import Zinb

KINDS = ("plan", "department", "category")
SHRINK = 10.0  # units of the prior of a factor
_PRIOR_PERIODS, _PRIOR_UNITS = 10.0, 0.5  # of the mean, where next to nothing was observed
_ROUNDS = 20  # each factor is fitted to what the others leave, in turn
_NARROWEST, _WIDEST = 1e-2, 1e3  # dispersion


@dataclass(frozen=True)
class LaunchRates:
    """Attributes:
    mean: pieces a period over all that were observed.
    factors: kind → value → factor of the mean; a value not seen counts 1.
    dispersion: α of the negative binomial.
    """

    mean: float
    factors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    dispersion: float = 10.0

    def of(self, kinds: Mapping[str, Any]) -> NDArray[Any]:
        """Mean pieces for arrays of values of KINDS, all of one shape."""
        rate: NDArray[Any] = np.full(np.shape(kinds["plan"]), self.mean)
        for kind in KINDS:
            rate = rate * _looked_up(self.factors.get(kind, {}), kinds[kind])
        return rate

    def forecast(self, table: pa.Table, horizon: int) -> Zinb:
        """Distributions [N, H] for rows of gold/windows that never sold."""
        display, mailer = (_ahead(table[name], horizon) > 0 for name in ("display", "mailer"))
        kinds = {"plan": plan_words(display, mailer)}
        for name in ("department", "category"):
            values = np.asarray([value or "" for value in table[name].to_pylist()], object)
            kinds[name] = np.repeat(values[:, None], horizon, 1)
        mean = self.of(kinds)
        return Zinb(np.zeros_like(mean), mean, np.full_like(mean, self.dispersion))


def plan_words(display: NDArray[Any], mailer: NDArray[Any]) -> NDArray[Any]:
    """none, display, mailer or both, as gold/launches writes them."""
    return np.asarray(np.array(["none", "display", "mailer", "both"], object)[display + 2 * mailer.astype(int)])


def fitted(cells: pd.DataFrame) -> LaunchRates:
    """Rates from rows of gold/launches of one grain; next to no rows give a low, wide guess."""
    periods, units = (cells[name].to_numpy(np.float64) for name in ("periods", "units"))
    mean = float((units.sum() + _PRIOR_UNITS) / (periods.sum() + _PRIOR_PERIODS))
    expected = periods * mean
    own = {kind: np.ones(len(cells)) for kind in KINDS}
    factors: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
    for _ in range(_ROUNDS):
        for kind in KINDS:
            sums = pd.DataFrame({"kind": cells[kind], "units": units, "expected": expected / own[kind]})
            sums = sums.groupby("kind").sum()
            found = (sums["units"] + SHRINK) / (sums["expected"] + SHRINK)
            factors[kind] = {str(value): float(factor) for value, factor in found.items()}
            after = cells[kind].map(factors[kind]).to_numpy(np.float64)
            expected, own[kind] = expected / own[kind] * after, after
    return LaunchRates(mean, factors, _dispersion(periods, expected, cells["sold_periods"].sum()))


def _dispersion(periods: NDArray[Any], expected: NDArray[Any], sold: float) -> float:
    """α at which the expected number of periods without a sale is the one that was observed."""
    rate, empty = expected / np.maximum(periods, 1.0), periods.sum() - sold

    def excess(log_alpha: float) -> float:
        alpha = np.exp(log_alpha)
        return float((periods * np.exp(-np.log1p(alpha * rate) / alpha)).sum() - empty)

    low, high = np.log(_NARROWEST), np.log(_WIDEST)
    if not len(periods) or not sold > 0:
        return 10.0
    if excess(low) >= 0:
        return _NARROWEST
    if excess(high) <= 0:
        return _WIDEST
    return float(np.exp(brentq(excess, low, high)))


def _looked_up(factors: Mapping[str, float], values: NDArray[Any]) -> NDArray[Any]:
    distinct, place = np.unique(np.asarray(values, str), return_inverse=True)
    found = np.asarray([factors.get(value, 1.0) for value in distinct.tolist()], np.float64)
    return np.asarray(found[place].reshape(np.shape(values)))


def _ahead(column: pa.ChunkedArray, horizon: int) -> NDArray[Any]:
    """[N, H]: the part of a planned column beyond the cutoff."""
    flat = pa.chunked_array(column).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(len(column), -1)[:, -horizon:])
