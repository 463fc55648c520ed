"""Contributions to a forecast: a planted promotion effect is found, and everything adds up."""

from datetime import date

import numpy as np
import pytest
from deltalake import write_deltalake

from shelfcast.config import load
from shelfcast.models import attribution, folder, trained_forecaster
from shelfcast.models.attribution import GROUPS, attributed, group_of
from shelfcast.models.window_tensors import Inputs
from shelfcast.train.collective import Collective
from shelfcast.train.forecaster_rank import work

CONTEXT, HORIZON, LEVEL, EFFECT = 26, 3, 8.0, 3.0
CUTOFF = date(2017, 11, 26)


def planted(generator, rows, ahead):
    """Units that triple in a fifth of all periods, those with a mailer; ``ahead`` [rows, H] is the plan."""
    mailer = (generator.random((rows, CONTEXT + HORIZON)) < 0.2).astype(np.float32)
    mailer[:, CONTEXT:] = ahead
    level = generator.choice([LEVEL / 4, LEVEL], (rows, 1))
    units = generator.poisson(level * np.where(mailer[:, :CONTEXT] > 0, EFFECT, 1.0)).astype(np.float32)
    return units, mailer


@pytest.fixture(scope="module")
def model(tmp_path_factory, window_table):
    """Trained on series whose sales triple when a mailer is out."""
    path = tmp_path_factory.mktemp("lake")
    units, mailer = planted(np.random.default_rng(7), 150, 0.0)
    write_deltalake(str(path / "gold/windows"), window_table(units, mailer=list(mailer)), partition_by=["cutoff"])
    small = {"units": 12, "layers": 1, "dense": 16, "epochs": 8, "least_steps": 1, "batch": 16, "seeds": 1,
             "learning_rate": 0.01, "dropout": 0.0, "recency_half_life": None}  # fmt: skip
    hyper = load().settings.forecaster.model_copy(update=small)
    uri = folder.model_uri(str(path), "forecaster", "v")
    payload = {
        "lake": str(path), "version": 0, "chains": {"week.product": [CUTOFF.isoformat()]}, "model": uri, "seed": 5,
        "hyper": hyper.model_dump(mode="json"), "inputs": {},
    }  # fmt: skip
    work(payload, Collective())
    return trained_forecaster.load(uri)


@pytest.fixture(scope="module")
def table(window_table):
    """Ten series with a mailer planned for the second of three horizons only."""
    units, mailer = planted(np.random.default_rng(8), 8, np.asarray([0.0, 1.0, 0.0]))
    return window_table(units, mailer=list(mailer))


@pytest.fixture(scope="module")
def found(model, table):
    return attributed(model, table)


def test_a_planted_promotion_effect_is_the_largest_contribution_and_has_its_size(found):
    promotion = found.contributions[..., GROUPS.index("promotion")]
    others = np.delete(found.contributions[:, 1], GROUPS.index("promotion"), 1)
    assert (promotion[:, 1] > np.abs(others).max(1)).all()
    # A series without the mailer sells a third of what it sells with it: the plan is worth two thirds of the forecast.
    assert np.median(promotion[:, 1] / found.forecast[:, 1]) == pytest.approx(1 - 1 / EFFECT, abs=0.2)
    assert (promotion[:, [0, 2]] < 0.35 * promotion[:, 1:2]).all()


def test_contributions_add_up_to_the_published_mean_less_the_baseline(found, model, table):
    assert found.forecast == pytest.approx(model.forecast(table).mean[:, 0], rel=1e-4)
    assert found.baseline + found.contributions.sum(-1) == pytest.approx(found.forecast, rel=1e-6)
    assert np.abs(found.error).max() < 0.02 * found.forecast.max()  # before it was shared out


def test_the_sum_over_horizons_is_explained_by_the_sum_of_their_contributions(found, model, table):
    summed = attributed(model, table, summed=True)
    assert summed.forecast[:, 0] == pytest.approx(found.forecast.sum(1), rel=1e-4)
    assert summed.contributions[:, 0] == pytest.approx(found.contributions.sum(1), abs=0.1)


def test_the_baseline_of_a_series_is_itself_without_events(table):
    windows = attribution.window_tensors.read(table, {}, seasonal=False)
    plain = attribution.baseline(windows)
    recent = windows.units[:, -13:].mean(1)
    assert plain.units == pytest.approx(np.repeat(recent[:, None], CONTEXT, 1), rel=1e-5)
    assert not plain.planned[..., :4].any()
    assert attribution.window_tensors.scale(plain)[:, -1] == pytest.approx(recent + 0.1, rel=1e-5)


def test_every_channel_belongs_to_a_group():
    inputs = Inputs(seasonal=True)
    groups = {name: group_of(name) for name in (*inputs.history, "started")}
    assert groups["log_units"] == groups["started"] == groups["log_plain_lift"] == "history"
    assert groups["discount"] == "price"
    assert groups["mailer_main"] == groups["log_promoted_lift"] == "promotion"
    assert groups["holiday"] == groups["year_sine"] == "calendar"
