"""Draws the users whom others are compared with, and learns the directions in which users differ most."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shelfcast.models.histories import Histories
from shelfcast.models.item_neighbours import Profile
from shelfcast.models.peers import HALF_LIVES, Directions, Peers, Taken
from shelfcast.settings import Recommender as Options
from shelfcast.train import profiles
from shelfcast.train.collective import Collective

_PEERS = 10_000  # of all ranks together: 40 MB in each process that scores
_ITEMS = 50_000  # of the vocabulary, those that most peers have, place a user
_DIM = 64
_SPARE = 16  # dimensions that the iteration carries along and drops at its end
_ROUNDS = 4
_LEAST = 0.2  # of the longest-lived decayed count; what is less is forgotten
_WEEK = 7.0


def fit(
    histories: Histories, words: NDArray[Any], vocabulary: int, day: int, options: Options, seed: int,
    collective: Collective,
) -> Peers | None:  # fmt: skip
    """At most 10,000 users of all ranks, as seen at the end of ``day``; None where nobody took anything.

    Args:
        histories: of this rank's users, nothing later than ``day``.
        words: [catalogue] the number of each product in the vocabulary, from 1; 0 for unknown ones.
        vocabulary: number of its items.
        options: of these ``half_lives`` and ``peers``.
    """
    active = np.flatnonzero(np.bincount(histories.rows()[histories.wanted], minlength=len(histories)))
    own = profiles.drawn(histories, active, _PEERS, seed, collective)
    profile = profiles.profile(own, words, day, options.half_lives)
    parts = collective.gather((profile.columns, _taken(own, words, day)))
    offsets, places, weights = _stacked([part[0] for part in parts])
    taken = Taken(*_stacked([part[1] for part in parts]))
    if not len(places):
        return None
    everyone = Profile(offsets, places, weights)
    directions = collective.agree(_directions(everyone, vocabulary, seed) if collective.first else None)
    return Peers(directions, directions.stand(everyone), taken, options.peers)


def _stacked(parts: Sequence[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Offsets, places and weights of all ranks' users, by rank."""
    sizes = np.concatenate([np.diff(offsets) for offsets, _, _ in parts])
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return offsets, np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts])


def _taken(histories: Histories, words: NDArray[Any], day: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Offsets, places and decayed counts of what these users wanted of the vocabulary."""
    wanted = histories.keep(histories.wanted)
    places, users = words[wanted.items].astype(np.int64) - 1, wanted.rows()
    decayed = np.exp2((wanted.days[:, None] - day) / _WEEK / np.array(HALF_LIVES))
    width = int(words.max(initial=0)) + 1
    pairs, pair = np.unique((users * width + places)[places >= 0], return_inverse=True)
    known = [np.bincount(pair, column[places >= 0], minlength=len(pairs)) for column in decayed.T]
    weights = np.stack(known, 1).astype(np.float32)
    users, places = np.divmod(pairs, width)
    order = np.lexsort((-weights[:, 0], users))
    order = order[weights[order, -1] >= _LEAST]
    offsets = np.searchsorted(users[order], np.arange(len(histories) + 1)).astype(np.int64)
    return offsets, places[order].astype(np.int32), weights[order]


def _directions(profile: Profile, vocabulary: int, seed: int) -> Directions:
    """The first right singular vectors of the users' tf-idf rows, by subspace iteration (Halko, Martinsson and Tropp
    2011), times the items' idf.
    """
    had = np.bincount(profile.places, minlength=vocabulary)
    known, users = profiles.common(had, _ITEMS), len(profile.offsets) - 1
    rows = profiles.rows(profile, known, vocabulary)
    idf = np.log((1 + users) / (1 + had[known])).astype(np.float32)
    rows = sp.csr_matrix(rows @ sp.diags(idf))
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).ravel())
    rows = sp.csr_matrix(sp.diags(1 / np.maximum(length, 1e-9)) @ rows).astype(np.float32)
    dim = min(_DIM, users, len(known))
    basis = np.random.default_rng([seed, 2]).normal(size=(len(known), min(dim + _SPARE, len(known))))
    basis = basis.astype(np.float32)
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(rows.T @ (rows @ basis))
    _, _, turned = np.linalg.svd(rows @ basis, full_matrices=False)
    vectors = basis @ turned.T[:, :dim]
    return Directions(known, np.ascontiguousarray(idf[:, None] * vectors, np.float32), vocabulary)
