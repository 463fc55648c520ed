"""What is near to some users: the neighbours of the items they touched, in the codes of a catalogue."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.habits import Habits
from shelfcast.models.item_neighbours import ItemNeighbours, Profile
from shelfcast.models.item_search import Masked


@dataclass(frozen=True)
class Circle:
    """Some users' items and what lies around them.

    Attributes:
        neighbours: of the items of a vocabulary.
        profile: what each user touched of it; a pair's weight grows with its strength and ends at 1.
        words: [catalogue] the number of each product in the vocabulary, from 1; 0 for unknown ones.
    """

    neighbours: ItemNeighbours
    profile: Profile
    words: NDArray[Any]

    @classmethod
    def of(cls, found: Habits, neighbours: ItemNeighbours, words: NDArray[Any], users: int) -> "Circle":
        places = words[found.items] - 1
        known = places >= 0
        offsets = np.searchsorted(found.users[known], np.arange(users + 1))
        weights = found.strength[known] / (1 + found.strength[known])
        return cls(neighbours, Profile(offsets, places[known].astype(np.int32), weights.astype(np.float32)), words)

    def nearest(self, masked: Masked, on_sale: NDArray[Any], most: int) -> NDArray[Any]:
        """[users, most] catalogue codes on sale that are nearest and not masked, -1 behind the last.

        Args:
            on_sale: [catalogue] bool.
        """
        of_place = np.full(len(self.neighbours.places), -1, np.int32)
        known = np.flatnonzero(self.words > 0)
        of_place[self.words[known] - 1] = known
        allowed = (of_place >= 0) & on_sale[of_place]
        places = self.neighbours.best(self.profile, allowed, (masked[0], self.words[masked[1]] - 1), most)
        return np.where(places >= 0, of_place[places], -1)

    def scores(self, users: NDArray[Any], items: NDArray[Any]) -> NDArray[Any]:
        """[pairs] float32 how near each catalogue code is to its user; ``users`` ascend."""
        return self.neighbours.scores(self.profile, users, self.words[items] - 1)
