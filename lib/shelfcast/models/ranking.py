"""From scored candidates to exactly K distinct products a user, in one order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.candidates import Candidates
from shelfcast.models.histories import Histories

REPEAT, NOVEL, POPULAR = "repeat", "novel", "popular"
REASONS = np.array([REPEAT, NOVEL, POPULAR], object)
_WEIGHTLESS = 1e-3


@dataclass(frozen=True)
class Ranked:
    """Lists of some users, best first.

    Attributes:
        items: [users, K] int32 catalogue codes; -1 behind the end where the shop sells fewer than K products.
        scores: [users, K] float64, falling; comparable within a user.
        reasons: [users, K] int8, places in ``REASONS``.
    """

    items: NDArray[Any]
    scores: NDArray[Any]
    reasons: NDArray[Any]


def rank(candidates: Candidates, scores: NDArray[Any], popular: NDArray[Any], k: int) -> Ranked:
    """The ``k`` best candidates of each user, then popular products that the list does not hold yet.

    Args:
        scores: [users, C] of the candidates; equal scores are ordered by code.
        popular: [users, P] catalogue codes, best first and distinct within a user, -1 behind the end; P = 2 k, or all
            products on sale if they are fewer, so that every list can be filled.
    """
    users = len(popular)
    items = np.full((users, k), -1, np.int32)
    values = np.zeros((users, k))
    reasons = np.full((users, k), 2, np.int8)
    masked = np.where(candidates.items >= 0, scores.astype(np.float64), -np.inf)
    order = np.lexsort((candidates.items, -masked), axis=1)[:, :k]
    width = order.shape[1]
    real = np.isfinite(np.take_along_axis(masked, order, 1))
    items[:, :width] = np.where(real, np.take_along_axis(candidates.items, order, 1), -1)
    values[:, :width] = np.where(real, np.take_along_axis(masked, order, 1), 0)
    bought = np.take_along_axis(candidates.bought, order, 1)
    reasons[:, :width] = np.where(real, np.where(bought, 0, 1), 2)
    for user in np.flatnonzero((items < 0).any(1)):
        _fill(items[user], values[user], popular[user])
    return Ranked(items, values, reasons)


def _fill(items: NDArray[Any], values: NDArray[Any], popular: NDArray[Any]) -> None:
    """Complete one list in place."""
    have = int((items >= 0).sum())
    fresh = popular[(popular >= 0) & ~np.isin(popular, items[:have])][: len(items) - have]
    items[have : have + len(fresh)] = fresh
    lowest = values[have - 1] if have else float(len(fresh))
    values[have : have + len(fresh)] = lowest - np.arange(1, len(fresh) + 1)


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
