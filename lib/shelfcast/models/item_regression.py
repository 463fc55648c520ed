"""Which items foretell which: every popular item regressed on all the others at once.

The weights are those of EASE (Steck 2019), the ridge regression of what users have on itself with a zero diagonal, in
closed form: with P the inverse of XᵀX + λI, the weight of item i for item j is -P_ij ÷ P_jj. Cosines of pairs count
what two items owe to a third one, a regression does not. Each item keeps its strongest predictors, those against it
included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import lapack

from shelfcast.models.item_neighbours import Profile

_RIDGE = 10.0


@dataclass(frozen=True)
class ItemRegression:
    """The strongest predictors of some items.

    Attributes:
        rows: [vocabulary] int32 row of each item below, -1 for those that are not foretold.
        places: [items, N] int32 places of the vocabulary.
        weights: [items, N] float32.
    """

    rows: NDArray[Any]
    places: NDArray[Any]
    weights: NDArray[Any]

    def scores(self, profile: Profile, users: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
        """[pairs] float32: what the user's items say of the wanted one.

        Args:
            users: [pairs] rows of the profile, ascending.
            places: [pairs] of the vocabulary; those that are not foretold, and -1, score 0.
        """
        first = np.searchsorted(users, np.arange(len(profile.offsets)))
        return np.asarray(_pairs(profile.columns, first, places, (self.rows, self.places, self.weights)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"rows": self.rows, "places": self.places, "weights": self.weights}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ItemRegression":
        return cls(arrays["rows"], arrays["places"], arrays["weights"])


def learn(products: NDArray[Any], known: NDArray[Any], vocabulary: int, most: int) -> ItemRegression:
    """
    Args:
        products: [items, items] XᵀX of the users' weights of the items ``known``.
        known: [items] int32 places of the vocabulary, ascending.
        most: predictors of an item.
    """
    rows = np.full(vocabulary, -1, np.int32)
    rows[known] = np.arange(len(known))
    lower, _ = lapack.dpotrf(np.asarray(products, np.float64) + _RIDGE * np.eye(len(known)), lower=1, clean=1)
    half, _ = lapack.dpotri(lower, lower=1, overwrite_c=1)
    inverse = np.tril(half, -1)
    inverse += inverse.T
    foretelling = np.asarray(inverse / -np.diag(half)[:, None], np.float32)  # a row: what foretells an item
    most = min(most, len(known))
    strongest = np.sort(np.argpartition(-np.abs(foretelling), most - 1, axis=1)[:, :most], axis=1)
    return ItemRegression(rows, known[strongest].astype(np.int32), np.take_along_axis(foretelling, strongest, 1))


@njit(cache=True)
def _pairs(profile: Any, first: Any, wanted: Any, regression: Any) -> Any:
    (offsets, places, weights), (rows, predictors, strengths) = profile, regression
    found = np.zeros(len(wanted), np.float32)
    has = np.zeros(len(rows), np.float32)
    for user in range(len(offsets) - 1):
        for at in range(offsets[user], offsets[user + 1]):
            has[places[at]] = weights[at]
        for at in range(first[user], first[user + 1]):
            row = rows[wanted[at]] if wanted[at] >= 0 else -1
            if row >= 0:
                for n in range(predictors.shape[1]):
                    found[at] += has[predictors[row, n]] * strengths[row, n]
        for at in range(offsets[user], offsets[user + 1]):
            has[places[at]] = 0
    return found
