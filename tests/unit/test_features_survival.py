"""Whether a silent series is still sold."""

import numpy as np
import pytest
from scipy.stats import betabinom

from shelfcast.features.survival import Pattern, Survival, fitted

KNOWN = Survival(2.0, 3.0, 0.5, 8.0)


def simulated(series: int, periods: int, seed: int) -> tuple[Pattern, np.ndarray]:
    """Patterns of ``periods`` and whether any of the next four saw a sale, drawn from KNOWN."""
    generator = np.random.default_rng(seed)
    sells = generator.beta(KNOWN.a, KNOWN.b, series)
    life = generator.geometric(generator.beta(KNOWN.c, KNOWN.d, series)) - 1  # periods it lives through
    days = np.arange(1, periods + 5)
    sold = (generator.random((series, periods + 4)) < sells[:, None]) & (days <= life[:, None])
    past = sold[:, :periods]
    last = np.where(past.any(1), periods - np.argmax(past[:, ::-1], 1), 0)
    return Pattern.of(past.sum(1), last, np.full(series, periods)), sold[:, periods:].any(1)


def test_the_parameters_tell_how_many_silent_series_come_back() -> None:
    pattern, back = simulated(20_000, 20, seed=3)
    found = fitted(pattern)
    assert found is not None
    chance = found.any_sale(pattern, 4)
    for low in np.arange(0.0, 1.0, 0.2):
        some = (chance >= low) & (chance < low + 0.2)
        assert chance[some].mean() == pytest.approx(back[some].mean(), abs=0.03)


def test_the_longer_a_regular_seller_is_silent_the_likelier_it_was_dropped() -> None:
    silence = KNOWN.alive(Pattern.of([10, 10, 10, 10], [20, 18, 14, 10], [20, 20, 20, 20]))
    assert silence[0] == 1.0
    assert (np.diff(silence) < 0).all()
    assert silence[-1] < 0.05
    rare = KNOWN.alive(Pattern.of([2], [10], [20]))
    assert rare[0] > 5 * silence[-1]


def test_without_any_dropping_the_chance_of_a_sale_is_beta_binomial() -> None:
    loyal = Survival(2.0, 3.0, 1e-6, 1e3)
    found = loyal.any_sale(Pattern.of([3], [9], [10]), 4)
    assert found[0] == pytest.approx(1 - betabinom.pmf(0, 4, 2 + 3, 3 + 7), abs=1e-4)


def test_a_handful_of_series_is_too_few_to_tell_and_odd_counts_are_made_consistent() -> None:
    assert fitted(Pattern.of([1, 2], [3, 4], [5, 5])) is None
    assert fitted(Pattern.of([0] * 100, [0] * 100, [0] * 100)) is None
    odd = Pattern.of([7, -1], [3, 9], [5, 4])
    assert [part.tolist() for part in odd] == [[3, 0], [3, 4], [5, 4]]
    assert np.isfinite(KNOWN.any_sale(odd, 4)).all()
