"""Exact search for the items whose vectors have the largest inner product with a user's.

Bounds of the scores of a block of users and a block of items are found at once and stay in the core's cache, where what
the user may not get is struck out and what may exceed the user's k-th best so far is scored
(:mod:`shelfcast.models.reservoir`). Bounds come from 8-bit numbers where the processor multiplies those fast and the
users are many (:mod:`shelfcast.models.quantised`), otherwise from BLAS; what is found is the same. Blocks of items are
gathered from a table that may be memory-mapped, one after the other, so that memory does not grow with the catalogue.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from shelfcast.models import quantised, reservoir
from shelfcast.models.reservoir import product

_USERS, _ITEMS = 256, 1024  # of a block: 1 MB of scores
_FEW = 32  # users; for fewer, packing 65,000 items costs more than it saves: even at 25 users of dim 64, 8 of 385
_RUNNING = 1 << 26  # bytes of the running best: more users are searched for in turn

Masked = tuple[NDArray[Any], NDArray[Any]]
"""Offsets [users + 1] and codes: user r must not be given ``codes[offsets[r]:offsets[r + 1]]``."""


@dataclass(frozen=True)
class Best:
    """Items of some users, best first, equal scores by code.

    Attributes:
        codes: [users, k] int32, distinct within a user; -1 behind the end where fewer than k items are left to a user.
        scores: [users, k] float32; -inf behind the end.
    """

    codes: NDArray[Any]
    scores: NDArray[Any]


class ItemSearch:
    """Searches some rows of a table of item vectors.

    Args:
        codes: [items] int; of a code that is given twice the first row counts.
        vectors: [rows, dim] float32, read only where it is searched; an item with a nan is never found.
        rows: [items] the row of each code; None: they are in the order of the table.
        more: [n, dim] float32, rows that follow those of ``vectors``, which may be a file that others map as well.
    """

    def __init__(
        self, codes: NDArray[Any], vectors: NDArray[Any], rows: NDArray[Any] | None = None,
        more: NDArray[Any] | None = None,
    ) -> None:  # fmt: skip
        self.codes, first = np.unique(codes, return_index=True)
        self.rows = first if rows is None else np.asarray(rows)[first]
        self.vectors = np.asarray(vectors)
        self.more = np.zeros((0, self.vectors.shape[1]), np.float32) if more is None else more
        self._places = np.full(int(self.codes.max(initial=-1)) + 2, -1, np.int64)  # the last stands for other codes
        self._places[self.codes] = np.arange(len(self.codes))

    def __len__(self) -> int:
        return len(self.codes)

    def best(self, users: NDArray[Any], k: int, *masked: Masked) -> Best:
        """The ``k`` best items of each user that none of ``masked`` takes from it.

        A user's items do not depend on who else is asked for. Fewer than k come only where no more items are left.

        Args:
            users: [users, dim] float32.
        """
        codes, scores = np.full((len(users), k), -1, np.int32), np.full((len(users), k), -np.inf, np.float32)
        count = min(k, len(self))
        at_once = max(_RUNNING // (8 * reservoir.room(count)), 1)
        for start in range(0, len(users) if count else 0, at_once):
            part = slice(start, start + at_once)
            keys = self._keys(np.ascontiguousarray(users[part], np.float32), count, self._struck(masked, part))
            places = reservoir.places(keys)
            real = keys != reservoir.NOTHING
            codes[part, :count][real] = self.codes[places[real]]
            scores[part, :count][real] = reservoir.values(keys[real])
        return Best(codes, scores)

    def scores(self, users: NDArray[Any], rows: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
        """[pairs] float32 inner products of ``users[rows]`` with the items ``codes``, -inf for items not searched."""
        found = np.full(len(codes), -np.inf, np.float32)
        place = self._place(codes)
        items = np.where(place >= 0, self.rows[place], -1) if len(self) else place
        _products(users, rows, self.vectors, self.more, items, found)
        return found

    def _place(self, codes: NDArray[Any]) -> NDArray[Any]:
        """[n] places of codes among those searched, -1 for others."""
        return np.asarray(self._places[np.where((codes >= 0) & (codes < len(self._places)), codes, -1)])

    def _struck(self, masked: tuple[Masked, ...], part: slice) -> NDArray[Any]:
        """Sorted addresses of what is taken from these users, in scores [blocks of items, users, items of a block]."""
        parts = [np.zeros(0, np.int64)]
        for offsets, codes in masked:
            ends = offsets[part.start : part.stop + 1]
            rows = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
            place = self._place(codes[ends[0] : ends[-1]])
            block, column = np.divmod(place[place >= 0], _ITEMS)
            parts.append((block * (len(ends) - 1) + rows[place >= 0]) * _ITEMS + column)
        return np.sort(np.concatenate(parts))

    def _keys(self, users: NDArray[Any], count: int, struck: NDArray[Any]) -> NDArray[Any]:
        """[users, count] what is best of these users, best first, ``NOTHING`` behind the end."""
        best = np.empty((len(users), reservoir.room(count)), np.int64)
        sizes, bars = np.zeros(len(users), np.int64), np.full(len(users), -np.inf, np.float32)
        edges = np.append(np.arange(0, len(users), _USERS), len(users))
        block = np.zeros((_ITEMS, self.vectors.shape[1]), np.float32)
        bounds, slack = _bounds(users), _slack(users)
        blocks = range(0, len(self), _ITEMS)
        ends = np.searchsorted(struck, (np.arange(len(blocks))[:, None] * len(users) + edges) * _ITEMS)
        for number, first in enumerate(blocks):
            rows = self.rows[first : first + _ITEMS]
            self._copy(rows, block)
            with np.errstate(invalid="ignore", over="ignore"):
                rounded = slack * np.float32(bounds.visit(block, len(rows)))
            for place, (start, stop) in enumerate(pairwise(edges)):
                found, own = bounds.of(start, stop), slice(start, stop)
                found[~np.isfinite(rounded[own])] = np.nan
                found[:, len(rows) :] = -np.inf
                at = struck[ends[number, place] : ends[number, place + 1]]
                found.reshape(-1)[at - (number * len(users) + start) * _ITEMS] = -np.inf
                reservoir.keep(found, rounded[own], users[own], block, first, best[own], sizes[own], bars[own])
        reservoir.finish(best, sizes, count)
        return np.sort(best[:, :count], axis=1)[:, ::-1]

    def _copy(self, rows: NDArray[Any], block: NDArray[Any]) -> None:
        """The vectors of ``rows`` to the first rows of ``block``."""
        np.take(self.vectors, rows, axis=0, out=block[: len(rows)], mode="clip")
        late = np.flatnonzero(rows >= len(self.vectors))
        if len(late):
            block[late] = self.more[rows[late] - len(self.vectors)]


class _Products:
    """Inner products in place of upper bounds, which they are but for rounding: see :class:`quantised.Bounds`."""

    def __init__(self, users: NDArray[Any]) -> None:
        self._users, self._items = users, users
        self._found = np.empty((min(len(users), _USERS), _ITEMS), np.float32)

    def visit(self, block: NDArray[Any], filled: int) -> float:
        self._items = block
        return float(np.fmax.reduce(_norms(block[:filled])))

    def of(self, start: int, stop: int) -> NDArray[Any]:
        with np.errstate(invalid="ignore", over="ignore"):
            return np.dot(self._users[start:stop], self._items.T, out=self._found[: stop - start])


def _bounds(users: NDArray[Any]) -> _Products | quantised.Bounds:
    few = len(users) < _FEW or not 1 < users.shape[1] <= quantised.LONGEST
    return _Products(users) if few or not quantised.supported() else quantised.Bounds(users, _USERS, _ITEMS)


def _slack(users: NDArray[Any]) -> NDArray[Any]:
    """[users] float32: by how much, for an item of norm 1, a score in float32 may exceed a bound in float32.

    A sum of n products in any order is off by n 2^-24 times the product of the norms, and so is a norm; a bound has
    some roundings more. Both are allowed for twice over.
    """
    norms = np.where(users.any(1), _norms(users), np.float32(0))
    return np.asarray(norms * np.float32((users.shape[1] + 32) * 2.0**-22))


def _norms(vectors: NDArray[Any]) -> NDArray[Any]:
    """[n] float32 Euclidean norms, not too small; inf where sums of products may not be finite."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) + quantised.TINY
    return np.where(norms >= quantised.HUGE, np.float32(np.inf), norms)


@njit(cache=True, nogil=True)
def _products(users: Any, rows: Any, vectors: Any, more: Any, items: Any, found: Any) -> None:
    """Inner products of users and items (rows of their tables), one pair at a time; none for the item -1."""
    known = len(vectors)
    for pair in range(len(items)):
        if items[pair] >= known:
            found[pair] = product(users[rows[pair]], more[items[pair] - known])
        elif items[pair] >= 0:
            found[pair] = product(users[rows[pair]], vectors[items[pair]])
