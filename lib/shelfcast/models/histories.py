"""What users did, as flat arrays: one run of events a user, oldest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Histories:
    """Events of some users; user r's are the rows ``offsets[r]:offsets[r + 1]``, oldest first.

    Attributes:
        offsets: [users + 1] int64.
        items: [events] int32, a product's place in a Catalogue.
        days: [events] int32, store-local days since 1970-01-01.
        times: [events] int64, seconds (UTC); what has the same time is one basket.
        wanted: [events] bool, whether the event is of the kind that is to be predicted (a purchase, as a rule).
        kinds: [events] int8, the event type's place in the configured list; None where all are of one type.
    """

    offsets: NDArray[Any]
    items: NDArray[Any]
    days: NDArray[Any]
    times: NDArray[Any]
    wanted: NDArray[Any]
    kinds: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def empty(cls, users: int) -> "Histories":
        """Users who did nothing."""
        none = np.zeros(0, np.int32)
        return cls(np.zeros(users + 1, np.int64), none, none, none.astype(np.int64), none.astype(bool))

    def rows(self) -> NDArray[Any]:
        """[events] the user of each event."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def keep(self, events: NDArray[Any]) -> "Histories":
        """The same users with only the events where the mask ``events`` is true."""
        kept = np.concatenate([[0], np.cumsum(events)])
        return self._take(kept[self.offsets], events)

    def between(self, after: int, until: int) -> "Histories":
        """The events with after < day <= until."""
        return self.keep((self.days > after) & (self.days <= until))

    def users(self, chosen: NDArray[Any]) -> "Histories":
        """Only the users ``chosen`` (row numbers), in that order."""
        offsets, events = runs(self.offsets[:-1][chosen], np.diff(self.offsets)[chosen])
        return self._take(offsets, events)

    def latest(self, most: int) -> "Histories":
        """At most the newest ``most`` events of each user."""
        return self.keep(self._from_end() <= most)

    def older(self, most: int) -> "Histories":
        """The events that ``latest`` leaves out."""
        if np.diff(self.offsets).max(initial=0) <= most:
            return Histories.empty(len(self))
        return self.keep(self._from_end() > most)

    def _from_end(self) -> NDArray[Any]:
        return np.asarray(np.repeat(self.offsets[1:], np.diff(self.offsets)) - np.arange(len(self.items)))

    def _take(self, offsets: NDArray[Any], events: NDArray[Any]) -> "Histories":
        kinds = None if self.kinds is None else self.kinds[events]
        return Histories(offsets, self.items[events], self.days[events], self.times[events], self.wanted[events], kinds)


def runs(starts: NDArray[Any], sizes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Offsets [runs + 1] of runs laid one after the other, and the places [Σ sizes] where their elements stood."""
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return offsets, np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])


def group(
    users: NDArray[Any], weeks: NDArray[Any], lengths: NDArray[Any], events: Sequence[NDArray[Any]]
) -> tuple[NDArray[Any], NDArray[Any], list[NDArray[Any]]]:
    """Rows of one user and week each, in any order, to one run of events a user in time order.

    Args:
        users: [rows] whose row it is.
        weeks: [rows] what orders a user's rows.
        lengths: [rows] events in the row.
        events: flat arrays, the rows' events one after the other.

    Returns:
        the users, sorted; their offsets [users + 1]; the flat arrays in the new order.
    """
    order = np.lexsort((weeks, users))
    starts = (np.cumsum(lengths) - lengths)[order]
    sizes = lengths[order]
    ends = np.cumsum(sizes)
    places = np.repeat(starts - (ends - sizes), sizes) + np.arange(int(sizes.sum()))
    known, first = np.unique(users[order], return_index=True)
    offsets = np.concatenate([(ends - sizes)[first], [sizes.sum()]]).astype(np.int64)
    return known, offsets, [np.asarray(array)[places] for array in events]
