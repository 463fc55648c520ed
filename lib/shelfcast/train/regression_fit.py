"""Learns which items foretell which from all ranks' users."""

import numpy as np
from numpy.typing import NDArray

from shelfcast.models import item_regression
from shelfcast.models.histories import Histories
from shelfcast.models.item_regression import ItemRegression
from shelfcast.settings import Recommender as Options
from shelfcast.train import profiles
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
    own = profiles.drawn(histories, np.arange(len(histories)), _USERS, seed, collective)
    profile = profiles.profile(own, words, day, options.half_lives)
    known = profiles.common(collective.sum(np.bincount(profile.places, minlength=vocabulary)), _ITEMS)
    if not len(known):
        return None
    rows = profiles.rows(profile, known, vocabulary)
    products = collective.sum((rows.T @ rows).toarray())
    found = item_regression.learn(products, known, vocabulary, options.predictors) if collective.first else None
    agreed: ItemRegression = collective.agree(found)
    return agreed
