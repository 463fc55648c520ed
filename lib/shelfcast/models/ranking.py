"""From scored candidates to exactly K distinct products a user, in one order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.candidates import Candidates
from shelfcast.models.histories import Histories
from shelfcast.models.rules import Allowed
from shelfcast.models.selection import Lists, Pool

REPEAT, NOVEL, POPULAR = "repeat", "novel", "popular"
REASONS = np.array([REPEAT, NOVEL, POPULAR], object)
_NOVEL, _POPULAR = 1, 2  # their places; repeat is 0
_WEIGHTLESS = 1e-3


@dataclass(frozen=True)
class Ranked:
    """Lists of some users, best first.

    Attributes:
        items: [users, K] int32 catalogue codes; -1 behind the end where no more than that may be listed.
        scores: [users, K] float64, not rising; comparable within a user.
        reasons: [users, K] int8, places in ``REASONS``: repeat is what the user bought before, all else is new to the
            user, popular if no candidate.
    """

    items: NDArray[Any]
    scores: NDArray[Any]
    reasons: NDArray[Any]

    def put(self, users: NDArray[Any], lists: "Ranked") -> None:
        """Write the lists of some users into their rows."""
        self.items[users], self.scores[users], self.reasons[users] = lists.items, lists.scores, lists.reasons


def nothing(users: int, k: int) -> Ranked:
    """Lists of which every place is free."""
    return Ranked(np.full((users, k), -1, np.int32), np.zeros((users, k)), np.full((users, k), _POPULAR, np.int8))


def rank(
    candidates: Candidates, scores: NDArray[Any], popular: NDArray[Any], others: NDArray[Any], k: int, allowed: Allowed
) -> Ranked:
    """The ``k`` best candidates of each user, then popular products that the list does not hold yet.

    Where the rules say how many products should be bought before, these come first and so do as many new ones as are
    left; what is missing of one sort is filled with the other. A list is short only if nothing more may be listed.

    Args:
        scores: [users, C] of the candidates; equal scores are ordered by code.
        popular: [users, P] catalogue codes, best first, -1 behind the end.
        others: [n] codes of everything that is offered, best first, for what ``popular`` does not fill.
        allowed: what the lists of these users may hold.
    """
    lists = Lists.empty(allowed, len(popular), k, _POPULAR)
    scored = _scored(candidates, scores, allowed)
    fallback = [Pool(popular, _POPULAR), Pool(others[None], _POPULAR)]
    repeats = allowed.rules.shop.repeats
    if repeats is not None:
        lists.fill(scored, (repeats, k - repeats))
        lists.fill(_own(allowed), (repeats, 0))
        for pool in fallback:
            lists.fill(pool, (0, k - repeats))
    for pool in (scored, *fallback):
        lists.fill(pool)
    return Ranked(lists.items, lists.falling(), lists.reasons)


def _scored(candidates: Candidates, scores: NDArray[Any], allowed: Allowed) -> Pool:
    masked = np.where(candidates.items >= 0, scores.astype(np.float64), -np.inf)
    order = np.lexsort((candidates.items, -masked), axis=1)
    items, values, bought = (np.take_along_axis(a, order, 1) for a in (candidates.items, masked, candidates.bought))
    bought = bought | allowed.earlier.hold(np.arange(len(items))[:, None], items)
    return Pool(np.where(np.isfinite(values), items, -1), _NOVEL, values, bought)


def _own(allowed: Allowed) -> Pool:
    """What each user ever bought, by code: most of it is a candidate and stands before."""
    rows, codes = allowed.bought.split()
    place = np.arange(len(rows)) - np.searchsorted(rows, rows, side="left")
    items = np.full((len(allowed.histories), int(place.max(initial=-1)) + 1), -1, np.int32)
    items[rows, place] = codes
    return Pool(items, _POPULAR)


def frequency(candidates: Candidates, names: Sequence[str]) -> NDArray[Any]:
    """[users, C] scores without a learned ranker: the longest-lived decayed count, then interest, then likelihood.

    For logs too short to learn from what users did next.
    """
    column = {name: candidates.features[:, place] for place, name in enumerate(names)}
    longest = max((n for n in names if n.startswith("decayed_")), key=lambda n: float(n.partition("_")[2]))
    own = np.expm1(column[longest]) + np.expm1(column["interest"])
    return candidates.padded(own + _WEIGHTLESS * column["likelihood"] + _WEIGHTLESS**2 * column["popularity"])


def ndcg(ranked: NDArray[Any], future: Histories, k: int) -> NDArray[Any]:
    """[users] NDCG@k of lists [users, >= k] of codes against the wanted items in ``future``; nan for users without."""
    wanted = future.keep(future.wanted)
    base = np.int64(max(int(wanted.items.max(initial=0)), int(ranked.max(initial=0))) + 2)
    then = np.unique(wanted.rows() * base + wanted.items)
    sizes = np.bincount(then // base, minlength=len(future)).astype(int)
    gain = 1 / np.log2(np.arange(2, k + 2))
    hits = np.isin(np.arange(len(ranked))[:, None] * base + ranked[:, :k], then) & (ranked[:, :k] >= 0)
    ideal = np.concatenate([[np.nan], np.cumsum(gain)])[np.minimum(sizes, k)]
    return np.asarray((hits * gain[: hits.shape[1]]).sum(1) / ideal)
