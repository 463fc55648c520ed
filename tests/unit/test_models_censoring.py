"""Training around periods in which a series could not be bought."""

import numpy as np
import pytest

from shelfcast.models.censoring import available_mean, available_targets, uncensored

UNITS = np.array([[0, 0, 4, 6, 0, 0, 8, 2]], np.float32)
AVAILABLE = np.array([[1, 1, 1, 1, 0, 0, 1, 1]], np.float32)
LENGTH = np.array([6])


def test_the_mean_skips_what_could_not_be_bought_and_looks_back_only() -> None:
    found = available_mean(UNITS, AVAILABLE, LENGTH, periods=3)
    assert found[0].tolist() == pytest.approx([0, 0, 4, 5, 5, 6, 8, 5])
    later = np.where(np.arange(8) > 5, 99.0, UNITS)
    assert available_mean(later, AVAILABLE, LENGTH, 3)[0, :6].tolist() == found[0, :6].tolist()


def test_where_nothing_was_available_for_long_the_last_known_mean_holds() -> None:
    out = np.array([[1, 1, 1, 1, 0, 0, 0, 0]], np.float32)
    assert available_mean(UNITS, out, LENGTH, periods=2)[0, 3:].tolist() == [5, 6, 6, 6, 6]


def test_a_target_counts_where_it_and_its_position_were_available() -> None:
    found = available_targets(AVAILABLE, horizon=2)[0]
    assert found.shape == (8, 2)
    assert found[:, 0].tolist() == [1, 1, 1, 0, 0, 0, 1, 1]
    assert found[:, 1].tolist() == [1, 1, 0, 0, 0, 0, 1, 1]


def test_with_everything_available_nothing_changes() -> None:
    whole = np.ones_like(AVAILABLE)
    assert (available_targets(whole, 3) == 1).all()
    assert (uncensored(UNITS, whole, LENGTH) == UNITS).all()


def test_a_silence_out_of_stock_is_raised_to_the_level_before_it() -> None:
    found = uncensored(UNITS, AVAILABLE, LENGTH)
    assert found[0].tolist() == [0, 0, 4, 6, 5, 5, 8, 2]
