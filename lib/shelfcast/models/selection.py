"""Lists of K places filled from pools of products, best first: greedily, all users at once.

A place is given to the next product of the pool that the user may be offered, that the list does not hold yet, and
whose kind is not full: for one partition into kinds this gives the longest lists that the caps allow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.rules import Allowed

_PAIRS_AT_ONCE = 1 << 20
_FREE = -2  # the kind of a place that holds nothing


@dataclass(frozen=True)
class Pool:
    """Products to choose from, best first.

    Attributes:
        items: [users, width] catalogue codes, -1 for none; or [1, width], the same for all.
        scores: [users, width], falling; None where nobody scored them.
        bought: [users, width] bool, whether the user bought the product before; None: to be looked up.
        reason: of the products that the user did not buy before, a place in ``ranking.REASONS``.
    """

    items: NDArray[Any]
    reason: int
    scores: NDArray[Any] | None = None
    bought: NDArray[Any] | None = None


@dataclass
class Lists:
    """Lists under way.

    Attributes:
        allowed: what they may hold.
        items: [users, K] int32 catalogue codes, -1 where a place is free.
        scores: [users, K] float64, nan where nobody scored the product.
        reasons: [users, K] int8.
        size: [users] places taken; these are the first ones.
    """

    allowed: Allowed
    items: NDArray[Any]
    scores: NDArray[Any]
    reasons: NDArray[Any]
    size: NDArray[Any]

    @classmethod
    def empty(cls, allowed: Allowed, users: int, k: int, reason: int) -> "Lists":
        """Lists that hold nothing; free places have that reason."""
        items, scores = np.full((users, k), -1, np.int32), np.full((users, k), np.nan)
        return cls(allowed, items, scores, np.full((users, k), reason, np.int8), np.zeros(users, np.int64))

    def fill(self, pool: Pool, most: tuple[int, int] | None = None) -> None:
        """Give free places to products of the pool.

        Args:
            most: products bought before, and new ones, that a list may hold at the end; None: any number.
        """
        k = self.items.shape[1]
        start, width = 0, k  # where nothing is barred or capped, the first k products are the list
        while start < pool.items.shape[1]:
            rows = self._wanting(most)
            if not len(rows):
                return
            self._take(rows, pool, slice(start, start + width), most)
            start += width
            width = max(min(2 * width, _PAIRS_AT_ONCE // len(rows)), k)

    def _wanting(self, most: tuple[int, int] | None) -> NDArray[Any]:
        """Users with a free place, and with one for what the pool holds."""
        wanting = self.size < self.items.shape[1]
        if most is not None:
            repeats = (self._repeated() == 0).sum(1)
            wanting &= (repeats < most[0]) | (self.size - repeats < most[1])
        return np.flatnonzero(wanting)

    def _repeated(self) -> NDArray[Any]:
        """[users, K]: 0 for what was bought before, 1 for what was not."""
        return np.where(self.items < 0, _FREE, np.minimum(self.reasons, 1))

    def _take(self, rows: NDArray[Any], pool: Pool, columns: slice, most: tuple[int, int] | None) -> None:
        items = pool.items[rows if len(pool.items) > 1 else np.zeros_like(rows), columns]
        bought = self.allowed.bought.hold(rows[:, None], items) if pool.bought is None else pool.bought[rows, columns]
        kinds = [_Kind.of(items, self.items[rows], 1)]
        for cap in self.allowed.rules.shop.caps:
            places = np.where(self.items[rows] >= 0, cap.groups[self.items[rows]], _FREE)
            kinds.append(_Kind.of(cap.groups[items], places, cap.most))
        if most is not None:
            new = (~bought).astype(np.int8)
            kinds.append(_Kind.of(new, self._repeated()[rows], np.array(most)[new]))
        need = self.items.shape[1] - self.size[rows]
        for here, column in _greedy(self.allowed.open(rows[:, None], items), need, kinds):
            users = rows[here]
            place = self.size[users]
            self.items[users, place] = items[here, column]
            if pool.scores is not None:
                self.scores[users, place] = pool.scores[users, columns.start + column]
            self.reasons[users, place] = np.where(bought[here, column], 0, pool.reason)
            self.size[users] += 1

    def falling(self) -> NDArray[Any]:
        """[users, K] scores that do not rise: a place that nobody scored is 1 below the one before, free ones are 0."""
        scores = self.scores.copy()
        for place in range(scores.shape[1]):
            before = scores[:, place - 1] if place else np.ones(len(scores))
            own = scores[:, place]
            scores[:, place] = np.where(np.isnan(own), before - 1, np.minimum(own, before) if place else own)
        return np.where(self.items >= 0, scores, 0)


@dataclass
class _Kind:
    """A partition of the products of which a list holds so many of a kind at most.

    Attributes:
        groups: [users, width] the kind of each product of the pool; negative: not counted.
        counts: [users, width] how many of that kind the list holds.
        most: [users, width] or one number.
    """

    groups: NDArray[Any]
    counts: NDArray[Any]
    most: NDArray[Any] | int

    @classmethod
    def of(cls, groups: NDArray[Any], places: NDArray[Any], most: NDArray[Any] | int) -> "_Kind":
        counts = np.zeros(groups.shape, np.int32)
        for place in places.T:
            counts += groups == place[:, None]
        return cls(groups, counts, most)

    def full(self) -> NDArray[Any]:
        return (self.counts >= self.most) & (self.groups >= 0)

    def take(self, here: NDArray[Any], column: NDArray[Any]) -> None:
        self.counts[here] += self.groups[here] == self.groups[here, column][:, None]


def _greedy(
    free: NDArray[Any], need: NDArray[Any], kinds: Sequence[_Kind]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Rows and columns of the next product of every user that still gets one, place after place.

    Args:
        free: [users, width] bool.
        need: [users] places to fill.
    """
    rows = np.arange(len(free))
    for place in range(int(need.max(initial=0))):
        for kind in kinds:
            free &= ~kind.full()
        column = free.argmax(1)
        here = np.flatnonzero(free[rows, column] & (place < need))
        if not len(here):
            return
        column = column[here]
        for kind in kinds:
            kind.take(here, column)
        yield here, column
