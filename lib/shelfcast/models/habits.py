"""What a user already buys: how often, how recently, how regularly, product by product."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.histories import Histories

_WEEK = 7.0
_LONG = 104.0  # weeks; stands for "never"
_SHARPEN = 10.0  # decayed counts are small: log1p(10 d) keeps them apart
_MOST_DUE = 5.0
_SMALLEST_GAP = 1 / _WEEK
_LEAST_SHARE = 1e-4
_LATELY = 28  # days

VISITOR = ("visits", "idle", "lately", "products", "tried", "decayed")
"""Features of the user alone, the last ones of every pair."""


def names(half_lives: Sequence[float]) -> list[str]:
    """The features of a pair, in the order of :func:`habits`."""
    decayed = [f"decayed_{half_life:g}" for half_life in half_lives]
    return [
        "count", "days", *decayed, "since", "gap", "newest_gap", "spread", "single", "due", "due_newest", "age",
        "share", "interest", "bought", *VISITOR,
    ]  # fmt: skip


@dataclass(frozen=True)
class Habits:
    """One row a user and product the user touched.

    Attributes:
        users: [pairs] row of the user, ascending.
        items: [pairs] catalogue code.
        features: [pairs, len(names)] float32.
        strength: [pairs] what to keep first: the longest-lived decayed count of all events.
        bought: [pairs] bool, whether any event was of the wanted kind.
        visitors: [users, len(VISITOR)] float32.
    """

    users: NDArray[Any]
    items: NDArray[Any]
    features: NDArray[Any]
    strength: NDArray[Any]
    bought: NDArray[Any]
    visitors: NDArray[Any]


def habits(histories: Histories, day: int, half_lives: Sequence[float]) -> Habits:
    """Habits as seen at the end of ``day``; the histories hold nothing later.

    Counts are of wanted events; a decayed count is Σ 2^(-weeks ago ÷ half-life); ``gap`` is the mean gap between wanted
    days, ``newest_gap`` the last one and ``spread`` the gaps' standard deviation ÷ their mean; ``due`` is the time
    since the last wanted day ÷ ``gap``, ``due_newest`` ÷ ``newest_gap`` (0 after a single day); ``share`` is the pair's
    part of the user's decayed count; ``interest`` is the shortest-lived decayed count of the other events. Durations
    are log1p(weeks).
    """
    rows = histories.rows()
    keys = rows.astype(np.int64) * (int(histories.items.max(initial=0)) + 1) + histories.items
    pairs, pair = np.unique(keys, return_inverse=True)
    total = len(pairs)
    users, items = np.divmod(pairs, int(histories.items.max(initial=0)) + 1)
    ago = (day - histories.days) / _WEEK
    wanted, other = histories.wanted, ~histories.wanted

    def counted(events: NDArray[Any], half_life: float | None = None) -> NDArray[Any]:
        weights = None if half_life is None else np.exp2(-ago[events] / half_life)
        return np.bincount(pair[events], weights, minlength=total)

    seen = _wanted_days(pair[wanted], histories.days[wanted], total)
    first, last, days = seen.first, seen.last, seen.days
    count = counted(wanted)
    bought = count > 0
    decayed = [counted(wanted, half_life) for half_life in half_lives]
    longest, shortest = int(np.argmax(half_lives)), min(half_lives)
    since = np.where(bought, (day - last) / _WEEK, _LONG)
    again = days > 1
    gap = np.where(again, (last - first) / _WEEK / np.maximum(days - 1, 1), _LONG)
    newest_gap = np.where(again, seen.newest_gap / _WEEK, _LONG)
    spread = np.where(days > 2, seen.deviation / _WEEK / np.maximum(gap, _SMALLEST_GAP), 0)
    of_user = np.bincount(users, decayed[longest], minlength=len(histories))
    late = bought & (first > day - _LATELY)
    products = tuple(np.bincount(users[some], minlength=len(histories)) for some in (bought, late))
    visitors = _visitors(histories, rows, day, products, of_user)

    def due(usual: NDArray[Any]) -> NDArray[Any]:
        return np.where(again, np.minimum(since / np.maximum(usual, _SMALLEST_GAP), _MOST_DUE), 0)

    columns = [
        np.log1p(count), np.log1p(days), *(np.log1p(_SHARPEN * d) for d in decayed), np.log1p(since), np.log1p(gap),
        np.log1p(newest_gap), spread, days == 1, due(gap), due(newest_gap),
        np.where(bought, np.log1p((day - first) / _WEEK), 0),
        np.log(decayed[longest] / np.maximum(of_user[users], 1e-12) + _LEAST_SHARE),
        np.log1p(_SHARPEN * counted(other, shortest)), bought, *visitors[users].T,
    ]  # fmt: skip
    features = np.stack([np.asarray(c, np.float32) for c in columns], 1)
    strength = decayed[longest] + counted(other, max(half_lives))
    return Habits(users, items.astype(np.int32), features, strength, bought, visitors)


def stranger(half_lives: Sequence[float]) -> NDArray[Any]:
    """[len(names)] features of a product the user never touched; those of VISITOR are the user's own."""
    values = dict.fromkeys(names(half_lives), 0.0)
    never = np.log1p(_LONG)
    values |= {"since": never, "gap": never, "newest_gap": never, "share": np.log(_LEAST_SHARE)}
    return np.array(list(values.values()), np.float32)


def overdue(since: NDArray[Any], usual: NDArray[Any]) -> NDArray[Any]:
    """[pairs] time since ÷ usual time, both as log1p(weeks), at most 5; 0 where the usual one is not known."""
    ratio = np.expm1(since) / np.maximum(np.expm1(usual), _SMALLEST_GAP)
    return np.where(usual > 0, np.minimum(ratio, _MOST_DUE), 0)


@dataclass(frozen=True)
class _Days:
    """Days with wanted events of each pair [pairs]; zeros where there are none.

    Attributes:
        first, last: days since 1970-01-01.
        days: how many distinct ones.
        newest_gap, deviation: days between the last two; standard deviation of all gaps.
    """

    first: NDArray[Any]
    last: NDArray[Any]
    days: NDArray[Any]
    newest_gap: NDArray[Any]
    deviation: NDArray[Any]


def _wanted_days(pair: NDArray[Any], days: NDArray[Any], total: int) -> _Days:
    order = np.lexsort((days, pair))
    pair, days = pair[order], days[order].astype(np.int64)
    fresh = np.ones(len(pair), bool)
    fresh[1:] = (pair[1:] != pair[:-1]) | (days[1:] != days[:-1])
    pair, days = pair[fresh], days[fresh]
    first, last, newest = (np.zeros(total, np.int64) for _ in range(3))
    first[pair[::-1]] = days[::-1]
    last[pair] = days
    same = pair[1:] == pair[:-1]
    of_gap, gaps = pair[1:][same], np.diff(days)[same].astype(np.float64)
    newest[of_gap] = gaps
    count = np.maximum(np.bincount(of_gap, minlength=total), 1)
    mean = np.bincount(of_gap, gaps, minlength=total) / count
    squares = np.bincount(of_gap, gaps**2, minlength=total) / count
    deviation = np.sqrt(np.maximum(squares - mean**2, 0))
    return _Days(first, last, np.bincount(pair, minlength=total), newest, deviation)


def _visitors(
    histories: Histories, rows: NDArray[Any], day: int, products: tuple[NDArray[Any], ...], decayed: NDArray[Any]
) -> NDArray[Any]:
    """[users, len(VISITOR)] float32: log1p of the user's distinct days, of weeks since the newest one, of wanted events
    of late, of products with wanted events, of those that are new of late, and of the decayed count of all wanted ones.
    """
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (rows[1:] != rows[:-1]) | (histories.days[1:] != histories.days[:-1])
    visits = np.bincount(rows[fresh], minlength=len(histories))
    newest = np.full(len(histories), day - _LONG * _WEEK)
    newest[rows] = histories.days
    idle = np.maximum((day - newest) / _WEEK, 0)
    lately = np.bincount(rows[histories.wanted & (histories.days > day - _LATELY)], minlength=len(histories))
    return np.asarray(np.log1p(np.stack([visits, idle, lately, *products, decayed], 1)), np.float32)
