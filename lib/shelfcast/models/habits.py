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


def names(half_lives: Sequence[float]) -> list[str]:
    """The features of a pair, in the order of :func:`habits`."""
    decayed = [f"decayed_{half_life:g}" for half_life in half_lives]
    return [
        "count", "days", *decayed, "since", "gap", "single", "due", "age", "share", "interest", "bought", "visits",
        "idle",
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
        visitors: [users, 2] float32, the features ``visits`` and ``idle`` of each user.
    """

    users: NDArray[Any]
    items: NDArray[Any]
    features: NDArray[Any]
    strength: NDArray[Any]
    bought: NDArray[Any]
    visitors: NDArray[Any]


def habits(histories: Histories, day: int, half_lives: Sequence[float]) -> Habits:
    """Habits as seen at the end of ``day``; the histories hold nothing later.

    Counts are of wanted events; a decayed count is Σ 2^(-weeks ago ÷ half-life); ``due`` is the time since the last
    wanted day ÷ the mean gap between wanted days (0 after a single one); ``share`` is the pair's part of the user's
    decayed count; ``interest`` is the shortest-lived decayed count of the other events. Durations are log1p(weeks).
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

    first, last, days = _wanted_days(pair[wanted], histories.days[wanted], total)
    count = counted(wanted)
    bought = count > 0
    decayed = [counted(wanted, half_life) for half_life in half_lives]
    longest, shortest = int(np.argmax(half_lives)), min(half_lives)
    since = np.where(bought, (day - last) / _WEEK, _LONG)
    gap = np.where(days > 1, (last - first) / _WEEK / np.maximum(days - 1, 1), _LONG)
    due = np.where(days > 1, np.minimum(since / np.maximum(gap, _SMALLEST_GAP), _MOST_DUE), 0)
    of_user = np.bincount(users, decayed[longest], minlength=len(histories))[users]
    visitors = _visitors(histories, rows, day)
    columns = [
        np.log1p(count), np.log1p(days), *(np.log1p(_SHARPEN * d) for d in decayed), np.log1p(since), np.log1p(gap),
        days == 1, due, np.where(bought, np.log1p((day - first) / _WEEK), 0),
        np.log(decayed[longest] / np.maximum(of_user, 1e-12) + _LEAST_SHARE),
        np.log1p(_SHARPEN * counted(other, shortest)), bought, visitors[users, 0], visitors[users, 1],
    ]  # fmt: skip
    features = np.stack([np.asarray(c, np.float32) for c in columns], 1)
    strength = decayed[longest] + counted(other, max(half_lives))
    return Habits(users, items.astype(np.int32), features, strength, bought, visitors)


def stranger(half_lives: Sequence[float]) -> NDArray[Any]:
    """[len(names)] features of a product the user never touched; ``visits`` and ``idle`` are the user's own."""
    values = dict.fromkeys(names(half_lives), 0.0)
    values |= {"since": np.log1p(_LONG), "gap": np.log1p(_LONG), "share": np.log(_LEAST_SHARE)}
    return np.array(list(values.values()), np.float32)


def _wanted_days(pair: NDArray[Any], days: NDArray[Any], total: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """First and last day and number of distinct days of each pair's events; 0 days where there are none."""
    order = np.lexsort((days, pair))
    pair, days = pair[order], days[order].astype(np.int64)
    fresh = np.ones(len(pair), bool)
    fresh[1:] = (pair[1:] != pair[:-1]) | (days[1:] != days[:-1])
    first, last = np.zeros(total, np.int64), np.zeros(total, np.int64)
    first[pair[::-1]] = days[::-1]
    last[pair] = days
    return first, last, np.bincount(pair[fresh], minlength=total)


def _visitors(histories: Histories, rows: NDArray[Any], day: int) -> NDArray[Any]:
    """[users, 2] float32: log1p of the user's distinct days, log1p of weeks since the newest one."""
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (rows[1:] != rows[:-1]) | (histories.days[1:] != histories.days[:-1])
    visits = np.bincount(rows[fresh], minlength=len(histories))
    newest = np.full(len(histories), day - _LONG * _WEEK)
    newest[rows] = histories.days
    idle = np.maximum((day - newest) / _WEEK, 0)
    return np.asarray(np.stack([np.log1p(visits), np.log1p(idle)], 1), np.float32)
