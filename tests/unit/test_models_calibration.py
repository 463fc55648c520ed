"""Corrections of distributions: they find what was planted, leave what is right, and keep quantiles in order."""

import numpy as np
import pytest

from shelfcast.models import calibration, distributions
from shelfcast.models.calibration import Calibration, Calibrations, Traits
from shelfcast.models.distributions import Zinb

ROWS, HORIZON = 4000, 4


def traits(scale, sparse=False):
    """Of series of these scales."""
    return Traits(scale, np.broadcast_to(sparse, len(scale)))


@pytest.fixture(scope="module")
def world():
    """True distributions of series of many scales, and what they sold."""
    generator = np.random.default_rng(5)
    scale = np.exp(generator.uniform(-2, 3, ROWS))
    true = Zinb(np.full((ROWS, HORIZON), 0.2), np.repeat(scale[:, None], HORIZON, 1), np.full((ROWS, HORIZON), 0.5))
    counts = generator.negative_binomial(1 / true.dispersion, 1 / (1 + true.dispersion * true.mean))
    return true, scale, np.where(generator.random((ROWS, HORIZON)) < true.zero, 0.0, counts)


def likelihood(found, truth):
    return distributions.negative_log_likelihood(truth, *found).mean()


def test_a_forecast_that_is_right_is_left_nearly_alone(world):
    true, scale, truth = world
    assert np.abs(calibration.best(true, traits(scale), truth).as_list()).max() < 0.1


def test_a_planted_tilt_is_found_and_taken_back(world):
    true, scale, truth = world
    tilted = true._replace(mean=true.mean * np.exp(0.3 * np.log(scale))[:, None], dispersion=true.dispersion * 2)
    found = calibration.best(tilted, traits(scale), truth)
    assert found.mean[1] == pytest.approx(-0.3, abs=0.06)
    corrected = found.corrected(tilted, traits(scale))
    assert likelihood(corrected, truth) == pytest.approx(likelihood(true, truth), abs=0.003)
    bias = distributions.expectation(*corrected).sum() / truth.sum() - 1
    assert abs(bias) < 0.03 < distributions.expectation(*tilted).sum() / truth.sum() - 1


def test_few_targets_correct_nothing(world):
    true, scale, truth = world
    assert calibration.best(Zinb(*(each[:40] for each in true)), traits(scale[:40]), truth[:40]) == Calibration()


def test_sparse_series_are_corrected_apart(world):
    true, scale, truth = world
    sparse = np.arange(ROWS) % 2 == 0
    mean = np.where(sparse[:, None], true.mean * 1.5, true.mean)
    found = calibration.fitted(true._replace(mean=mean), traits(scale, sparse), truth)
    assert found.sparse.mean[0] == pytest.approx(np.log(1 / 1.5), abs=0.12)
    assert abs(found.others.mean[0]) < 0.1
    again = Calibrations.of(found.as_dict())
    assert again == found
    corrected = again.corrected(true, traits(scale, sparse))
    assert np.allclose(corrected.mean[sparse], found.sparse.corrected(true, traits(scale)).mean[sparse])
    assert np.allclose(corrected.mean[~sparse], found.others.corrected(true, traits(scale)).mean[~sparse])
