"""Forecasts at the newest cutoff less the horizon, by a network that has not seen what followed: how good they were,
and how their distributions are to be corrected.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models import calibration, distributions
from shelfcast.models.calibration import Calibrations, Traits
from shelfcast.models.distributions import Zinb
from shelfcast.models.window_tensors import Windows
from shelfcast.train.collective import Collective

SERIES = 8_000  # over all ranks, of each kind, that corrections are fitted on
_SCORED = 2048  # series a batch
Forecast = Callable[[Windows, int], tuple[Zinb, Traits]]


@dataclass(frozen=True)
class Validation:
    """Of the forecasts at the earlier origin, over all ranks.

    nll: mean negative log-likelihood a target, before correction; wape of the median and bias of the mean ÷ units,
    after it; correlation between two horizons of a series; targets: how many there were; calibrations: as stored.
    """

    nll: float
    wape: float
    bias: float
    correlation: float
    targets: int
    calibrations: dict[str, list[float]]


@dataclass(frozen=True)
class _Found:
    """This rank's forecasts: distribution [N, H], traits of N series, truth [N, H]."""

    distribution: Zinb
    traits: Traits
    truth: NDArray[Any]

    def some(self, most: int) -> "_Found":
        """The first ``most`` series of each kind."""
        sparse = self.traits.sparse
        rows = np.sort(np.concatenate([np.flatnonzero(kind)[:most] for kind in (sparse, ~sparse)]))
        picked = Zinb(*(each[rows].astype(np.float32) for each in self.distribution))
        return _Found(picked, self.traits.take(rows), self.truth[rows])

    @staticmethod
    def joined(parts: "list[_Found]") -> "_Found":
        return _Found(
            Zinb(*(np.concatenate(each) for each in zip(*(part.distribution for part in parts), strict=True))),
            Traits(*(np.concatenate(each) for each in zip(*(part.traits for part in parts), strict=True))),
            np.concatenate([part.truth for part in parts]),
        )


def validate(windows: Windows, least_sales: int, forecast: Forecast, collective: Collective) -> Validation:
    """Forecast the newest windows that could have been trained on at the earlier origin, and compare.

    Args:
        windows: this rank's.
        least_sales: periods with sales up to the earlier origin that a series must have.
        forecast: windows and the position of the origin → distributions [N, H] and traits.
    """
    horizon, origin = windows.horizon, windows.context - windows.horizon
    parts = [_empty(horizon)]
    for part in _validated(windows, origin, least_sales):
        zinb, traits = forecast(part, origin)
        parts.append(_Found(zinb, traits, part.units[:, -horizon:].astype(np.float64)))
    found = _Found.joined(parts)
    gathered = collective.gather(found.some(SERIES // collective.size))
    fitted = None
    if collective.first:
        sample = _Found.joined(gathered)
        fitted = calibration.fitted(sample.distribution, sample.traits, sample.truth)
    calibrations: Calibrations = collective.agree(fitted)
    return _measured(found, calibrations, collective)


def _validated(windows: Windows, origin: int, least_sales: int) -> Iterator[Windows]:
    enough = (windows.units[:, :origin] > 0).sum(1) >= least_sales
    chosen = np.flatnonzero(windows.newest & enough)
    for start in range(0, len(chosen), _SCORED):
        yield windows.take(chosen[start : start + _SCORED])


def _measured(found: _Found, calibrations: Calibrations, collective: Collective) -> Validation:
    truth, horizon = found.truth, found.truth.shape[1]
    likelihood = distributions.negative_log_likelihood(truth, *found.distribution)
    corrected = calibrations.corrected(found.distribution, found.traits)
    median, mean = distributions.quantile(0.5, *corrected), distributions.expectation(*corrected)
    residual = np.clip((truth - mean) / np.sqrt(distributions.variance(*corrected)), -5.0, 5.0)
    sums = [
        likelihood.sum(), truth.size, np.abs(truth - median).sum(), truth.sum(), mean.sum(),
        (residual.sum(1) ** 2 - (residual**2).sum(1)).sum(), len(truth) * horizon * (horizon - 1),
    ]  # fmt: skip
    nll, count, missed, sold, expected, pairs, possible = collective.sum([float(each) for each in sums])
    return Validation(
        nll=float(nll / max(count, 1)), wape=float(missed / max(sold, 1e-9)),
        bias=float((expected - sold) / max(sold, 1e-9)),
        correlation=float(np.clip(pairs / max(possible, 1), 0.0, 0.95)), targets=int(count),
        calibrations=calibrations.as_dict(),
    )  # fmt: skip


def _empty(horizon: int) -> _Found:
    none = np.zeros((0, horizon))
    return _Found(Zinb(none, none, none), Traits(np.zeros(0, np.float32), np.zeros(0, bool)), none)
