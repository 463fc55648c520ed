"""Histories as the integer matrices that the sequence model takes: 0 is padding, items count from 1.

What an item was to the user travels beside it as its context: the type of event and the gap since the basket before,
in powers of two of days, as one number.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.histories import Histories, runs

GAPS = 9
_DAY = 86_400


@dataclass(frozen=True)
class Sequences:
    """Each user's known items in the order of their first event, an item once: what is bought again is the habits'.

    Attributes:
        offsets: [users + 1] int64.
        numbers: [events] int32, the model's numbers.
        times: [events] int64.
        contexts: [events] int32, from 1; 0 where nothing is known of it.
    """

    offsets: NDArray[Any]
    numbers: NDArray[Any]
    times: NDArray[Any]
    contexts: NDArray[Any]

    @classmethod
    def of(cls, histories: Histories, words: NDArray[Any]) -> "Sequences":
        """
        Args:
            words: [catalogue] the model's number of each catalogue item, 0 for unknown ones.
        """
        numbers, rows = words[histories.items], histories.rows()
        _, first = np.unique(rows * (np.int64(words.max(initial=0)) + 1) + numbers, return_index=True)
        first = np.sort(first[numbers[first] > 0])
        counts = np.bincount(rows[first], minlength=len(histories))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        times = histories.times[first]
        kinds = np.zeros(len(first), np.int64) if histories.kinds is None else histories.kinds[first].astype(np.int64)
        contexts = (1 + kinds * GAPS + gaps(offsets, times)).astype(np.int32)
        return cls(offsets, numbers[first].astype(np.int32), times, contexts)

    def users(self, chosen: slice | NDArray[Any]) -> "Sequences":
        """Only these users, in that order."""
        offsets, places = runs(self.offsets[:-1][chosen], np.diff(self.offsets)[chosen])
        return Sequences(offsets, self.numbers[places], self.times[places], self.contexts[places])

    def newest(self, length: int) -> "Inputs":
        """The newest ``length`` items of each user; T is the longest history, at least 1."""
        sizes = np.minimum(np.diff(self.offsets), length)
        columns = np.arange(max(int(sizes.max(initial=0)), 1))
        real = columns < sizes[:, None]
        at = ((self.offsets[1:] - sizes)[:, None] + columns)[real]
        found = Inputs(np.zeros(real.shape, np.int32), np.zeros(real.shape, np.int32))
        found.numbers[real], found.contexts[real] = self.numbers[at], self.contexts[at]
        return found


@dataclass(frozen=True)
class Inputs:
    """What the sequence model reads of some users: the oldest item at the left, 0 behind the newest.

    Attributes:
        numbers: [users, T] int32; a user without items has zeros only.
        contexts: [users, T] int32.
    """

    numbers: NDArray[Any]
    contexts: NDArray[Any]

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, chosen: slice | NDArray[Any], width: int | None = None) -> "Inputs":
        """Those of some users, cut to ``width`` columns."""
        return Inputs(self.numbers[chosen, :width], self.contexts[chosen, :width])


@dataclass(frozen=True)
class Pieces:
    """Training sequences: long histories are cut, from the newest end, into pieces of at most ``length`` targets.

    A target is predicted from what came before its basket, as in scoring: items of one basket say nothing of each
    other's order. The first basket of a piece is context only.

    Attributes:
        sequences: all users' ones.
        starts: [pieces] where a piece's first input stands in ``numbers``.
        sizes: [pieces] its inputs; target t is the number after input t.
    """

    sequences: Sequences
    starts: NDArray[Any]
    sizes: NDArray[Any]

    @classmethod
    def cut(cls, sequences: Sequences, length: int) -> "Pieces":
        offsets = sequences.offsets
        targets = np.maximum(np.diff(offsets) - 1, 0)
        pieces = -(-targets // length)
        user = np.repeat(np.arange(len(targets)), pieces)
        nth = np.arange(len(user)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        ends = offsets[1:][user] - 1 - nth * length
        starts = np.maximum(ends - length, offsets[:-1][user])
        return cls(sequences, starts, ends - starts)

    @property
    def targets(self) -> int:
        return int(self.sizes.sum())

    def plan(self, rng: np.random.Generator, batch_targets: int, most: int) -> list[NDArray[Any]]:
        """Batches of pieces of like length for one epoch, in random order.

        Args:
            batch_targets: targets in a batch, padding counted.
            most: targets in all; of more a random part is taken.
        """
        order = rng.permutation(len(self.sizes))
        order = order[np.cumsum(self.sizes[order]) - self.sizes[order] < most]
        order = order[np.argsort(self.sizes[order], kind="stable")]
        batches: list[NDArray[Any]] = []
        at = 0
        while at < len(order):
            longest = self.sizes[order[at : at + batch_targets]]
            fits = np.arange(1, len(longest) + 1) * longest <= batch_targets
            upto = at + max(int(fits.sum()), 1)
            batches.append(order[at:upto])
            at = upto
        return [batches[place] for place in rng.permutation(len(batches))]

    def batch(self, chosen: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Inputs, their contexts, targets, and the place of the last input before each target's basket: [pieces, T].

        0 behind the real inputs; a target is 0 where the piece holds nothing before its basket.
        """
        sizes = self.sizes[chosen]
        columns = np.arange(int(sizes.max()))
        real = columns < sizes[:, None]
        at = np.where(real, self.starts[chosen][:, None] + columns, 0)
        numbers, times = self.sequences.numbers, self.sequences.times
        begins = np.where(times[at + 1] > times[at], columns, -1)
        before = np.maximum.accumulate(np.where(real, begins, -1), axis=1)
        inputs, contexts = (np.where(real, values[at], 0) for values in (numbers, self.sequences.contexts))
        targets = np.where(real & (before >= 0), numbers[at + 1], 0)
        return inputs, contexts, targets, np.maximum(before, 0).astype(np.int32)


def gaps(offsets: NDArray[Any], times: NDArray[Any]) -> NDArray[Any]:
    """[events] 0 in a user's first basket, 1 within a day of the basket before, 2 within two, 3 within four …

    Args:
        times: [events] seconds; events of one basket have the same.
    """
    if not len(times):
        return np.zeros(0, np.int64)
    place = np.arange(len(times))
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    begins = np.maximum.accumulate(np.where((place == starts) | (times != np.roll(times, 1)), place, 0))
    days = (times - times[np.maximum(begins - 1, 0)]) / _DAY
    found = np.clip(np.ceil(np.log2(np.maximum(days, 1))) + 1, 1, GAPS - 1)
    return np.where(begins == starts, 0, found).astype(np.int64)
