"""Histories as the integer matrices that the sequence model takes: 0 is padding, items count from 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.histories import Histories, runs


@dataclass(frozen=True)
class Sequences:
    """Each user's known items in the order of their first event, an item once: what is bought again is the habits'.

    Attributes:
        offsets: [users + 1] int64.
        numbers: [events] int32, the model's numbers.
        times: [events] int64.
    """

    offsets: NDArray[Any]
    numbers: NDArray[Any]
    times: NDArray[Any]

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
        return cls(offsets, numbers[first].astype(np.int32), histories.times[first])

    def users(self, chosen: slice | NDArray[Any]) -> "Sequences":
        """Only these users, in that order."""
        offsets, places = runs(self.offsets[:-1][chosen], np.diff(self.offsets)[chosen])
        return Sequences(offsets, self.numbers[places], self.times[places])

    def newest(self, length: int) -> NDArray[Any]:
        """[users, T] int32: the newest ``length`` numbers at the left, 0 behind them; T is the longest, at least 1.

        A user without any has zeros only.
        """
        sizes = np.minimum(np.diff(self.offsets), length)
        columns = np.arange(max(int(sizes.max(initial=0)), 1))
        real = columns < sizes[:, None]
        matrix = np.zeros(real.shape, np.int32)
        matrix[real] = self.numbers[((self.offsets[1:] - sizes)[:, None] + columns)[real]]
        return matrix


@dataclass(frozen=True)
class Pieces:
    """Training sequences: long histories are cut, from the newest end, into pieces of at most ``length`` targets.

    A target is predicted from what came before its basket, as in scoring: items of one basket say nothing of each
    other's order. The first basket of a piece is context only.

    Attributes:
        numbers, times: [events] all users' sequences.
        starts: [pieces] where a piece's first input stands in ``numbers``.
        sizes: [pieces] its inputs; target t is the number after input t.
    """

    numbers: NDArray[Any]
    times: NDArray[Any]
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
        return cls(sequences.numbers, sequences.times, starts, ends - starts)

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

    def batch(self, chosen: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Inputs, targets, and the place of the last input before each target's basket: [pieces, T] int32.

        0 behind the real inputs; a target is 0 where the piece holds nothing before its basket.
        """
        sizes = self.sizes[chosen]
        columns = np.arange(int(sizes.max()))
        real = columns < sizes[:, None]
        at = np.where(real, self.starts[chosen][:, None] + columns, 0)
        begins = np.where(self.times[at + 1] > self.times[at], columns, -1)
        before = np.maximum.accumulate(np.where(real, begins, -1), axis=1)
        inputs = np.where(real, self.numbers[at], 0)
        targets = np.where(real & (before >= 0), self.numbers[at + 1], 0)
        return inputs, targets, np.maximum(before, 0).astype(np.int32)
