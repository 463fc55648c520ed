"""Trains the members of a sequence model: one by all ranks together, several by each rank on its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shelfcast.models.recommender import SequenceRecommender
from shelfcast.models.sampled_softmax import Negatives
from shelfcast.models.sequence_ensemble import SequenceEnsemble, build_member
from shelfcast.models.sequences import Inputs, Pieces
from shelfcast.models.sizes import Sizes
from shelfcast.settings import Recommender as Options
from shelfcast.train.checkpoint import Checkpoint
from shelfcast.train.collective import Collective
from shelfcast.train.sequence_fit import Fit

_SEEDS_APART = 7919  # of two members
_CONDENSED_USERS = 20_000  # whose scores the approximation of several members keeps

Validate = Callable[[SequenceRecommender, Collective], float]
Log = Callable[[str, float, int], None]


@dataclass(frozen=True)
class Material:
    """What a sequence model learns from.

    Attributes:
        pieces: of this rank's users; of all users where ``sizes.members`` is more than one, because a rank then trains
            its members alone.
        events: [items] how often each item occurs.
        histories: the newest items of this rank's users, as in scoring.
        said: [items, S] words of each item; None: nothing is said of them.
    """

    pieces: Pieces
    events: NDArray[Any]
    histories: Inputs
    said: NDArray[Any] | None = None


@dataclass(frozen=True)
class Trained:
    """An ensemble.

    Attributes:
        epochs, values: of each member, the epochs it was trained for and its validation figures.
        gradients: how those of large tables travelled, ``dense`` or by ``rows``.
    """

    ensemble: SequenceEnsemble
    epochs: list[int]
    values: list[list[float]]
    gradients: str


@dataclass(frozen=True)
class Trainer:
    """How members are trained.

    Attributes:
        config: of :func:`shelfcast.models.sequence_ensemble.build_member`.
        uri: of the model, for checkpoints.
    """

    options: Options
    sizes: Sizes
    config: Mapping[str, Any]
    seed: int
    collective: Collective
    uri: str
    log: Log | None = None

    def train(self, name: str, material: Material, epochs: Sequence[int], validate: Validate | None = None) -> Trained:
        """
        Args:
            name: of the phase.
            epochs: of each member, at most where ``validate`` is given.
            validate: NDCG of a member as it is, from the users of the collective's ranks.
        """
        if self.sizes.members == 1:
            member, fit, chosen = self._member(name, 0, material, epochs[0], validate, self.collective)
            return Trained(SequenceEnsemble([member]), [chosen], [fit.values], fit.gradients)
        alone = self.collective.alone()
        own = range(self.collective.rank, self.sizes.members, self.collective.size)
        found = [self._member(name, place, material, epochs[place], validate, alone) for place in own]
        mine = [([np.array(value) for value in member.weights], chosen, fit.values) for member, fit, chosen in found]
        dealt = self.collective.gather(mine)
        ordered = [dealt[m % len(dealt)][m // len(dealt)] for m in range(self.sizes.members)]
        ensemble = SequenceEnsemble.build(self.config, len(material.events), material.said)
        for member, (weights, _, _) in zip(ensemble.members, ordered, strict=True):
            member.set_weights(weights)
        some = np.random.default_rng(self.seed).permutation(len(material.histories))[:_CONDENSED_USERS]
        ensemble.condense(material.histories.rows(np.sort(some)))
        of_each, values = ([one[place] for one in ordered] for place in (1, 2))
        return Trained(ensemble, of_each, values, found[0][1].gradients if found else "dense")

    def _member(
        self, name: str, place: int, material: Material, epochs: int, validate: Validate | None, collective: Collective
    ) -> tuple[SequenceRecommender, Fit, int]:
        """One member, how it was fitted, and its epochs."""
        seed = self.seed + _SEEDS_APART * place
        keras.utils.set_random_seed(seed + collective.rank)  # weights come from the first rank
        model = build_member(self.config, len(material.events), material.said)
        model.start_from_popularity(material.events)
        several = self.sizes.members > 1
        fit = Fit(
            f"{name} {place + 1}" if several else name, model, material.pieces,
            Negatives.mixed(material.events, self.options.popularity_share), self.options, self.sizes, seed,
            collective, Checkpoint(self.uri, f"-{place}" if several else ""),
            None if validate is None else lambda: validate(model, collective), self.log,
        )  # fmt: skip
        return model, fit, fit.run(epochs)
