"""Corrections of forecast distributions, fitted where a model that had not seen an origin's targets forecast them.

Seven numbers tilt the three parameters of the zero-inflated negative binomial by a series' scale and the horizon; they
are the ones of greatest likelihood at that earlier origin, held back towards no correction by a ridge. Tilts by what is
planned were left out: those fitted to one month's promotions made the next month's forecasts worse as often as better.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from shelfcast.models import distributions
from shelfcast.models.distributions import Zinb

SPARSE = 5  # periods with sales below which a series is sparse
_RIDGE = 2e-2  # of the mean negative log-likelihood a target: a tilt of .1 must bring 2e-4
_SLOWEST, _FASTEST = -3.0, 4.0  # log scales beyond which a tilt grows no further
_FEWEST = 200  # targets; fewer say nothing


class Traits(NamedTuple):
    """What a correction may depend on, of N series at an origin.

    scale: [N]; sparse: [N] bool, fewer than ``SPARSE`` periods with sales so far.
    """

    scale: NDArray[Any]
    sparse: NDArray[Any]

    def take(self, rows: Any) -> "Traits":
        """Chosen series."""
        return Traits(*(each[rows] for each in self))


@dataclass(frozen=True)
class Calibration:
    """Tilts of log mean, log dispersion and logit of the zero share.

    Attributes:
        mean: constant, per unit of log scale, per horizon from the middle one.
        dispersion, zero: constant, per unit of log scale.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    dispersion: tuple[float, float] = (0.0, 0.0)
    zero: tuple[float, float] = (0.0, 0.0)

    def corrected(self, found: Zinb, traits: Traits) -> Zinb:
        """Distributions [N, H] of series with these traits, tilted."""
        return _tilted(found, traits, np.asarray([self.as_list()]))

    def as_list(self) -> list[float]:
        return [*self.mean, *self.dispersion, *self.zero]

    @staticmethod
    def of(stored: Any) -> "Calibration":
        """From ``as_list``."""
        values = tuple(float(value) for value in stored)
        return Calibration(values[:3], values[3:5], values[5:])  # type: ignore[arg-type]


@dataclass(frozen=True)
class Calibrations:
    """One correction for sparse series (fewer than ``SPARSE`` periods with sales) and one for all others: a tilt that
    serves the many series that hardly sell would be a poor one for those that do, and the other way round.
    """

    others: Calibration = Calibration()
    sparse: Calibration = Calibration()

    def corrected(self, found: Zinb, traits: Traits) -> Zinb:
        """Distributions [N, H] of series with these traits, tilted."""
        each = np.where(traits.sparse[:, None], self.sparse.as_list(), self.others.as_list())
        return _tilted(found, traits, each)

    def as_dict(self) -> dict[str, list[float]]:
        return {"others": self.others.as_list(), "sparse": self.sparse.as_list()}

    @staticmethod
    def of(stored: Mapping[str, Any]) -> "Calibrations":
        """From ``as_dict``."""
        return Calibrations(Calibration.of(stored["others"]), Calibration.of(stored["sparse"]))


def _tilted(found: Zinb, traits: Traits, tilts: NDArray[Any]) -> Zinb:
    """Distributions [N, H] tilted by ``Calibration.as_list``, [N, 7] or [1, 7]."""
    size = np.clip(np.log(np.asarray(traits.scale, np.float64)), _SLOWEST, _FASTEST)[:, None]
    horizon = np.shape(found.mean)[1]
    ahead = (np.arange(horizon) - (horizon - 1) / 2.0)[None]
    mean, by_size, by_horizon, spread, spread_by_size, zero, zero_by_size = (column[:, None] for column in tilts.T)
    shift = mean + by_size * size + by_horizon * ahead
    wider = spread + spread_by_size * size
    logit = special.logit(np.clip(found.zero, 1e-12, 1 - 1e-12)) + zero + zero_by_size * size
    return Zinb(special.expit(logit), found.mean * np.exp(shift), found.dispersion * np.exp(wider))


def fitted(found: Zinb, traits: Traits, truth: NDArray[Any]) -> Calibrations:
    """Both corrections.

    Args:
        found: forecast distributions, [N, H].
        traits: of the N series at the origin.
        truth: [N, H] units that were then sold.
    """
    kinds = (~traits.sparse, traits.sparse)
    parts = [(Zinb(*(each[rows] for each in found)), traits.take(rows), truth[rows]) for rows in kinds]
    return Calibrations(*(best(*part) for part in parts))


def best(found: Zinb, traits: Traits, truth: NDArray[Any]) -> Calibration:
    """The correction of greatest penalised likelihood; none where too few targets say something."""
    if np.size(truth) < _FEWEST:
        return Calibration()

    def loss(values: NDArray[Any]) -> float:
        tilted = Calibration.of(values).corrected(found, traits)
        return float(distributions.negative_log_likelihood(truth, *tilted).mean() + _RIDGE * np.sum(values**2))

    least = optimize.minimize(loss, np.zeros(len(Calibration().as_list())), method="L-BFGS-B", options={"maxiter": 60})
    return Calibration.of(least.x)
