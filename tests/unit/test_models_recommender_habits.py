"""Habits against values worked out by hand."""

import numpy as np
import pytest

from shelfcast.models import habits as habit
from shelfcast.models.histories import Histories

HALF_LIVES = [2.0, 16.0]
DAY = 100


def seen(*events: tuple[int, int, int, bool], users: int = 1) -> Histories:
    """Events as (user, item, day, wanted), in order."""
    rows = np.array([event[0] for event in events])
    columns = [np.array([event[place] for event in events]) for place in (1, 2, 3)]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=users))]).astype(np.int64)
    items, days, wanted = columns
    return Histories(offsets, items.astype(np.int32), days.astype(np.int32), days.astype(np.int64), wanted.astype(bool))


def of(found: habit.Habits, pair: int) -> dict[str, float]:
    return dict(zip(habit.names(HALF_LIVES), found.features[pair].tolist(), strict=True))


def test_a_product_bought_on_three_days() -> None:
    found = habit.habits(
        seen((0, 5, 72, True), (0, 5, 72, True), (0, 5, 86, True), (0, 8, 86, True), (0, 5, 93, True)), DAY, HALF_LIVES
    )
    assert found.items.tolist() == [5, 8]
    first = of(found, 0)
    fast = 2 * 2**-2.0 + 2**-1.0 + 2**-0.5
    slow = 2 * 2 ** (-4 / 16) + 2 ** (-2 / 16) + 2 ** (-1 / 16)
    other = 2 ** (-2 / 16)
    expected = {
        "count": np.log(5), "days": np.log(4), "decayed_2": np.log1p(10 * fast), "decayed_16": np.log1p(10 * slow),
        "since": np.log(2), "gap": np.log(1 + 1.5), "newest_gap": np.log(2), "spread": 0.5 / 1.5, "single": 0,
        "due": 1 / 1.5, "due_newest": 1, "age": np.log(5), "share": np.log(slow / (slow + other) + 1e-4),
        "interest": 0, "bought": 1, "visits": np.log(4), "idle": np.log(2), "lately": np.log(4),
        "products": np.log(3), "tried": np.log(2), "decayed": np.log1p(slow + other),
    }  # fmt: skip
    assert first == pytest.approx(expected, abs=1e-5)
    assert found.strength.tolist() == pytest.approx([slow, other])


def test_a_product_bought_on_one_day_is_never_due() -> None:
    only = of(habit.habits(seen((0, 1, 93, True)), DAY, HALF_LIVES), 0)
    assert (only["single"], only["due"], only["gap"]) == pytest.approx((1, 0, np.log(105)), abs=1e-5)


def test_what_was_only_looked_at_is_interest_not_habit() -> None:
    found = habit.habits(seen((0, 1, 86, False), (0, 2, 93, True)), DAY, HALF_LIVES)
    looked = of(found, 0)
    assert not found.bought[0]
    assert looked["interest"] == pytest.approx(np.log1p(10 * 2**-1.0), abs=1e-5)
    assert (looked["count"], looked["age"], looked["since"]) == pytest.approx((0, 0, np.log(105)), abs=1e-5)


def test_users_do_not_mix_and_one_without_events_has_no_rows() -> None:
    found = habit.habits(seen((0, 1, 90, True), (2, 1, 95, True), users=3), DAY, HALF_LIVES)
    assert found.users.tolist() == [0, 2]
    assert found.visitors[1].tolist() == pytest.approx([0, np.log(105), 0, 0, 0, 0], abs=1e-5)


def test_a_stranger_is_described_like_something_only_looked_at_infinitely_long_ago() -> None:
    stranger = dict(zip(habit.names(HALF_LIVES), habit.stranger(HALF_LIVES).tolist(), strict=True))
    looked = of(habit.habits(seen((0, 1, -100_000, False)), DAY, HALF_LIVES), 0)
    for name in set(stranger) - set(habit.VISITOR):
        assert stranger[name] == pytest.approx(looked[name], abs=1e-4), name
