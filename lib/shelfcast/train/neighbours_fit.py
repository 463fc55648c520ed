"""Learns which items go together from all ranks' users: each rank makes the rows of its items."""

import numpy as np

from shelfcast.models import item_neighbours
from shelfcast.models.item_neighbours import ItemNeighbours
from shelfcast.models.sequences import Sequences
from shelfcast.train.collective import Collective

_LONGEST = 300  # items of a history, the newest: the work grows with their square
_PAIRS = 4_000_000_000  # pairs of items in all histories that are looked at; of more a random part


def fit(
    sequences: Sequences, items: int, most: int, seed: int, collective: Collective, *, shared: bool
) -> ItemNeighbours:
    """The ``most`` neighbours of each of ``items`` items.

    Args:
        sequences: of this rank's users, or of all users where ``shared``.
    """
    matrix = sequences.newest(_LONGEST).numbers
    sizes = (matrix > 0).sum(1)
    limit = _PAIRS if shared else _PAIRS // collective.size
    order = np.random.default_rng([seed, 0 if shared else collective.rank]).permutation(len(sizes))
    chosen = np.sort(order[np.cumsum(sizes[order].astype(np.float64) ** 2) <= limit])
    own = (sizes[chosen], matrix[chosen][matrix[chosen] > 0] - 1)
    parts = [own] if shared else collective.gather(own)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part[0] for part in parts]))]).astype(np.int64)
    places = np.concatenate([part[1] for part in parts]).astype(np.int32)
    rows = np.arange(collective.rank, items, collective.size)
    found = item_neighbours.learn(offsets, places, items, rows, most)
    dealt = collective.gather((found.places[rows], found.weights[rows]))
    for rank, (of_rank, weights) in enumerate(dealt):
        found.places[rank :: collective.size], found.weights[rank :: collective.size] = of_rank, weights
    return found
