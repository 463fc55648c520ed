"""Files of the open benchmarks of next-item recommendation: a line is a user and its items in time order.

The leave-one-out protocol (Kang & McAuley 2018): a user's last item is the test, the one before it the validation,
what lies before them the training.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shelfcast.errors import SourceError
from shelfcast.models.catalogue import codes_in
from shelfcast.models.histories import runs
from shelfcast.models.sequences import Sequences

_LEAST = 3  # items of a user who is asked about: one to learn from, one of each split


@dataclass(frozen=True)
class Split:
    """What is asked of a model, and what it may know.

    Attributes:
        known: [users] the users' items before the wanted one, of those users alone who are asked about.
        wanted: [users] int32, the item to be found; numbers count from 1.
    """

    known: Sequences
    wanted: NDArray[Any]

    def part(self, users: slice | NDArray[Any]) -> "Split":
        """The question about these users alone."""
        return Split(self.known.users(users), self.wanted[users])


@dataclass(frozen=True)
class LeaveOneOut:
    """A benchmark file.

    Attributes:
        items: ids; the number of an item is its place + 1.
        training: every user's items without the last two; all items of users with fewer than three.
        validation, test: what is asked. The test's users are known up to the validation's item, which is not learnt
            from.
    """

    items: pa.Array
    training: Sequences
    validation: Split
    test: Split

    def counts(self) -> NDArray[Any]:
        """[items] how often each occurs in training."""
        return np.bincount(self.training.numbers, minlength=len(self.items) + 1)[1:].astype(np.float64)


def read(path: Path) -> LeaveOneOut:
    """
    Raises:
        SourceError: naming the file, and the line where there is one: unreadable, empty, a line without items, a user
            twice, or no user with three items.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read as UTF-8 text: {error}") from error
    rows = [line.split() for line in lines]
    users: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if len(row) == 1:
            raise SourceError(f"{path}, line {number}: user {row[0]} has no item; a line is a user id and its items")
        if row and users.setdefault(row[0], number) != number:
            raise SourceError(f"{path}, line {number}: user {row[0]} stands in line {users[row[0]]} already")
    rows = [row[1:] for row in rows if row]
    if not any(len(row) >= _LEAST for row in rows):
        raise SourceError(
            f"{path}: no user has {_LEAST} items or more; a line is a user id and its items in time order"
        )
    sizes = np.array([len(row) for row in rows])
    flat = pa.array([item for row in rows for item in row], pa.string())
    items = flat.unique()
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return split(items, offsets, codes_in(items, flat) + 1)


def split(items: pa.Array, offsets: NDArray[Any], numbers: NDArray[Any]) -> LeaveOneOut:
    """
    Args:
        offsets: [users + 1] each user's run in ``numbers`` [events], item numbers from 1 in time order.
    """
    sizes = np.diff(offsets)
    asked = np.flatnonzero(sizes >= _LEAST)
    kept = np.where(sizes >= _LEAST, sizes - 2, sizes)

    def ending(less: int) -> Split:
        return Split(
            _runs(numbers, offsets[:-1][asked], sizes[asked] - less - 1), numbers[offsets[1:][asked] - 1 - less]
        )

    return LeaveOneOut(items, _runs(numbers, offsets[:-1], kept), ending(1), ending(0))


def _runs(numbers: NDArray[Any], starts: NDArray[Any], sizes: NDArray[Any]) -> Sequences:
    """Sequences of the given runs; their times are their order, nothing else is known of them."""
    offsets, places = runs(starts, sizes)
    return Sequences(offsets, numbers[places].astype(np.int32), places, np.zeros(len(places), np.int32))
