"""Is a series that fell silent still sold? The beta-geometric/beta-Bernoulli model, in numpy.

Fader, Hardie and Shang (2010), Customer-base analysis in a discrete-time noncontractual setting, Marketing Science
29(6); the discrete-time sibling of the BG/NBD model of Fader, Hardie and Lee (2005). A series sells in a period with
its own probability, drawn from a beta(a, b), and is given up for good after any period with its own probability, drawn
from a beta(c, d). All one needs of a series is how often and when it last sold.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln

_START = (0.5, 2.0, 0.2, 5.0)
_FEWEST = 30  # histories below which four parameters say nothing
_BOUND = 12.0  # of the logarithm of a parameter


class Pattern(NamedTuple):
    """Sales of N series after the first period with one, each [N] int.

    sold: periods with sales; last: the period of the last sale, 0 if it was the first; seen: periods observed.
    """

    sold: NDArray[Any]
    last: NDArray[Any]
    seen: NDArray[Any]

    @staticmethod
    def of(sold: Any, last: Any, seen: Any) -> "Pattern":
        """Whole, consistent numbers: 0 ≤ sold ≤ last ≤ seen."""
        seen = np.maximum(np.asarray(seen, np.int64), 0)
        last = np.clip(np.asarray(last, np.int64), 0, seen)
        return Pattern(np.clip(np.asarray(sold, np.int64), 0, last), last, seen)


class Survival(NamedTuple):
    """The parameters: of the beta of selling (a, b) and of the beta of being given up (c, d)."""

    a: float
    b: float
    c: float
    d: float

    def alive(self, pattern: Pattern) -> NDArray[Any]:
        """[N] probability that a series is still sold after what was seen."""
        living, ended = self.likelihood(pattern)
        return np.asarray(living / np.maximum(living + ended, 1e-300))

    def any_sale(self, pattern: Pattern, periods: int) -> NDArray[Any]:
        """[N] probability of at least one period with sales among the next ``periods``."""
        living, ended = self.likelihood(pattern)
        total = np.maximum(living + ended, 1e-300)
        silent = self._silent_for(pattern, periods)
        return np.asarray(np.clip(1.0 - (ended + living * silent) / total, 0.0, 1.0))

    def _silent_for(self, pattern: Pattern, periods: int) -> NDArray[Any]:
        """P(no sale in the next ``periods`` | alive): given up after k of them, or alive and unlucky in all."""
        misses, lost = np.ones(len(pattern.seen)), np.zeros(len(pattern.seen))
        unsold, seen = pattern.seen - pattern.sold, pattern.seen
        for k in range(periods):
            lost += misses * self.c / (self.c + self.d + seen + k)
            stays = (self.d + seen + k) / (self.c + self.d + seen + k)
            misses = misses * stays * (self.b + unsold + k) / (self.a + self.b + seen + k)
        return lost + misses

    def likelihood(self, pattern: Pattern) -> tuple[NDArray[Any], NDArray[Any]]:
        """[N] likelihood of the pattern by a living series, and by one given up at any time since its last sale."""
        sold, last, seen = (part.astype(np.float64) for part in pattern)
        a, b, c, d = self
        norm = betaln(a, b) + betaln(c, d)
        living = np.exp(betaln(a + sold, b + seen - sold) + betaln(c, d + seen) - norm)
        term = np.exp(betaln(a + sold, b + last - sold) + betaln(c + 1.0, d + last) - norm)
        ended, gap = np.zeros_like(living), pattern.seen - pattern.last
        for step in range(int(gap.max(initial=0))):
            ended += np.where(step < gap, term, 0.0)
            term = (
                term * (b + last - sold + step) / (a + b + last + step) * (d + last + step) / (c + d + last + step + 1)
            )
        return living, ended


def fitted(pattern: Pattern) -> Survival | None:
    """The parameters of greatest likelihood; None where too few series were observed to tell."""
    seen = pattern.seen >= 1
    triples, counts = np.unique(np.stack(pattern, 1)[seen], axis=0, return_counts=True)
    if counts.sum() < _FEWEST:
        return None
    known = Pattern.of(*triples.T)

    def surprise(logs: NDArray[Any]) -> float:
        found = Survival(*np.exp(np.clip(logs, -_BOUND, _BOUND)).tolist())
        return float(-(counts * np.log(np.maximum(sum(found.likelihood(known)), 1e-300))).sum() / counts.sum())

    best = minimize(surprise, np.log(_START), method="Nelder-Mead", options={"maxiter": 500, "fatol": 1e-6})
    return Survival(*np.exp(np.clip(best.x, -_BOUND, _BOUND)).tolist())
