"""What a sample of the users has, for those who learn from it: their profiles, and these as sparse rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shelfcast.models import habits as habit
from shelfcast.models.histories import Histories
from shelfcast.models.item_neighbours import Profile
from shelfcast.train.collective import Collective


def drawn(histories: Histories, users: NDArray[np.intp], most: int, seed: int, collective: Collective) -> Histories:
    """This rank's share of at most ``most`` users of all ranks, at random among its ``users`` (rows of histories)."""
    order = np.random.default_rng([seed, collective.rank]).permutation(users)
    return histories.users(np.sort(order[: most // collective.size]))


def profile(histories: Histories, words: NDArray[np.int32], day: int, half_lives: Sequence[float]) -> Profile:
    """
    Args:
        words: [catalogue] the number of each product in the vocabulary, from 1; 0 for unknown ones.
        day: nothing in the histories is later.
    """
    return Profile.of(habit.habits(histories, day, half_lives), words, len(histories))


def common(had: NDArray[Any], most: int) -> NDArray[np.int32]:
    """At most ``most`` places of the vocabulary, ascending: those that most users have, of the ones that any has.

    Args:
        had: [vocabulary] users who have each item.
    """
    return np.sort(np.argsort(-had, kind="stable")[: min(most, int((had > 0).sum()))]).astype(np.int32)


def rows(own: Profile, known: NDArray[np.int32], vocabulary: int) -> sp.csr_matrix:
    """[users, known] weights of the items ``known`` alone."""
    shape = (len(own.offsets) - 1, vocabulary)
    return sp.csr_matrix(sp.csr_matrix((own.weights, own.places, own.offsets), shape)[:, known])
