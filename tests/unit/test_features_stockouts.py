"""Evidence that a series was out of stock, and what it would have sold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfcast.features.stockouts import expected_units, zero_runs

STEADY = [9.0, 11.0, 10.0, 8.0, 12.0, 10.0, 9.0, 11.0, 10.0, 10.0, 9.0, 12.0]


def runs(*units: list[float], length: int | None = None) -> list[list[int]]:
    values = np.array(units, np.float32)
    real = np.full(len(values), values.shape[1] if length is None else length)
    return [np.flatnonzero(row).tolist() for row in zero_runs(values, real, 1e-4, longest=4)]


def test_a_silence_of_a_steady_seller_that_ends_is_a_stock_out() -> None:
    assert runs([*STEADY, 0, 0, 10, 11]) == [[12, 13]]


def test_a_silence_that_lasts_to_the_cutoff_or_too_long_is_none() -> None:
    assert runs([*STEADY, 10, 11, 0, 0]) == [[]]
    assert runs([*STEADY, 0, 0, 0, 0, 0, 10, 11]) == [[]]


def test_sales_that_do_not_recover_faded_and_were_not_out_of_stock() -> None:
    assert runs([*STEADY, 0, 0, 1, 0, 1, 0]) == [[]]


def test_a_slow_or_erratic_seller_is_often_silent_by_itself() -> None:
    slow = [1.0, 0, 1, 0, 0, 1, 2, 0, 1, 0, 1, 1]
    erratic = [60.0, 0, 0, 1, 0, 90, 0, 0, 2, 0, 75, 0]
    assert runs([*slow, 0, 0, 1, 1]) == [[]]
    assert runs([*erratic, 0, 0, 80, 20]) == [[]]


def test_too_short_a_past_says_nothing_and_padding_is_no_silence() -> None:
    padded = [0.0] * 8 + [10.0, 11.0, 9.0, 10.0, 0.0, 10.0, 9.0, 10.0]
    assert runs(padded, length=8) == [[]]


def test_the_level_around_a_stock_out_is_that_of_the_available_periods_on_both_sides() -> None:
    units = np.array([[4, 4, 0, 0, 8, 8, 8, 8]], np.float32)
    available = np.array([[1, 1, 0, 0, 1, 1, 1, 1]], np.float32)
    found = expected_units(units, available, np.array([8]))
    assert found[0, 2:4] == pytest.approx([40 / 6, 40 / 6])
    never = expected_units(units, np.zeros_like(available), np.array([8]))
    assert never.tolist() == [[0.0] * 8]


@given(st.lists(st.lists(st.integers(0, 50), min_size=20, max_size=20), min_size=1, max_size=4), st.integers(0, 20))
def test_only_real_periods_without_sales_are_ever_flagged(units: list[list[int]], length: int) -> None:
    values = np.array(units, np.float32)
    found = zero_runs(values, np.full(len(values), length), 0.05, longest=8)
    assert not (found & (values > 0)).any()
    assert not found[:, : 20 - length].any()
    assert np.isfinite(expected_units(values, np.where(found, 0, 1), np.full(len(values), length))).all()
