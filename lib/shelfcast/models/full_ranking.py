"""How well scores rank one wanted item of each user among all items, never against a sample of them.

Sampled metrics order models differently from exact ones (Krichene & Rendle 2020).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.sequences import Sequences

METRICS = ("hr", "ndcg", "mrr")
_ELEMENTS_AT_ONCE = 1 << 24  # of a block of scores: 64 MB


@dataclass(frozen=True)
class Ranking:
    """Where the wanted items stand, and what the lists hold.

    Attributes:
        places: [users] 0 for the best; items of the same score stand before the wanted one.
        lists: [users, k] the numbers of the best items, in no order within a list.
    """

    places: NDArray[Any]
    lists: NDArray[Any]


def ranking(scores: Iterator[NDArray[Any]], known: Sequences, wanted: NDArray[Any], k: int) -> Ranking:
    """
    Args:
        scores: blocks [some users, items] of all users in turn; they are written over.
        known: [users] what cannot be recommended; the wanted item counts in any case.
        wanted: [users] the number of the item to be found.
        k: length of the lists, at most the number of items.
    """
    places, lists, start = [], [], 0
    for block in scores:
        end = start + len(block)
        rows = np.arange(len(block))
        own = block[rows, wanted[start:end] - 1]
        seen = slice(known.offsets[start], known.offsets[end])
        block[np.repeat(rows, np.diff(known.offsets[start : end + 1])), known.numbers[seen] - 1] = -np.inf
        block[rows, wanted[start:end] - 1] = own
        places.append((block >= own[:, None]).sum(1) - 1)
        lists.append(np.argpartition(-block, k - 1, axis=1)[:, :k] + 1)
        start = end
    return Ranking(np.concatenate(places), np.concatenate(lists))


def products(users: NDArray[Any], items: NDArray[Any], bias: NDArray[Any] | None = None) -> Iterator[NDArray[Any]]:
    """Blocks of user · item + bias for user vectors [users, d], item vectors [items, d] and biases [items]."""
    for rows in blocks(len(users), len(items)):
        scores = users[rows] @ items.T
        yield scores if bias is None else scores + bias


def blocks(users: int, items: int) -> Iterator[slice]:
    """Runs of users whose scores of all items fit in a block."""
    rows = max(_ELEMENTS_AT_ONCE // max(items, 1), 1)
    for start in range(0, users, rows):
        yield slice(start, min(start + rows, users))


def gains(places: NDArray[Any], k: int) -> NDArray[Any]:
    """[users, metrics] hit rate at k, NDCG at k (one wanted item: 1 ÷ log2(place + 2)) and reciprocal rank."""
    hit = places < k
    return np.stack([hit, hit / np.log2(places + 2.0), 1 / (places + 1.0)], 1)
