"""Exact search for the items whose vectors have the largest inner product with a user's.

Scores of a block of users and a block of items come from one call of BLAS and stay in the core's cache, where what the
user may not get is struck out and what beats the user's k-th best so far is kept (a reservoir with a rising bar, as in
Johnson, Douze and Jégou, Billion-scale similarity search with GPUs). Blocks of items are gathered from a table that may
be memory-mapped, one after the other, so that memory does not grow with the catalogue.

What is kept is one integer: the score's bits in their order, then the item's place counted down. All integers differ,
so equal scores are in the order of the codes whatever the blocks were.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_USERS, _ITEMS = 256, 1024  # of a block: 1 MB of scores
_CHUNK = 64  # scores that are looked at together
_RUNNING = 1 << 26  # bytes of the running best: more users are searched for in turn
_LAST = 0xFFFFFFFF
_NOTHING = np.iinfo(np.int64).min

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
    """

    def __init__(self, codes: NDArray[Any], vectors: NDArray[Any], rows: NDArray[Any] | None = None) -> None:
        self.codes, first = np.unique(codes, return_index=True)
        self.rows = first if rows is None else np.asarray(rows)[first]
        self.vectors = np.asarray(vectors)
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
        at_once = max(_RUNNING // (8 * _room(count)), 1)
        for start in range(0, len(users) if count else 0, at_once):
            part = slice(start, start + at_once)
            keys = self._keys(np.ascontiguousarray(users[part], np.float32), count, self._struck(masked, part))
            places = _LAST - (keys & _LAST)
            real = keys != _NOTHING
            codes[part, :count][real] = self.codes[places[real]]
            scores[part, :count][real] = _values(keys[real])
        return Best(codes, scores)

    def scores(self, users: NDArray[Any], rows: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
        """[pairs] float32 inner products of ``users[rows]`` with the items ``codes``, -inf for items not searched."""
        found = np.full(len(codes), -np.inf, np.float32)
        place = self._place(codes)
        _products(users, rows, self.vectors, np.where(place >= 0, self.rows[place], -1) if len(self) else place, found)
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
        """[users, count] what is best of these users, best first, ``_NOTHING`` behind the end."""
        best = np.empty((len(users), _room(count)), np.int64)
        sizes, bars = np.zeros(len(users), np.int64), np.full(len(users), -np.inf, np.float32)
        # Parts of equal size, because BLAS rounds differently where a part has a single row.
        edges = np.linspace(0, len(users), -(-len(users) // _USERS) + 1).astype(int)
        alone = len(users) == 1
        given = np.repeat(users, 2, 0) if alone else users
        scores = np.empty((max(int(np.diff(edges).max()), 2), _ITEMS), np.float32)
        block = np.zeros((_ITEMS, self.vectors.shape[1]), np.float32)
        blocks = range(0, len(self), _ITEMS)
        bounds = np.searchsorted(struck, (np.arange(len(blocks))[:, None] * len(users) + edges) * _ITEMS)
        for number, first in enumerate(blocks):
            rows = self.rows[first : first + _ITEMS]
            np.take(self.vectors, rows, axis=0, out=block[: len(rows)], mode="clip")
            for place, (start, stop) in enumerate(pairwise(edges)):
                found = scores[: 2 if alone else stop - start]
                np.dot(given[start : stop + alone], block.T, out=found)
                found[:, len(rows) :] = -np.inf
                at = struck[bounds[number, place] : bounds[number, place + 1]]
                found.reshape(-1)[at - (number * len(users) + start) * _ITEMS] = -np.inf
                chunks, own = found[: stop - start].reshape(stop - start, -1, _CHUNK), slice(start, stop)
                _keep(chunks, first, count, best[own], sizes[own], bars[own])
        _finish(best, sizes, count)
        return np.sort(best[:, :count], axis=1)[:, ::-1]


def _room(count: int) -> int:
    return 2 * count + _CHUNK


def _values(keys: NDArray[Any]) -> NDArray[Any]:
    """The scores in keys."""
    bits = (keys >> 32).astype(np.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)


@njit(cache=True, nogil=True, fastmath=True)
def _products(users: Any, rows: Any, vectors: Any, items: Any, found: Any) -> None:
    """Inner products of users and items (rows of their tables), one pair at a time; none for the item -1."""
    for pair in range(len(items)):
        if items[pair] >= 0:
            user, item = users[rows[pair]], vectors[items[pair]]
            total = np.float32(0)
            for place in range(len(user)):
                total += user[place] * item[place]
            found[pair] = total


@njit(cache=True, nogil=True, error_model="numpy")
def _keep(scores: Any, first: Any, count: Any, best: Any, sizes: Any, bars: Any) -> None:
    """Adds what exceeds a user's bar to its best; where they are full, the bar rises to the ``count``-th of them.

    Args:
        scores: [users, chunks, _CHUNK].
        first: place of the first of these items.
        best: [users, 2 count + _CHUNK] keys; sizes, bars: [users].
    """
    room = best.shape[1]
    for user in range(scores.shape[0]):
        keys, bar, size = best[user], bars[user], sizes[user]
        for chunk in range(scores.shape[1]):
            above = np.uint32(0)
            for place in range(_CHUNK):
                above |= np.uint32(scores[user, chunk, place] > bar)
            if above == 0:
                continue
            if size + _CHUNK > room:
                high = np.int32(_lead(keys, size, count) >> 32)
                bar = np.int32(high ^ ((high >> 31) & 0x7FFFFFFF)).view(np.float32)
                size = count
            down = _LAST - (first + chunk * _CHUNK)
            for place in range(_CHUNK):  # without a branch: the next one overwrites what did not exceed the bar
                high = np.float32(scores[user, chunk, place] + np.float32(0)).view(np.int32)  # -0 is 0
                keys[size] = (np.int64(high ^ ((high >> 31) & 0x7FFFFFFF)) << 32) | (down - place)
                size += scores[user, chunk, place] > bar
        sizes[user], bars[user] = size, bar


@njit(cache=True, nogil=True, error_model="numpy")
def _finish(best: Any, sizes: Any, count: Any) -> None:
    """Leaves the ``count`` best keys of each user in front, in any order."""
    for user in range(len(best)):
        if sizes[user] > count:
            _lead(best[user], sizes[user], count)
        else:
            best[user, sizes[user] : count] = _NOTHING


@njit(cache=True, nogil=True, error_model="numpy")
def _lead(keys: Any, size: Any, count: Any) -> Any:
    """Brings the ``count`` largest of keys[:size] to the front (Hoare's selection); returns the smallest of them."""
    low, high, last = 0, size - 1, count - 1
    while low < high:
        pivot = keys[(low + high) >> 1]
        left, right = low, high
        while left <= right:
            while keys[left] > pivot:
                left += 1
            while keys[right] < pivot:
                right -= 1
            if left <= right:
                keys[left], keys[right] = keys[right], keys[left]
                left += 1
                right -= 1
        if last <= right:
            high = right
        elif last >= left:
            low = left
        else:
            break
    return keys[last]
