"""Products worth ranking for a user: what the user touched, what the sequence model expects next, what goes with what
the user touched, and what users who are alike took of late.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from shelfcast.models import habits as habit
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.circle import Around, Circle
from shelfcast.models.habits import Habits
from shelfcast.models.histories import Histories
from shelfcast.models.item_search import Best, ItemSearch, Masked
from shelfcast.models.likings import likings
from shelfcast.models.peers import HALF_LIVES
from shelfcast.models.rules import Pairs

_CLIP = 12.0
_LEAST_NEAR = 1e-3
_LEAST_TREND = 1e-3
_FORETOLD = 50.0  # regressions foretell hundredths: log1p(50 |x|) keeps them apart
_TRENDS = tuple(f"peers_{half_life:g}" for half_life in HALF_LIVES)
_OWN = ("near", "near_share", "foretold", *_TRENDS, "overdue", "likelihood", "scored")
USUAL_GAP = "usual_gap"  # the trait that says after how long a product's buyers come back, as log1p(weeks)

Watch = Callable[[str], AbstractContextManager[Any]]
"""Is entered with the name of a part of the work for as long as it takes."""


def unwatched(_: str) -> AbstractContextManager[Any]:
    return nullcontext()


def names(half_lives: Sequence[float], traits: Iterable[str], groups: Iterable[str] = ()) -> list[str]:
    """The ranker's features, in order.

    Args:
        traits, groups: of the catalogue's products.
    """
    liked = [f"liked_{group}" for group in groups]
    return [*habit.names(half_lives), "popularity", "trend", *traits, *liked, *_OWN]


@dataclass(frozen=True)
class Candidates:
    """Candidates of some users.

    Attributes:
        items: [users, C] int32 catalogue codes, all on sale, distinct within a user; -1 is padding behind them.
        features: [candidates, features] float32, a user's after the other's in the order of ``items``.
        bought: [users, C] bool, whether the user bought the item before.
        touched: [users, C] bool, whether the user did anything with it before.
        affinity: [users, C] float32 score of the sequence model, -inf where it has none.
    """

    items: NDArray[Any]
    features: NDArray[Any]
    bought: NDArray[Any]
    touched: NDArray[Any]
    affinity: NDArray[Any]

    @cached_property
    def offsets(self) -> NDArray[Any]:
        """[users + 1] where each user's rows of ``features`` begin."""
        return np.asarray(np.concatenate([[0], np.cumsum((self.items >= 0).sum(1))]), np.int64)

    def padded(self, values: NDArray[Any]) -> NDArray[Any]:
        """[users, C] of values [candidates], -inf in the padding."""
        return _padded(self.items >= 0, values, -np.inf)

    def hits(self, future: Histories) -> NDArray[Any]:
        """[users, C] bool: whether the user's events in ``future`` hold the candidate as wanted."""
        width = max(int(future.items.max(initial=0)), int(self.items.max(initial=0))) + 2
        then = np.unique(future.rows()[future.wanted] * np.int64(width) + future.items[future.wanted])
        keys = np.arange(len(self.items))[:, None] * np.int64(width) + self.items
        return (self.items >= 0) & np.isin(keys, then)


@dataclass(frozen=True)
class Outlook:
    """What the sequence model expects of some users.

    Attributes:
        search: over the items it knows that are on sale.
        users: [users, dim] their vectors; zeros for a user without a sequence.
        around: what else was learnt of items and users; None where nothing was.
    """

    search: ItemSearch
    users: NDArray[Any]
    around: Around | None = None


def gather(
    histories: Histories, catalogue: Catalogue, day: int, half_lives: Sequence[float], most: int, outlook: Outlook,
    barred: Pairs | None = None, watch: Watch = unwatched,
) -> Candidates:  # fmt: skip
    """At most ``most`` touched products on sale, the strongest first kept, the ``most`` untouched ones on sale that the
    sequence model scores highest, of the others ``most`` that are nearest to what the user touched, and of those left
    ``most`` that the user's peers took.

    Args:
        barred: pairs of these users and products that are no candidates.
    """
    barred = Pairs.none(len(catalogue)) if barred is None else barred
    users = np.arange(len(histories) + 1)
    with watch("repeat search"):
        found = habit.habits(histories, day, half_lives)
        offered = catalogue.on_sale[found.items] & ~barred.hold(found.users, found.items)
        kept = _strongest(found, np.flatnonzero(offered), most)
    with watch("novel search"):
        rows, codes = barred.split()
        touched: Masked = (np.searchsorted(found.users, users), found.items)
        new = outlook.search.best(outlook.users, most, touched, (np.searchsorted(rows, users), codes))
        circle = Circle.of(found, len(histories), outlook.around or Around.nothing(catalogue.on_sale))
        taken = np.concatenate([found.users, rows]), np.concatenate([found.items, codes])
        for source in (circle.nearest, circle.trending):
            new = _both(new, source(_masks(*taken, new.codes), most), outlook)
    with watch("features"):
        joined = _joined(found, kept, new, catalogue, half_lives, outlook)
        _complete(joined, histories, catalogue, day, circle)
        return joined


def _strongest(found: Habits, kept: NDArray[Any], most: int) -> NDArray[Any]:
    """Of the pairs ``kept``, places of each user's ``most`` strongest, users ascending."""
    sizes = np.bincount(found.users[kept], minlength=1)
    many = sizes[found.users[kept]] > most
    if not many.any():
        return kept
    crowded = kept[many]
    users = found.users[crowded]
    order = np.lexsort((-found.strength[crowded], users))
    rank = np.arange(len(order)) - np.searchsorted(users, users)  # sorted by user before and after
    return np.sort(np.concatenate([kept[~many], crowded[order[rank < most]]]))


def _joined(
    found: Habits, kept: NDArray[Any], new: Best, catalogue: Catalogue, half_lives: Sequence[float], outlook: Outlook
) -> Candidates:
    """Touched and new products of each user with their features."""
    scored = outlook.users.any(1)
    fresh = (new.codes >= 0) & scored[:, None]
    own, more = np.bincount(found.users[kept], minlength=len(scored)), fresh.sum(1)
    sizes = own + more
    real = np.arange(int(sizes.max(initial=0))) < sizes[:, None]
    touched = np.arange(real.shape[1]) < own[:, None]
    users, place = np.nonzero(real)
    known = place < own[users]
    items, pairs = np.empty(len(users), np.int32), np.full(len(users), -1, np.int64)
    items[known], items[~known] = found.items[kept], new.codes[fresh]
    pairs[known] = kept
    affinity = np.empty(len(users), np.float32)
    affinity[~known] = new.scores[fresh]
    affinity[known] = np.where(
        scored[users[known]], outlook.search.scores(outlook.users, users[known], items[known]), -np.inf
    )

    features = np.empty((len(users), len(names(half_lives, catalogue.traits, catalogue.groups))), np.float32)
    products = catalogue.columns
    _fill(features, users, items, pairs, found.features, habit.stranger(half_lives), found.visitors, products)
    usual = catalogue.traits[USUAL_GAP][items] if USUAL_GAP in catalogue.traits else np.zeros(len(items), np.float32)
    features[:, -3] = habit.overdue(features[:, habit.names(half_lives).index("since")], usual)
    features[:, -2] = _likelihood(affinity, _level(np.where(fresh, new.scores, -np.inf))[users])
    features[:, -1] = np.isfinite(affinity)

    bought = np.zeros(len(users), bool)
    bought[known] = found.bought[kept]
    filled = [_padded(real, *column) for column in ((items, -1), (bought, False), (affinity, -np.inf))]
    return Candidates(filled[0], features, filled[1], touched, filled[2])


@njit(cache=True)
def _fill(
    features: Any, users: Any, items: Any, pairs: Any, own: Any, stranger: Any, visitors: Any, products: Any
) -> None:
    """Features [candidates, all] of a user and product together, of the user alone and of the product alone.

    Args:
        pairs: [candidates] row of ``own`` [pairs, habits], -1 for what the user never touched: ``stranger`` [habits]
            and the user's row of ``visitors`` [users, the last of the habits].
        products: [catalogue, columns].
    """
    width, apart = own.shape[1], own.shape[1] - visitors.shape[1]
    for row in range(len(users)):
        filled, visitor, product = features[row], visitors[users[row]], products[items[row]]
        habits = own[pairs[row]] if pairs[row] >= 0 else stranger
        for place in range(apart):
            filled[place] = habits[place]
        for place in range(len(visitor)):
            filled[apart + place] = visitor[place]
        for place in range(len(product)):
            filled[width + place] = product[place]


def _masks(rows: NDArray[Any], codes: NDArray[Any], found: NDArray[Any]) -> Masked:
    """Pairs of users and codes, and what was found for the users [users, n], -1 for nothing."""
    rows, codes = np.concatenate([rows, np.nonzero(found >= 0)[0]]), np.concatenate([codes, found[found >= 0]])
    order = np.argsort(rows, kind="stable")
    return np.searchsorted(rows[order], np.arange(len(found) + 1)), codes[order]


def _both(new: Best, nearest: NDArray[Any], outlook: Outlook) -> Best:
    """What was found and what else is near, both with the sequence model's scores."""
    rows, columns = np.nonzero(nearest >= 0)
    scores = np.full(nearest.shape, -np.inf, np.float32)
    scores[rows, columns] = outlook.search.scores(outlook.users, rows, nearest[rows, columns])
    return Best(np.concatenate([new.codes, nearest], 1), np.concatenate([new.scores, scores], 1))


def _complete(found: Candidates, histories: Histories, catalogue: Catalogue, day: int, circle: Circle) -> None:
    """Fill in what users like of the products' kinds, how near products are to what they touched or are foretold by
    it, and what their peers took.
    """
    features = found.features
    users, items = np.repeat(np.arange(len(histories)), np.diff(found.offsets)), found.items[found.items >= 0]
    end = features.shape[1] - len(_OWN)
    liked = likings(histories, day, catalogue.kinds, users, items)
    for place, values in enumerate(liked, end - len(catalogue.groups)):
        features[:, place] = values
    near = circle.scores(users, items)
    highest = np.zeros(len(histories), np.float32)
    np.maximum.at(highest, users, near)
    features[:, end] = np.log(near + _LEAST_NEAR)
    features[:, end + 1] = near / np.maximum(highest[users], _LEAST_NEAR)
    foretold = circle.foretold(users, items)
    features[:, end + 2] = np.sign(foretold) * np.log1p(_FORETOLD * np.abs(foretold))
    features[:, end + 3 : end + 3 + len(_TRENDS)] = np.log(circle.trends(users, items) + _LEAST_TREND)


def _level(scores: NDArray[Any]) -> NDArray[Any]:
    """[users] log of the mean exp of the finite scores [users, k], -inf where there are none."""
    highest = scores.max(1, initial=-np.inf)
    base = np.where(np.isfinite(highest), highest, 0)
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(scores - base[:, None]).sum(1))
        return np.asarray(base + total - np.log(np.maximum(np.isfinite(scores).sum(1), 1)))


def _likelihood(affinity: NDArray[Any], level: NDArray[Any]) -> NDArray[Any]:
    """How much likelier an item is than the new ones that the search found, on average; 0 where nothing is known."""
    known = np.isfinite(affinity) & np.isfinite(level)
    return np.where(known, np.clip(np.where(known, affinity, 0) - np.where(known, level, 0), -_CLIP, _CLIP), 0)


def _padded(real: NDArray[Any], values: NDArray[Any], empty: Any) -> NDArray[Any]:
    matrix = np.full(real.shape, empty, values.dtype)
    matrix[real] = values
    return matrix
