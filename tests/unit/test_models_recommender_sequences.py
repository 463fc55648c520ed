"""Histories as training pieces: what predicts what."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shelfcast.models.histories import Histories, group
from shelfcast.models.sequences import GAPS, Pieces, Sequences, gaps


def histories(*users: list[tuple[int, int]]) -> Histories:
    """Users as lists of (item, time); the day is the time."""
    events = [event for user in users for event in user]
    items, times = (np.array([event[place] for event in events], np.int64) for place in (0, 1))
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    return Histories(offsets, items.astype(np.int32), times.astype(np.int32), times, np.ones(len(events), bool))


EVERY = np.arange(1, 100, dtype=np.int32)  # item i is number i + 1


def test_rows_of_a_user_become_one_run_in_the_order_of_weeks() -> None:
    users, offsets, (items,) = group(
        np.array([7, 3, 7]), np.array([2, 1, 1]), np.array([2, 1, 1]), [np.array([10, 11, 20, 5])]
    )
    assert users.tolist() == [3, 7]
    assert offsets.tolist() == [0, 1, 4]
    assert items.tolist() == [20, 5, 10, 11]


def test_a_sequence_holds_each_known_item_once_at_its_first_time() -> None:
    words = np.array([1, 0, 2], np.int32)
    found = Sequences.of(histories([(2, 1), (1, 1), (2, 2), (0, 3)], [(1, 5)], [(0, 6)]), words)
    assert found.offsets.tolist() == [0, 2, 2, 3]
    assert found.numbers.tolist() == [2, 1, 1]
    assert found.times.tolist() == [1, 3, 6]


def test_the_newest_numbers_stand_at_the_left_and_a_user_without_any_has_zeros() -> None:
    found = Sequences.of(histories([(0, 1), (1, 2), (2, 3)], [], [(5, 1)]), EVERY)
    assert found.newest(2).numbers.tolist() == [[2, 3], [0, 0], [6, 0]]


def test_a_target_is_predicted_from_what_came_before_its_basket() -> None:
    pieces = Pieces.cut(Sequences.of(histories([(0, 1), (1, 1), (2, 2), (3, 2), (4, 3)]), EVERY), 10)
    inputs, _, targets, before = pieces.batch(np.array([0]))
    assert inputs.tolist() == [[1, 2, 3, 4]]
    assert targets.tolist() == [[0, 3, 4, 5]]  # 2 shares its basket with the only earlier item
    assert before[0, 1:].tolist() == [1, 1, 3]


def test_a_context_tells_the_type_of_event_and_the_gap_before_its_basket() -> None:
    day = 86_400
    times = np.array([0, 0, day // 2, 3 * day, 3 * day, 5, 40 * day])
    offsets = np.array([0, 5, 7])
    assert gaps(offsets, times).tolist() == [0, 0, 1, 3, 3, 0, 7]  # half a day; two and a half; forty
    found = replace(histories([(0, 0), (1, day), (0, 2 * day)]), kinds=np.array([2, 0, 1], np.int8))
    assert Sequences.of(found, EVERY).contexts.tolist() == [1 + 2 * GAPS, 1 + 1]


def test_long_histories_are_cut_from_the_newest_end() -> None:
    pieces = Pieces.cut(Sequences.of(histories([(i, i) for i in range(6)], [(9, 1)]), EVERY), 2)
    found = [pieces.batch(np.array([p]))[2][0].tolist() for p in range(len(pieces.sizes))]
    assert found == [[5, 6], [3, 4], [2]]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.integers(1, 5), st.integers(1, 12))
def test_every_item_but_a_users_first_is_a_target_once(sizes: list[int], length: int, batch: int) -> None:
    users = [[(20 * row + i, i) for i in range(size)] for row, size in enumerate(sizes)]
    words = np.arange(1, 20 * len(sizes) + 1, dtype=np.int32)
    pieces = Pieces.cut(Sequences.of(histories(*users), words), length)
    plan = pieces.plan(np.random.default_rng(0), batch, 10**9)
    targets = [t for chosen in plan for t in pieces.batch(chosen)[2].ravel().tolist() if t]
    assert sorted(targets) == sorted(item + 1 for user in users for item, _ in user[1:])
    assert all(len(chosen) == 1 or pieces.sizes[chosen].max() * len(chosen) <= batch for chosen in plan)


def test_an_epoch_takes_no_more_than_it_may() -> None:
    pieces = Pieces.cut(Sequences.of(histories(*[[(0, 1), (1, 2), (2, 3)]] * 50), EVERY), 2)
    plan = pieces.plan(np.random.default_rng(0), 10, 20)
    assert sum(len(chosen) for chosen in plan) == 10
