"""A trial at an earlier origin knows nothing that came after it."""

from datetime import date

import numpy as np
import pytest
from deltalake import write_deltalake

from shelfcast.config import load
from shelfcast.errors import TrainingError
from shelfcast.train.collective import Collective
from shelfcast.train.forecaster_trial import work

CONTEXT, CUTOFF, BACK, HORIZON = 24, date(2017, 11, 26), 7, 3
UNITS = np.random.default_rng(3).poisson(np.repeat([1.0, 6.0], 15)[:, None], (30, CONTEXT)).astype(np.float32)


def payload(path, window_table, units, *, least=3, **hyper):
    write_deltalake(str(path / "gold/windows"), window_table(units), partition_by=["cutoff"])
    small = {"units": 4, "layers": 1, "dense": 6, "epochs": 2, "least_steps": 1, "batch": 16} | hyper
    settings = load().settings.forecaster.model_copy(update=small)
    return {
        "lake": str(path), "version": 0, "chains": {"week.product": [CUTOFF.isoformat()]}, "seed": 5,
        "hyper": settings.model_dump(mode="json"), "rolled_back": BACK, "min_sale_periods": least,
    }  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory, window_table):
    return work(payload(tmp_path_factory.mktemp("lake"), window_table, UNITS), Collective())


def test_a_trial_measures_the_horizon_after_its_origin(found):
    assert found["series"] == 30
    assert found["epochs"] == 2
    assert 0.1 < found["wape"] < 1
    assert abs(found["bias"]) < 0.5
    assert found["nll"] > 0
    assert found["rmse"] > 0


def test_what_happens_from_the_origin_on_is_measured_but_never_learnt(found, tmp_path, window_table):
    changed = UNITS.copy()
    horizon = slice(CONTEXT - BACK, CONTEXT - BACK + HORIZON)
    changed[:, horizon] *= 3
    changed[:, horizon.stop :] = 1e4
    measured = work(payload(tmp_path, window_table, changed), Collective())
    sold = float(UNITS[:, horizon].sum())
    expected, again = (1 + found["bias"]) * sold, (1 + measured["bias"]) * 3 * sold
    assert again == pytest.approx(expected, rel=1e-5)
    assert measured["wape"] > found["wape"]


def test_without_statics_and_without_the_mean_head_a_network_still_trains(tmp_path, window_table):
    given = payload(tmp_path, window_table, UNITS, embeddings={}, mean_weight=0.0, inputs=[], planned=[])
    measured = work(given, Collective())
    assert abs(measured["bias"]) < 0.5


def test_an_origin_at_which_too_little_was_sold_is_refused(tmp_path, window_table):
    with pytest.raises(TrainingError, match="choose later origins"):
        work(payload(tmp_path, window_table, UNITS, least=20), Collective())
