"""What users who are alike took of late: user-based collaborative filtering (Resnick et al. 1994).

Users are alike who stand close in a space of few dimensions (Sarwar et al. 2000): a user's items, weighted by what the
user cares for them and by how few others have them, on the directions in which users differ most. What is popular among
a user's peers this fortnight is what trends, holidays and promotions do to people of that kind, which neither the
user's own past nor the items' vectors know of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from shelfcast.models.item_neighbours import Profile, insert
from shelfcast.models.item_search import Best, ItemSearch, Masked

HALF_LIVES = (2.0, 8.0)  # weeks, the shortest first
_FADED = 0.1  # of the shortest-lived decayed count: what peers took seven weeks ago does not propose anything


@dataclass(frozen=True)
class Directions:
    """Where a user stands by what it has.

    Attributes:
        known: [items] int32 places of the vocabulary that count, ascending.
        vectors: [items, dim] float32, what each adds.
        vocabulary: number of items of the vocabulary.
    """

    known: NDArray[Any]
    vectors: NDArray[Any]
    vocabulary: int

    @cached_property
    def _rows(self) -> NDArray[Any]:
        rows = np.full(self.vocabulary, -1, np.int32)
        rows[self.known] = np.arange(len(self.known))
        return rows

    def stand(self, profile: Profile) -> NDArray[Any]:
        """[users, dim] float32 of length 1; zeros for users who have nothing that counts."""
        return np.asarray(_stand(profile.columns, self._rows, self.vectors))


@dataclass(frozen=True)
class Taken:
    """What some users took of late.

    Attributes:
        offsets: [users + 1] int64.
        places: [pairs] int32 of the vocabulary, distinct within a user; by the first weight, the largest first.
        weights: [pairs, half-lives] float32 decayed counts of wanted events.
    """

    offsets: NDArray[Any]
    places: NDArray[Any]
    weights: NDArray[Any]

    @property
    def columns(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return self.offsets, self.places, self.weights


@dataclass(frozen=True)
class Peers:
    """A sample of users.

    Attributes:
        directions: that they and others are compared by.
        standing: [peers, dim] float32.
        taken: by each of them.
        alike: how many of them count for a user.
    """

    directions: Directions
    standing: NDArray[Any]
    taken: Taken
    alike: int

    @cached_property
    def _search(self) -> ItemSearch:
        return ItemSearch(np.arange(len(self.standing)), self.standing)

    def nearest(self, profile: Profile) -> Best:
        """The ``alike`` peers who stand nearest to each user, with cosines; one of the sample is its own nearest."""
        return self._search.best(self.directions.stand(profile), self.alike)

    def scores(self, near: Best, users: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
        """[pairs, half-lives] float32: mean decayed count of the wanted item among the user's nearest, by closeness.

        Args:
            near: of :meth:`nearest`; who stands on the other side (a cosine below 0) does not count.
            users: [pairs] rows of ``near``, ascending.
            places: [pairs] of the vocabulary; -1 scores 0.
        """
        first = np.searchsorted(users, np.arange(len(near.codes) + 1))
        closeness = np.maximum(near.scores, 0)
        return np.asarray(_sums(near.codes, closeness, self.taken.columns, first, places, self.directions.vocabulary))

    def best(self, near: Best, allowed: NDArray[Any], masked: Masked, most: int) -> NDArray[Any]:
        """[users, most] int32 places of what the user's nearest took most of of late, by the shortest half-life; -1
        behind the last.

        Args:
            allowed: [vocabulary] bool.
            masked: offsets [users + 1] and places of what each user is not to be told; -1 is passed over.
        """
        return np.asarray(_best(near.codes, np.maximum(near.scores, 0), self.taken.columns, allowed, masked, most))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that was learnt, by name."""
        return {
            "known": self.directions.known, "vectors": self.directions.vectors, "standing": self.standing,
            "vocabulary": np.array(self.directions.vocabulary), "offsets": self.taken.offsets,
            "places": self.taken.places, "weights": self.taken.weights, "alike": np.array(self.alike),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Peers":
        """What :meth:`arrays` gave."""
        directions = Directions(arrays["known"], arrays["vectors"], int(arrays["vocabulary"]))
        taken = Taken(arrays["offsets"], arrays["places"], arrays["weights"])
        return cls(directions, arrays["standing"], taken, int(arrays["alike"]))


@njit(cache=True)
def _stand(profile: Any, rows: Any, vectors: Any) -> Any:
    offsets, places, weights = profile
    users, dim = len(offsets) - 1, vectors.shape[1]
    found = np.zeros((users, dim), np.float32)
    for user in range(users):
        own = found[user]
        for at in range(offsets[user], offsets[user + 1]):
            row = rows[places[at]]
            if row >= 0:
                for column in range(dim):
                    own[column] += weights[at] * vectors[row, column]
        square = np.float32(0)
        for column in range(dim):
            square += own[column] * own[column]
        if square > 0:
            for column in range(dim):
                own[column] /= np.sqrt(square)
    return found


@njit(cache=True)
def _sums(near: Any, closeness: Any, taken: Any, first: Any, wanted: Any, vocabulary: int) -> Any:
    found = np.zeros((len(wanted), taken[2].shape[1]), np.float32)
    sums = np.zeros((vocabulary, taken[2].shape[1]), np.float32)
    for user in range(len(near)):
        total = closeness[user].sum()
        if total <= 0:
            continue
        for at in range(near.shape[1]):
            _add(taken, near[user, at], closeness[user, at] / total, sums)
        for at in range(first[user], first[user + 1]):
            if wanted[at] >= 0:
                found[at] = sums[wanted[at]]
        for at in range(near.shape[1]):
            _clear(taken, near[user, at], sums)
    return found


@njit(cache=True)
def _best(near: Any, closeness: Any, taken: Any, allowed: Any, masks: Any, most: int) -> Any:
    mask_offsets, masked = masks
    found = np.full((len(near), most), -1, np.int32)
    highest = np.zeros(most, np.float32)
    sums = np.zeros(len(allowed), np.float32)
    for user in range(len(near)):
        for at in range(near.shape[1]):
            _add_recent(taken, near[user, at], closeness[user, at], sums)
        for place in masked[mask_offsets[user] : mask_offsets[user + 1]]:
            if place >= 0:
                sums[place] = 0
        highest[:] = 0
        for at in range(near.shape[1]):
            _keep_recent(taken, near[user, at], sums, allowed, found[user], highest)
    return found


@njit(cache=True)
def _add_recent(taken: Any, peer: int, close: float, sums: Any) -> None:
    offsets, places, weights = taken
    if peer >= 0 and close > 0:
        for pair in range(offsets[peer], offsets[peer + 1]):
            if weights[pair, 0] < _FADED:
                break
            sums[places[pair]] += close * weights[pair, 0]


@njit(cache=True)
def _keep_recent(taken: Any, peer: int, sums: Any, allowed: Any, found: Any, highest: Any) -> None:
    """Put a peer's items among the best; an item's sum is 0 from then on."""
    offsets, places, weights = taken
    if peer >= 0:
        for pair in range(offsets[peer], offsets[peer + 1]):
            place = places[pair]
            if weights[pair, 0] < _FADED:
                break
            if sums[place] > highest[-1] and allowed[place]:
                insert(found, highest, place, sums[place], len(found))
            sums[place] = 0


@njit(cache=True)
def _add(taken: Any, peer: int, close: float, sums: Any) -> None:
    offsets, places, weights = taken
    if peer >= 0 and close > 0:
        for pair in range(offsets[peer], offsets[peer + 1]):
            for column in range(weights.shape[1]):
                sums[places[pair], column] += close * weights[pair, column]


@njit(cache=True)
def _clear(taken: Any, peer: int, sums: Any) -> None:
    """What no peer took is 0 already, and mostly that is nearly all of a vocabulary."""
    offsets, places, weights = taken
    if peer >= 0:
        for pair in range(offsets[peer], offsets[peer + 1]):
            for column in range(weights.shape[1]):
                sums[places[pair], column] = 0
