"""The best items of each user among blocks of items that come one after the other, without scoring all of them.

Every score has an upper bound; what may exceed the user's bar is scored and kept (a reservoir with a rising bar, as in
Johnson, Douze and Jégou, Billion-scale similarity search with GPUs).

What is kept is one integer: the score's bits in their order, then the item's place counted down. All integers differ,
so equal scores are in the order of the places whatever the blocks were.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic
from numpy.typing import NDArray

CHUNK = 64  # bounds that are looked at together
NOTHING = np.iinfo(np.int64).min
_LAST = 0xFFFFFFFF
_INF = np.float32(np.inf)
_first: Any = trailing_zeros


def room(count: int) -> int:
    """Keys that are held for each user while its ``count`` best are searched."""
    return 2 * count + CHUNK


def values(keys: NDArray[Any]) -> NDArray[Any]:
    """The scores in keys."""
    bits = (keys >> 32).astype(np.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)


def places(keys: NDArray[Any]) -> NDArray[Any]:
    return _LAST - (keys & _LAST)


def _bits(_: Any, values: Any, place: Any, low: Any) -> tuple[Any, Any]:
    """Bits of the ``CHUNK`` values from ``place`` on in an array: 1 for nan and for what exceeds ``low``."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = ir.VectorType(ir.FloatType(), CHUNK)
        data = context.make_array(signature.args[0])(context, builder, given[0]).data
        address = builder.bitcast(builder.gep(data, [given[1]]), kind.as_pointer())
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), CHUNK), [0] * CHUNK)
        single = builder.insert_element(ir.Constant(kind, ir.Undefined), given[2], ir.Constant(ir.IntType(32), 0))
        limits = builder.shuffle_vector(single, single, lanes)
        return builder.bitcast(builder.fcmp_unordered(">", builder.load(address, align=4), limits), ir.IntType(64))

    return types.uint64(values, place, low), generate


_above: Any = intrinsic(_bits)


@njit(cache=True, nogil=True, error_model="numpy")
def keep(bounds: Any, slack: Any, users: Any, items: Any, first: Any, best: Any, sizes: Any, bars: Any) -> None:
    """Adds items whose score exceeds a user's bar to its best; where they are full, the bar rises.

    Args:
        bounds: [users, items], a multiple of ``CHUNK``: no score exceeds its bound by more than ``slack`` [users], inf
            or nan where that is not known; a bound is nan where it is not known, -inf where the item is not wanted.
        users: [users, dim]; items: [items, dim].
        first: place of the first of these items.
        best: [users, room] keys; sizes, bars: [users].
    """
    full = best.shape[1]
    count = (full - CHUNK) // 2
    for user in range(len(bounds)):
        keys, bar, size, vector = best[user], bars[user], sizes[user], users[user]
        known = slack[user] < _INF
        low = bar - slack[user] if known else -_INF
        for chunk in range(0, bounds.shape[1], CHUNK):
            left = _above(bounds, user * bounds.shape[1] + chunk, low)
            if left == 0:
                continue
            if size + CHUNK > full:
                size, least = _lead(keys, size, count, count + count // 8)
                high = np.int32(least >> 32)
                bar = np.int32(high ^ ((high >> 31) & 0x7FFFFFFF)).view(np.float32)
                low = bar - slack[user] if known else -_INF
                left &= _above(bounds, user * bounds.shape[1] + chunk, low)
            while left != 0:
                place = chunk + np.int64(_first(left))
                left &= left - np.uint64(1)
                score = np.float32(product(vector, items[place]) + np.float32(0))  # -0 is 0
                if score > bar:
                    high = score.view(np.int32)
                    keys[size] = (np.int64(high ^ ((high >> 31) & 0x7FFFFFFF)) << 32) | (_LAST - first - place)
                    size += 1
        sizes[user], bars[user] = size, bar


@njit(cache=True, nogil=True, error_model="numpy")
def finish(best: Any, sizes: Any, count: Any) -> None:
    """Leaves the ``count`` best keys of each user in front, in any order."""
    for user in range(len(best)):
        if sizes[user] > count:
            _lead(best[user], sizes[user], count, count)
        else:
            best[user, sizes[user] : count] = NOTHING


@njit(cache=True, nogil=True, error_model="numpy")
def _lead(keys: Any, size: Any, count: Any, most: Any) -> Any:
    """Leaves ``count`` to ``most`` of the largest of keys[:size] in front; returns how many, and what none is below.

    Bisects between the smallest and the largest: counting has no branches, unlike a selection by exchanges.
    """
    low = high = keys[0]
    for place in range(size):
        low, high = min(low, keys[place]), max(high, keys[place])
    high += 1
    reached = size
    while reached > most:
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        above = 0
        for place in range(size):
            above += keys[place] >= middle
        if above >= count:
            low, reached = middle, above
        else:
            high = middle
    kept = 0
    for place in range(size):
        key = keys[place]
        keys[kept] = key  # is overwritten if it is too small
        kept += key >= low
    return kept, low


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def product(user: Any, item: Any) -> Any:
    """Every score comes from here, so that it does not depend on how its bound was found."""
    total = np.float32(0)
    for place in range(len(user)):
        total += user[place] * item[place]
    return total
