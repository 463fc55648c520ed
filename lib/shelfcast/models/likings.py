"""How much a user buys of what is of one kind with a product: of its type, its category, its brand."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from shelfcast.models.histories import Histories

_HALF_LIFE = 8 * 7.0  # days
_SHARPEN = 10.0  # decayed counts are small: log1p(10 d) keeps them apart


def likings(
    histories: Histories, day: int, groups: Iterable[NDArray[Any]], users: NDArray[Any], items: NDArray[Any]
) -> Iterator[NDArray[Any]]:
    """Of each partition into groups, [pairs] float32: log1p of ten times the decayed count of the user's wanted events
    in the item's group.

    Args:
        day: days since 1970-01-01; the histories hold nothing later.
        groups: [catalogue] int32 each; items without a group, -1, have 0.
        users: [pairs] rows of the histories, ascending.
        items: [pairs] catalogue codes.
    """
    wanted = histories.keep(histories.wanted)
    weights = np.exp2((wanted.days - day) / _HALF_LIFE).astype(np.float32)
    first = np.searchsorted(users, np.arange(len(histories) + 1))
    for numbers in groups:
        size = int(numbers.max(initial=-1)) + 2  # the last stands for none
        found = _sums(wanted.offsets, numbers[wanted.items], weights, first, numbers[items], size)
        yield np.asarray(np.log1p(_SHARPEN * found), np.float32)


@njit(cache=True)
def _sums(offsets: Any, groups: Any, weights: Any, first: Any, asked: Any, size: int) -> Any:
    found = np.zeros(len(asked), np.float32)
    sums = np.zeros(size, np.float32)
    for user in range(len(offsets) - 1):
        for at in range(offsets[user], offsets[user + 1]):
            sums[groups[at]] += weights[at]
        sums[-1] = 0
        for at in range(first[user], first[user + 1]):
            found[at] = sums[asked[at]]
        for at in range(offsets[user], offsets[user + 1]):
            sums[groups[at]] = 0
    return found
