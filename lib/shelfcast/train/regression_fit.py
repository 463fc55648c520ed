"""Learns which items foretell which from all ranks' users."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shelfcast.models import habits as habit
from shelfcast.models import item_regression
from shelfcast.models.histories import Histories
from shelfcast.models.item_neighbours import Profile
from shelfcast.models.item_regression import ItemRegression
from shelfcast.settings import Recommender as Options
from shelfcast.train.collective import Collective

_ITEMS = 5000  # those that most users have: their products are 200 MB, their inverse takes some seconds
_USERS = 200_000  # of all ranks together; of more a random part


def fit(
    histories: Histories, words: NDArray[np.int32], vocabulary: int, day: int, options: Options, seed: int,
    collective: Collective,
) -> ItemRegression | None:  # fmt: skip
    """Of the 5,000 items that most users have; None where nobody has any.

    Args:
        histories: of this rank's users, nothing later than ``day``.
        words: [catalogue] the number of each product in the vocabulary, from 1; 0 for unknown ones.
        vocabulary: number of its items.
        options: of these ``half_lives`` and ``predictors``.
    """
    order = np.random.default_rng([seed, collective.rank]).permutation(len(histories))
    own = histories.users(np.sort(order[: _USERS // collective.size]))
    profile = Profile.of(habit.habits(own, day, options.half_lives), words, len(own))
    had = collective.sum(np.bincount(profile.places, minlength=vocabulary))
    known = np.sort(np.argsort(-had, kind="stable")[: min(_ITEMS, int((had > 0).sum()))]).astype(np.int32)
    if not len(known):
        return None
    shape = (len(own), vocabulary)
    rows = sp.csr_matrix((profile.weights, profile.places, profile.offsets), shape)[:, known]
    products = collective.sum((rows.T @ rows).toarray())
    found = item_regression.learn(products, known, vocabulary, options.predictors) if collective.first else None
    agreed: ItemRegression = collective.agree(found)
    return agreed
