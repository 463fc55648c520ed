"""What is near to some users: neighbours of the items they touched, what these foretell, and what users who are alike
took of late; in the codes of a catalogue.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.habits import Habits
from shelfcast.models.item_neighbours import ItemNeighbours, Profile
from shelfcast.models.item_regression import ItemRegression
from shelfcast.models.item_search import Best, Masked
from shelfcast.models.peers import HALF_LIVES, Peers


@dataclass(frozen=True)
class Around:
    """What a model learnt of items and users that go together.

    Attributes:
        words: [catalogue] the number of each product in the vocabulary, from 1; 0 for unknown ones.
        on_sale: [catalogue] bool.
        neighbours: of the items of the vocabulary; None where none were learnt.
        regression: of these items on each other; None likewise.
        peers: whom users are compared with; None likewise.
    """

    words: NDArray[Any]
    on_sale: NDArray[Any]
    neighbours: ItemNeighbours | None = None
    regression: ItemRegression | None = None
    peers: Peers | None = None

    @classmethod
    def nothing(cls, on_sale: NDArray[Any]) -> "Around":
        """Of a model without a vocabulary."""
        return cls(np.zeros(len(on_sale), np.int32), on_sale)

    @cached_property
    def offered(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """[vocabulary] catalogue code of each place, -1 for none, and whether it is on sale."""
        known, size = np.flatnonzero(self.words > 0), int(self.words.max(initial=0))
        if self.neighbours is not None:
            size = len(self.neighbours.places)
        elif self.peers is not None:
            size = self.peers.directions.vocabulary
        of_place, allowed = np.full(size, -1, np.int32), np.zeros(size, bool)
        of_place[self.words[known] - 1], allowed[self.words[known] - 1] = known, self.on_sale[known]
        return of_place, allowed


@dataclass(frozen=True)
class Circle:
    """Some users' items and what lies around them.

    Attributes:
        profile: what each user touched of the vocabulary.
        near: the peers of each user; None without peers.
    """

    around: Around
    profile: Profile
    near: Best | None

    @classmethod
    def of(cls, found: Habits, users: int, around: Around) -> "Circle":
        profile = Profile.of(found, around.words, users)
        return cls(around, profile, None if around.peers is None else around.peers.nearest(profile))

    def nearest(self, masked: Masked, most: int) -> NDArray[Any]:
        """[users, most] catalogue codes on sale whose neighbours the user has and that are not masked, -1 behind the
        last.
        """
        neighbours = self.around.neighbours
        if neighbours is None:
            return np.zeros((len(self.profile.offsets) - 1, 0), np.int32)
        of_place, allowed = self.around.offered
        places = neighbours.best(self.profile, allowed, self._places(masked), most)
        return np.where(places >= 0, of_place[places], -1)

    def trending(self, masked: Masked, most: int) -> NDArray[Any]:
        """[users, most] catalogue codes on sale that the user's peers took most of and that are not masked, -1 behind
        the last.
        """
        if self.around.peers is None or self.near is None:
            return np.zeros((len(self.profile.offsets) - 1, 0), np.int32)
        of_place, allowed = self.around.offered
        places = self.around.peers.best(self.near, allowed, self._places(masked), most)
        return np.where(places >= 0, of_place[places], -1)

    def _places(self, masked: Masked) -> Masked:
        """The same as places of the vocabulary, -1 for what it does not know."""
        return masked[0], self.around.words[masked[1]] - 1

    def scores(self, users: NDArray[Any], items: NDArray[Any]) -> NDArray[Any]:
        """[pairs] float32 how near each catalogue code is to its user; ``users`` ascend."""
        if self.around.neighbours is None:
            return np.zeros(len(users), np.float32)
        return self.around.neighbours.scores(self.profile, users, self.around.words[items] - 1)

    def foretold(self, users: NDArray[Any], items: NDArray[Any]) -> NDArray[Any]:
        """[pairs] float32 how far the user's items foretell each catalogue code; ``users`` ascend."""
        if self.around.regression is None:
            return np.zeros(len(users), np.float32)
        return self.around.regression.scores(self.profile, users, self.around.words[items] - 1)

    def trends(self, users: NDArray[Any], items: NDArray[Any]) -> NDArray[Any]:
        """[pairs, half-lives] float32 how much of each catalogue code the user's peers took; ``users`` ascend."""
        if self.around.peers is None or self.near is None:
            return np.zeros((len(users), len(HALF_LIVES)), np.float32)
        return self.around.peers.scores(self.near, users, self.around.words[items] - 1)
