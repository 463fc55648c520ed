"""Which items go together: cosines of who took them, and what they say of an item for a user's own ones.

Item-based collaborative filtering (Sarwar et al. 2001; Deshpande & Karypis 2004). A user who takes a thousand items
says less of each pair of them than one who takes ten, so that a user counts by the inverse root of the number of items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from shelfcast.models.habits import Habits

_SHRINKAGE = 5.0  # common users that a cosine of a pair needs to count half


@dataclass(frozen=True)
class ItemNeighbours:
    """The nearest items of each item.

    Attributes:
        places: [items, N] int32 places in the vocabulary, the nearest first, -1 behind the last.
        weights: [items, N] float32 shrunk cosines, 0 behind the last.
    """

    places: NDArray[Any]
    weights: NDArray[Any]

    def scores(self, profile: "Profile", users: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
        """[pairs] float32: Σ of the weights between the user's items and the wanted one, times the profile's weights.

        Args:
            users: [pairs] rows of the profile, ascending.
            places: [pairs] of the vocabulary; -1 scores 0.
        """
        first = np.searchsorted(users, np.arange(len(profile.offsets)))
        return np.asarray(_pairs(profile.columns, first, places, (self.places, self.weights)))

    def best(
        self, profile: "Profile", allowed: NDArray[Any], masked: tuple[NDArray[Any], NDArray[Any]], most: int
    ) -> NDArray[Any]:
        """[users, most] int32 places of the items with the highest scores above 0, -1 behind the last.

        Args:
            allowed: [items] bool.
            masked: offsets [users + 1] and places of what each user is not to be told; -1 is passed over.
        """
        return np.asarray(_best(profile.columns, allowed, masked, (self.places, self.weights), most))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"places": self.places, "weights": self.weights}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ItemNeighbours":
        return cls(arrays["places"], arrays["weights"])


@dataclass(frozen=True)
class Profile:
    """What some users touched, as far as the vocabulary knows it; a weight grows with the pair's strength, ends at 1.

    Attributes:
        offsets: [users + 1] int64.
        places: [pairs] int32, distinct within a user.
        weights: [pairs] float32.
    """

    offsets: NDArray[Any]
    places: NDArray[Any]
    weights: NDArray[Any]

    @classmethod
    def of(cls, found: Habits, words: NDArray[Any], users: int) -> "Profile":
        """
        Args:
            words: [catalogue] the number of each product in the vocabulary, from 1; 0 for unknown ones.
        """
        places = words[found.items] - 1
        known = places >= 0
        offsets = np.searchsorted(found.users[known], np.arange(users + 1)).astype(np.int64)
        weights = found.strength[known] / (1 + found.strength[known])
        return cls(offsets, places[known].astype(np.int32), weights.astype(np.float32))

    @property
    def columns(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return self.offsets, self.places, self.weights


def learn(offsets: NDArray[Any], places: NDArray[Any], items: int, rows: NDArray[Any], most: int) -> ItemNeighbours:
    """Neighbours of the items ``rows`` alone; the other rows are empty.

    The work is the sum of the squares of the users' numbers of items: cut long histories before.

    Args:
        offsets: [users + 1] int64.
        places: [pairs] int32, each user's distinct items.
        items: in the vocabulary.
        most: neighbours of an item.
    """
    sizes = np.diff(offsets)
    share = 1 / np.maximum(sizes, 1).astype(np.float64)  # the square of the inverse root
    users = np.repeat(np.arange(len(sizes)), sizes)
    order = np.argsort(places, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(places, minlength=items))]).astype(np.int64)
    norms = np.sqrt(np.bincount(places, share[users], minlength=items))
    found = ItemNeighbours(np.full((items, most), -1, np.int32), np.zeros((items, most), np.float32))
    _learn((offsets, places), (starts, users[order]), share, norms, rows, (found.places, found.weights))
    return found


@njit(cache=True)
def _learn(of_users: Any, of_items: Any, share: Any, norms: Any, rows: Any, found: Any) -> None:
    (offsets, places), (starts, users) = of_users, of_items
    items, most = found[0].shape
    together, common = np.zeros(items), np.zeros(items, np.int32)
    touched = np.empty(items, np.int64)
    for row in rows:
        count = 0
        for at in range(starts[row], starts[row + 1]):
            user = users[at]
            for other in places[offsets[user] : offsets[user + 1]]:
                if common[other] == 0:
                    touched[count] = other
                    count += 1
                common[other] += 1
                together[other] += share[user]
        for other in touched[:count]:
            cosine = together[other] / (norms[row] * norms[other]) * common[other] / (common[other] + _SHRINKAGE)
            if other != row:
                insert(found[0][row], found[1][row], other, cosine, most)
            together[other] = 0
            common[other] = 0


@njit(cache=True)
def insert(places: Any, weights: Any, place: int, weight: float, most: int) -> None:
    """Keep the heaviest ones sorted; of equal ones the first that came."""
    if weight <= weights[most - 1]:
        return
    at = most - 1
    while at > 0 and weights[at - 1] < weight:
        weights[at] = weights[at - 1]
        places[at] = places[at - 1]
        at -= 1
    weights[at] = weight
    places[at] = place


@njit(cache=True)
def _spread(places: Any, weights: Any, near: Any, close: Any, sums: Any) -> None:
    """Add a user's items' neighbours to ``sums`` [items]."""
    for own in range(len(places)):
        row, weight = places[own], weights[own]
        for at in range(near.shape[1]):
            other = near[row, at]
            if other < 0:
                break
            sums[other] += weight * close[row, at]


@njit(cache=True)
def _clear(places: Any, near: Any, sums: Any) -> None:
    """Undo ``_spread``: of a large vocabulary it reaches little."""
    for row in places:
        for other in near[row]:
            if other < 0:
                break
            sums[other] = 0


@njit(cache=True)
def _pairs(profile: Any, first: Any, wanted: Any, neighbours: Any) -> Any:
    (offsets, places, weights), (near, close) = profile, neighbours
    found = np.zeros(len(wanted), np.float32)
    sums = np.zeros(near.shape[0], np.float32)
    for user in range(len(offsets) - 1):
        if first[user] == first[user + 1]:
            continue
        own = slice(offsets[user], offsets[user + 1])
        _spread(places[own], weights[own], near, close, sums)
        for at in range(first[user], first[user + 1]):
            if wanted[at] >= 0:
                found[at] = sums[wanted[at]]
        _clear(places[own], near, sums)
    return found


@njit(cache=True)
def _best(profile: Any, allowed: Any, masks: Any, neighbours: Any, most: int) -> Any:
    (offsets, places, weights), (near, close), (mask_offsets, masked) = profile, neighbours, masks
    users = len(offsets) - 1
    found = np.full((users, most), -1, np.int32)
    highest = np.zeros(most, np.float32)
    sums = np.zeros(near.shape[0], np.float32)
    for user in range(users):
        own = slice(offsets[user], offsets[user + 1])
        sums[:] = 0
        _spread(places[own], weights[own], near, close, sums)
        for place in masked[mask_offsets[user] : mask_offsets[user + 1]]:
            if place >= 0:
                sums[place] = 0
        highest[:] = 0
        for place in range(len(sums)):
            if sums[place] > highest[most - 1] and allowed[place]:
                insert(found[user], highest, place, sums[place], most)
    return found
