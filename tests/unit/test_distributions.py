"""Zero-inflated negative binomials: distribution functions, quantiles, sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shelfcast.models import distributions

ZERO = st.floats(0, 0.95)
MEAN = st.floats(0.001, 500)
DISPERSION = st.floats(0.01, 20)


@given(ZERO, MEAN, DISPERSION, st.integers(0, 400))
def test_the_distribution_function_is_scipys_mixed_with_the_extra_zeros(zero, mean, dispersion, y):
    count = stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))
    expected = zero + (1 - zero) * count.cdf(y)
    assert distributions.cdf(y, zero, mean, dispersion) == pytest.approx(expected, abs=1e-9)


def test_nothing_lies_below_zero():
    assert distributions.cdf(-1, 0.3, 2.0, 1.0) == 0


@given(ZERO, MEAN, DISPERSION, st.floats(0.01, 0.99))
def test_a_quantile_is_the_smallest_whole_number_that_reaches_its_level(zero, mean, dispersion, level):
    y = distributions.quantile(level, zero, mean, dispersion)
    assert y == np.floor(y)
    assert distributions.cdf(y, zero, mean, dispersion) >= level
    assert distributions.cdf(y - 1, zero, mean, dispersion) < level


@given(ZERO, MEAN, DISPERSION, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_quantiles_never_cross(zero, mean, dispersion, one, other):
    low, high = sorted((one, other))
    assert distributions.quantile(low, zero, mean, dispersion) <= distributions.quantile(high, zero, mean, dispersion)


def test_quantiles_of_many_distributions_are_those_of_each():
    zero, mean, dispersion = np.array([[0.0, 0.9]]), np.array([[3.0, 40.0]]), np.array([[0.5, 0.1]])
    together = distributions.quantile(0.9, zero, mean, dispersion)
    assert together.shape == (1, 2)
    assert together[0, 0] == stats.nbinom(2, 1 / 2.5).ppf(0.9)
    assert together[0, 1] == 0


def test_the_mean_and_variance_are_those_of_draws():
    generator = np.random.default_rng(3)
    zero, mean, dispersion = 0.3, 6.0, 0.7
    counts = generator.negative_binomial(1 / dispersion, 1 / (1 + dispersion * mean), 400_000)
    draws = np.where(generator.random(400_000) < zero, 0, counts)
    assert distributions.expectation(zero, mean, dispersion) == pytest.approx(draws.mean(), rel=0.01)
    assert distributions.variance(zero, mean, dispersion) == pytest.approx(draws.var(), rel=0.02)


def test_the_randomised_pit_of_draws_from_the_forecast_is_uniform():
    generator = np.random.default_rng(5)
    zero, mean, dispersion = 0.4, 3.0, 1.5
    counts = generator.negative_binomial(1 / dispersion, 1 / (1 + dispersion * mean), 100_000)
    draws = np.where(generator.random(100_000) < zero, 0, counts)
    found = distributions.pit(draws, zero, mean, dispersion, generator.random(100_000))
    assert stats.kstest(found, "uniform").statistic < 0.01


@settings(deadline=None)
@given(st.lists(st.tuples(ZERO, st.floats(0.01, 100), st.floats(0.05, 5)), min_size=2, max_size=4), st.floats(0, 0.9))
def test_the_sum_over_horizons_keeps_the_mean_and_its_first_entry(parameters, correlation):
    zero, mean, dispersion = (np.array([values]) for values in zip(*parameters, strict=True))
    sums = distributions.cumulative(zero, mean, dispersion, correlation)
    expected = np.cumsum(distributions.expectation(zero, mean, dispersion), -1)
    assert distributions.expectation(*sums) == pytest.approx(expected, rel=1e-6)
    assert [values[0, 0] for values in sums] == [zero[0, 0], mean[0, 0], dispersion[0, 0]]


@settings(deadline=None)
@given(ZERO, st.floats(0.01, 100), st.floats(0.05, 5), st.floats(0, 0.9))
def test_the_sum_of_two_horizons_has_the_variance_that_the_correlation_gives(zero, mean, dispersion, correlation):
    sums = distributions.cumulative(*(np.full((1, 2), v) for v in (zero, mean, dispersion)), correlation)
    single = float(distributions.variance(zero, mean, dispersion))
    assert distributions.variance(*sums)[0, 1] == pytest.approx(2 * single * (1 + correlation), rel=1e-3)


def test_the_sum_of_independent_poissons_is_nearly_poisson():
    sums = distributions.cumulative(np.zeros((1, 4)), np.full((1, 4), 2.0), np.full((1, 4), 1e-6), 0.0)
    upto = distributions.cdf(np.arange(20), *(values[0, 3] for values in sums))
    assert upto == pytest.approx(stats.poisson(8).cdf(np.arange(20)), abs=0.01)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1])
def test_a_level_outside_the_unit_interval_is_refused(level):
    with pytest.raises(ValueError, match="level"):
        distributions.quantile(level, 0.1, 1.0, 1.0)


@given(
    st.lists(st.tuples(ZERO, st.floats(1e-8, 1e6), st.floats(1e-6, 50)), min_size=1, max_size=8),
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=4),
)
def test_quantiles_are_exact_over_all_sizes_of_counts(parameters, levels):
    zero, mean, dispersion = (np.array(values) for values in zip(*parameters, strict=True))
    found = distributions.quantiles(levels, zero, mean, dispersion)
    assert found.shape == (len(parameters), len(levels))
    for place, level in enumerate(levels):
        assert (distributions.cdf(found[:, place], zero, mean, dispersion) >= level).all()
        assert (distributions.cdf(found[:, place] - 1, zero, mean, dispersion) < level).all()


@pytest.mark.parametrize("copies", [1, 3000])
def test_many_distributions_at_once_have_the_quantiles_of_scipy(copies):
    generator = np.random.default_rng(7)
    mean, dispersion = 10 ** generator.uniform(-2, 3, 40), 10 ** generator.uniform(-2, 1, 40)
    together = distributions.quantiles((0.1, 0.5, 0.9), 0.0, np.tile(mean, copies), np.tile(dispersion, copies))
    counts = stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))
    expected = np.stack([counts.ppf(level) for level in (0.1, 0.5, 0.9)], -1)
    assert np.array_equal(together, np.tile(expected, (copies, 1)))


def test_a_level_that_a_step_of_the_distribution_function_meets_is_decided_exactly():
    # One success in two: P(Y <= y) = 1 - 2^-(y + 1), so the levels .5 and .75 are met by 0 and 1.
    assert distributions.quantiles((0.5, 0.75), 0.0, 1.0, 1.0).tolist() == [0, 1]


def test_a_distribution_without_counts_is_zero_at_every_level():
    assert distributions.quantiles((0.1, 0.9), 1.0, 5.0, 1.0).tolist() == [0, 0]


@given(ZERO, MEAN, DISPERSION)
def test_the_probability_of_nothing_is_the_distribution_functions(zero, mean, dispersion):
    expected = distributions.cdf(0, zero, mean, dispersion)
    assert distributions.empty(zero, mean, dispersion) == pytest.approx(expected, abs=1e-12)


@given(ZERO, st.floats(0.01, 100), st.floats(0.05, 5))
def test_a_distribution_is_found_again_from_its_mean_variance_and_share_of_zeros(zero, mean, dispersion):
    parameters = [np.array([value]) for value in (zero, mean, dispersion)]
    found = distributions.matching(
        distributions.expectation(*parameters), distributions.variance(*parameters), distributions.empty(*parameters)
    )
    assert distributions.expectation(*found) == pytest.approx(distributions.expectation(*parameters), rel=1e-6)
    assert distributions.variance(*found) == pytest.approx(distributions.variance(*parameters), rel=1e-3)
    assert distributions.empty(*found) == pytest.approx(distributions.empty(*parameters), abs=1e-4)
