"""Products worth ranking for a user: what the user touched and what the sequence model expects next."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models import habits as habit
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.rules import Pairs

_CLIP = 12.0
USUAL_GAP = "usual_gap"  # the trait that says after how long a product's buyers come back, as log1p(weeks)


def names(half_lives: Sequence[float], traits: Iterable[str]) -> list[str]:
    """The ranker's features, in order.

    Args:
        traits: of the catalogue's products.
    """
    return [*habit.names(half_lives), "popularity", "trend", "overdue", *traits, "likelihood", "scored"]


@dataclass(frozen=True)
class Candidates:
    """Candidates of some users, padded to the longest list.

    Attributes:
        items: [users, C] int32 catalogue codes, all on sale, distinct within a user; -1 is padding.
        features: [users, C, features] float32.
        bought: [users, C] bool, whether the user bought the item before.
        touched: [users, C] bool, whether the user did anything with it before.
    """

    items: NDArray[Any]
    features: NDArray[Any]
    bought: NDArray[Any]
    touched: NDArray[Any]

    def hits(self, future: Histories) -> NDArray[Any]:
        """[users, C] bool: whether the user's events in ``future`` hold the candidate as wanted."""
        width = max(int(future.items.max(initial=0)), int(self.items.max(initial=0))) + 2
        then = np.unique(future.rows()[future.wanted] * np.int64(width) + future.items[future.wanted])
        keys = np.arange(len(self.items))[:, None] * np.int64(width) + self.items
        return (self.items >= 0) & np.isin(keys, then)


@dataclass(frozen=True)
class Outlook:
    """What the sequence model says about some users.

    Attributes:
        codes: [S] catalogue codes of the items it knows that are on sale.
        log_chance: [users, S] log softmax over these items.
        scored: [users] bool, whether the user has a sequence.
    """

    codes: NDArray[Any]
    log_chance: NDArray[Any]
    scored: NDArray[Any]


def gather(
    histories: Histories, catalogue: Catalogue, day: int, half_lives: Sequence[float], most: int, outlook: Outlook,
    barred: Pairs | None = None,
) -> Candidates:  # fmt: skip
    """At most ``most`` touched products on sale, the strongest first, and ``most`` untouched ones the model expects.

    Args:
        barred: pairs of these users and products that are no candidates.
    """
    found = habit.habits(histories, day, half_lives)
    barred = Pairs.none(len(catalogue)) if barred is None else barred
    offered = catalogue.on_sale[found.items] & ~barred.hold(found.users, found.items)
    kept = np.flatnonzero(offered)
    kept = kept[_best(found.users[kept], found.strength[kept], most)]
    places = np.full(len(catalogue), -1, np.int64)
    places[outlook.codes] = np.arange(len(outlook.codes))

    untouched = outlook.log_chance.copy()
    for users, items in ((found.users, found.items), barred.split()):
        place = places[items]
        untouched[users[place >= 0], place[place >= 0]] = -np.inf
    untouched[~outlook.scored] = -np.inf
    new_users, new_places = _top(untouched, most)

    users = np.concatenate([found.users[kept], new_users])
    items = np.concatenate([found.items[kept], outlook.codes[new_places]])
    own = np.repeat(habit.stranger(half_lives)[None], len(new_users), 0)
    own[:, -len(habit.VISITOR) :] = found.visitors[new_users]
    features = np.concatenate([found.features[kept], own])
    bought = np.concatenate([found.bought[kept], np.zeros(len(new_users), bool)])
    since = features[:, habit.names(half_lives).index("since")]
    features = np.concatenate([features, _shop(users, items, since, catalogue, places, outlook)], 1)
    touched = np.arange(len(users)) < len(kept)
    return _padded(len(histories), users, items, features, bought, touched)


def _shop(
    users: NDArray[Any], items: NDArray[Any], since: NDArray[Any], catalogue: Catalogue, places: NDArray[Any],
    outlook: Outlook,
) -> NDArray[Any]:  # fmt: skip
    """[pairs, 5 + traits]: log popularity, its trend, time since the user bought it ÷ what is usual for the product,
    the products' traits, log chance against chance alone, whether there is one.
    """
    popularity, recent = catalogue.popularity[items], catalogue.recent[items]
    usual = catalogue.traits[USUAL_GAP][items] if USUAL_GAP in catalogue.traits else np.zeros(len(items))
    place = places[items]
    scored = (place >= 0) & outlook.scored[users]
    likelihood = np.zeros(len(items))
    likelihood[scored] = outlook.log_chance[users[scored], place[scored]] + np.log(max(len(outlook.codes), 1))
    columns = [
        np.log1p(popularity),
        np.log((recent + 0.25) / (popularity + 1)),
        habit.overdue(since, usual),
        *(values[items] for values in catalogue.traits.values()),
        np.clip(likelihood, -_CLIP, _CLIP),
        scored,
    ]
    return np.stack([np.asarray(c, np.float32) for c in columns], 1)


def _best(users: NDArray[Any], strength: NDArray[Any], most: int) -> NDArray[Any]:
    """Places of each user's ``most`` strongest pairs; ``users`` ascend."""
    order = np.lexsort((-strength, users))
    starts = np.searchsorted(users[order], users[order], side="left")
    return np.asarray(order[np.arange(len(order)) - starts < most])


def _top(scores: NDArray[Any], most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows and columns of each row's ``most`` largest finite scores."""
    users, width = scores.shape
    if width == 0 or users == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    count = min(most, width)
    columns = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    rows = np.repeat(np.arange(users), count)
    flat = columns.ravel()
    finite = np.isfinite(scores[rows, flat])
    return rows[finite], flat[finite]


def _padded(count: int, users: NDArray[Any], items: NDArray[Any], *columns: NDArray[Any]) -> Candidates:
    order = np.argsort(users, kind="stable")
    users = users[order]
    place = np.arange(len(users)) - np.searchsorted(users, users, side="left")
    width = int(place.max(initial=-1)) + 1
    codes = np.full((count, width), -1, np.int32)
    codes[users, place] = items[order]
    others = []
    for column in columns:
        padded = np.zeros((count, width, *column.shape[1:]), column.dtype)
        padded[users, place] = column[order]
        others.append(padded)
    return Candidates(codes, *others)
