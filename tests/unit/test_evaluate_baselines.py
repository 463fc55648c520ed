"""Baselines forecast from a series' own past alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shelfcast.errors import ConfigError
from shelfcast.evaluate import baselines
from shelfcast.evaluate.traits import demand_class

NAMES = [
    "naive",
    "seasonal_naive",
    "window_average_3",
    "moving_median_3",
    "ses",
    "croston_sba",
    "tsb",
    "imapa",
    "theta",
]


def block(*histories: list[float], context: int = 8) -> tuple[np.ndarray, np.ndarray]:
    units = np.zeros((len(histories), context))
    for row, history in zip(units, histories, strict=True):
        row[context - len(history) :] = history
    return units, np.array([len(history) for history in histories])


def first(name: str, history: list[float]) -> float:
    units, length = block(history)
    return float(baselines.forecast(name, units, length, 2, 4)[0, 0])


def test_simple_baselines_are_what_their_names_say() -> None:
    history = [9.0, 1.0, 2.0, 6.0]
    assert first("naive", history) == 6
    assert first("window_average_3", history) == 3
    assert first("moving_median_3", history) == 2


def test_seasonal_naive_repeats_the_last_season_and_is_naive_where_there_is_none() -> None:
    units, length = block([5, 6, 7, 8], [1, 2])
    assert baselines.forecast("seasonal_naive", units, length, 6, 4).tolist() == [[5, 6, 7, 8, 5, 6], [2] * 6]


def test_padding_is_no_history() -> None:
    assert first("window_average_8", [4.0]) == 4
    assert first("moving_median_8", [4.0, 0.0]) == 2


def test_exponential_smoothing_of_a_constant_is_the_constant_and_croston_takes_off_five_percent() -> None:
    assert first("ses", [3.0] * 8) == pytest.approx(3)
    assert first("imapa", [3.0] * 8) == pytest.approx(3)
    assert first("croston_sba", [3.0] * 8) == pytest.approx(3 * 0.95)


def test_theta_follows_a_trend_and_a_known_season_and_is_never_below_zero() -> None:
    units, length = block([1.0, 2, 3, 4, 5, 6, 7, 8], [9.0, 7, 5, 4, 2, 1, 0, 0])
    plain = baselines.forecast("theta", units, length, 4, 52)
    assert 7.9 < plain[0, 0] < plain[0, 3]
    assert (plain >= 0).all()
    units, length = block([10.0, 20, 30, 10] * 10, context=40)
    seasonal = baselines.forecast("theta", units, length, 4, 4)[0]
    assert seasonal == pytest.approx([10, 20, 30, 10], abs=0.5)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 50).map(float), min_size=1, max_size=8), min_size=1, max_size=4))
def test_every_history_however_short_gets_finite_forecasts_that_do_not_depend_on_its_neighbours(
    histories: list[list[float]],
) -> None:
    units, length = block(*histories)
    for name in NAMES:
        forecasts = baselines.forecast(name, units, length, 3, 4)
        assert forecasts.shape == (len(histories), 3)
        assert np.isfinite(forecasts).all()
        alone = baselines.forecast(name, units[:1], length[:1], 3, 4)
        assert np.array_equal(alone[0], forecasts[0])


def test_an_unknown_baseline_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="'imappa'; did you mean imapa"):
        baselines.check(["naive", "imappa"])
    with pytest.raises(ConfigError, match="empty"):
        baselines.check([])


def test_demand_is_classed_by_interval_and_variation() -> None:
    units, length = block([2, 2, 2, 2], [1, 9, 1, 9], [2, 0, 0, 2], [1, 0, 0, 9], [0, 0])
    found = demand_class(units, length).tolist()
    assert found == ["smooth", "erratic", "intermittent", "lumpy", "intermittent"]
