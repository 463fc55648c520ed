"""Which items foretell which: against the closed form, pruned, planted, by several ranks, and of nothing."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shelfcast.models import habits as habit
from shelfcast.models import item_regression
from shelfcast.models.histories import Histories
from shelfcast.models.item_neighbours import Profile
from shelfcast.models.item_regression import ItemRegression
from shelfcast.train import regression_fit
from shelfcast.train.collective import Collective

DAY = 100
OPTIONS: Any = SimpleNamespace(half_lives=[4.0, 32.0], predictors=5)


def profile(rows: np.ndarray) -> Profile:
    """Of weights [users, items]."""
    users, places = np.nonzero(rows)
    offsets = np.searchsorted(users, np.arange(len(rows) + 1)).astype(np.int64)
    return Profile(offsets, places.astype(np.int32), rows[users, places].astype(np.float32))


def crowd(users: int, items: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((users, items)) < 0.3, rng.random((users, items)), 0)


def asked(found: ItemRegression, rows: np.ndarray) -> np.ndarray:
    """[users, vocabulary] scores of everything."""
    users, items = np.repeat(np.arange(len(rows)), rows.shape[1]), np.tile(np.arange(rows.shape[1]), len(rows))
    return found.scores(profile(rows), users, items).reshape(rows.shape)


def closed_form(rows: np.ndarray) -> np.ndarray:
    """[items, items] weight of each item for each other one, by solving one ridge regression an item."""
    items = rows.shape[1]
    found = np.zeros((items, items))
    for item in range(items):
        others = np.flatnonzero(np.arange(items) != item)
        x, y = rows[:, others], rows[:, item]
        found[others, item] = np.linalg.solve(x.T @ x + 10 * np.eye(len(others)), x.T @ y)
    return found


def test_scores_are_those_of_one_ridge_regression_an_item() -> None:
    rows, others = crowd(300, 12), crowd(20, 12, seed=1)
    found = item_regression.learn(rows.T @ rows, np.arange(12, dtype=np.int32), 12, 12)
    np.testing.assert_allclose(asked(found, others), others @ closed_form(rows), atol=1e-5)


def test_an_item_keeps_its_strongest_predictors() -> None:
    rows, others = crowd(300, 12), crowd(20, 12, seed=1)
    known = np.array([0, 2, 3, 5, 7, 8, 11], np.int32)  # the others are not foretold and foretell nothing
    found = item_regression.learn(rows[:, known].T @ rows[:, known], known, 12, 3)
    weights = closed_form(rows[:, known])
    for column in weights.T:
        column[np.argsort(-np.abs(column))[3:]] = 0
    expected = np.zeros((20, 12))
    expected[:, known] = others[:, known] @ weights
    np.testing.assert_allclose(asked(found, others), expected, atol=1e-5)


def test_what_two_items_owe_to_a_third_is_counted_once() -> None:
    """1 and 2 go with 0, each by itself: together they say little of each other beyond that."""
    rng = np.random.default_rng(2)
    rows = np.zeros((4000, 3))
    rows[:, 0] = rng.random(4000) < 0.5
    for item in (1, 2):
        rows[:, item] = np.where(rows[:, 0] > 0, rng.random(4000) < 0.6, 0)
    found = asked(item_regression.learn(rows.T @ rows, np.arange(3, dtype=np.int32), 3, 3), np.eye(3))
    assert found[0, 1] > 0.5
    assert abs(found[1, 2]) < 0.05  # a cosine of about .6


def histories(rows: np.ndarray) -> Histories:
    """Of users who took what is not 0 today."""
    users, items = np.nonzero(rows)
    offsets = np.searchsorted(users, np.arange(len(rows) + 1)).astype(np.int64)
    days = np.full(len(items), DAY, np.int32)
    return Histories(offsets, items.astype(np.int32), days, days.astype(np.int64), np.ones(len(items), bool))


def test_ranks_add_up_what_their_users_have() -> None:
    halves = [histories(crowd(40, 9)), histories(crowd(30, 9, seed=5))]
    words = np.array([1, 2, 3, 0, 4, 5, 6, 7, 8])

    class Waits(Exception):
        pass

    class Rank(Collective):
        def sum(self, values: Any) -> np.ndarray:
            own.append(np.asarray(values, np.float64))
            if len(own) > len(known):
                raise Waits
            return known[len(own) - 1]

    known: list[np.ndarray] = []
    for _ in range(2):  # first how many have each item, then the products
        sent = []
        for part in halves:
            own: list[np.ndarray] = []
            with pytest.raises(Waits):
                regression_fit.fit(part, words, 8, DAY, OPTIONS, 1, Rank(rank=0, size=1))
            sent.append(own[-1])
        known.append(sum(sent[1:], sent[0]))
    own = []
    found = regression_fit.fit(halves[0], words, 8, DAY, OPTIONS, 1, Rank(rank=0, size=1))
    both = histories(np.concatenate([crowd(40, 9), crowd(30, 9, seed=5)]))
    alone = regression_fit.fit(both, words, 8, DAY, OPTIONS, 1, Collective())
    assert found is not None
    assert alone is not None
    for name, values in alone.arrays().items():
        np.testing.assert_allclose(found.arrays()[name], values, atol=1e-6)
    weights = Profile.of(habit.habits(both, DAY, OPTIONS.half_lives), words, len(both)).weights
    assert np.allclose(weights, 0.5)  # one event today


def test_a_stored_one_says_the_same_and_nothing_makes_none() -> None:
    rows = crowd(50, 10)
    found = item_regression.learn(rows.T @ rows, np.arange(10, dtype=np.int32), 10, 4)
    again = ItemRegression.from_arrays(found.arrays())
    np.testing.assert_array_equal(asked(again, rows), asked(found, rows))
    assert found.scores(profile(rows), np.zeros(1, np.int64), np.array([-1])).tolist() == [0]
    words = np.arange(1, 11)
    assert regression_fit.fit(Histories.empty(4), words, 10, DAY, OPTIONS, 1, Collective()) is None
