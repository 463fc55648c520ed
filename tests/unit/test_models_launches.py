"""Products without history, and the end of a listing."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from shelfcast.evaluate import launches as measured
from shelfcast.evaluate.launches import History
from shelfcast.models import distributions
from shelfcast.models.distributions import Zinb
from shelfcast.models.launches import fitted
from shelfcast.models.settling import rates_of, settled
from shelfcast.models.trained_forecaster import LEVELS, Forecasts

HORIZON = 3


def cells(*rows: tuple[str, str, str, int, int, float]) -> pd.DataFrame:
    names = ["plan", "department", "category", "periods", "sold_periods", "units"]
    return pd.DataFrame(rows, columns=names).assign(grain="week.product")


MANY = cells(
    ("mailer", "food", "jam", 1000, 400, 1000.0),
    ("none", "food", "jam", 1000, 100, 200.0),
    ("none", "toys", "balls", 1000, 10, 10.0),
)


def forecasts(rows: int) -> Forecasts:
    single = Zinb(np.full((rows, HORIZON), 0.1), np.full((rows, HORIZON), 6.0), np.full((rows, HORIZON), 0.5))
    both = Zinb(*(np.stack([a, b], 1) for a, b in zip(single, distributions.cumulative(*single, 0.2), strict=True)))
    mean = distributions.expectation(*both)
    return Forecasts(np.stack([distributions.quantile(level, *both) for level in LEVELS], -1), mean, both)


def windows(window_table, length: list[int], listed: list[int], **more: object) -> pa.Table:
    return window_table(np.zeros((len(length), 5)), length=length, **{"listed": pa.array(listed, pa.int32()), **more})


def test_a_rate_lies_between_what_its_kind_sold_and_what_all_sold() -> None:
    rates = fitted(MANY)
    kinds = {"plan": np.array(["mailer", "none", "none", "none"]),
             "department": np.array(["food", "food", "toys", "new"]),
             "category": np.array(["jam", "jam", "balls", "new"])}  # fmt: skip
    promoted, plain, toys, unknown = rates.of(kinds)
    assert promoted == pytest.approx(1.0, rel=0.15)
    assert plain == pytest.approx(0.2, rel=0.2)
    assert 0.01 < toys < plain
    assert toys < unknown < promoted
    one = fitted(cells(("none", "food", "jam", 4, 4, 100.0)))
    assert one.of({name: np.array(["x"]) for name in kinds})[0] < 25.0


def test_the_spread_gives_the_share_of_silent_periods_that_was_seen() -> None:
    rates = fitted(cells(("none", "food", "jam", 1000, 100, 400.0)))
    mean = rates.of({"plan": np.array(["none"]), "department": np.array(["food"]), "category": np.array(["jam"])})
    assert distributions.cdf(0, 0.0, mean, rates.dispersion)[0] == pytest.approx(0.9, abs=1e-3)
    assert distributions.quantile(0.9, np.zeros(1), mean, np.full(1, rates.dispersion))[0] <= 1


def test_nothing_observed_still_gives_a_small_and_wide_forecast() -> None:
    rates = fitted(MANY.iloc[:0])
    assert rates.mean == pytest.approx(0.05)
    assert np.isfinite(rates.of({name: np.array(["x"]) for name in ("plan", "department", "category")})).all()


def test_series_that_never_sold_take_the_rate_of_their_kind_and_others_keep_theirs(window_table) -> None:
    mailer = [np.zeros(8, np.float32), np.array([0] * 5 + [1, 0, 0], np.float32)]
    table = windows(window_table, [5, 0], [3, 3], mailer=mailer, department=["food"] * 2, category=["jam"] * 2)
    before = forecasts(2)
    found = settled(forecasts(2), table, rates_of(MANY), 0.2)
    assert (found.mean[0] == before.mean[0]).all()
    assert found.mean[1, 0] == pytest.approx([1.0, 0.2, 0.2], rel=0.2)
    assert found.mean[1, 1] == pytest.approx(np.cumsum(found.mean[1, 0]))
    low, _, high = np.moveaxis(found.quantiles[1], -1, 0)
    assert (low <= high).all()
    assert (distributions.variance(*found.distribution)[1, 0] > found.mean[1, 0]).all()
    other = settled(forecasts(2), table, {}, 0.2)
    assert (other.mean[1, 0] > 0).all()
    assert (other.mean[1, 0] < 0.1).all()


def test_nothing_is_forecast_once_the_listing_has_ended(window_table) -> None:
    before = forecasts(3)
    found = settled(forecasts(3), windows(window_table, [5, 5, 5], [3, 1, 0]), {}, 0.2)
    assert (found.mean[0] == before.mean[0]).all()
    assert found.mean[1, 0].tolist() == [before.mean[1, 0, 0], 0, 0]
    assert found.mean[1, 1].tolist() == [before.mean[1, 1, 0]] * 3
    assert found.quantiles[1, 0, 1:].tolist() == [[0, 0, 0]] * 2
    assert (found.quantiles[2] == 0).all()
    assert (found.mean[2] == 0).all()
    assert (distributions.cdf(0, *found.distribution)[2] == 1).all()


def test_the_launch_means_use_no_period_after_the_origin_and_leave_apparent_launches_out() -> None:
    units = np.zeros((6, 12))
    ages = np.array([12, 6, 6, 6, 2, 2])
    for row, age in enumerate(ages):
        units[row, 12 - age] = 4.0
        units[row, 13 - age :] = 1.0
    units[0, 1:] = 50.0  # sold before the window began
    history = History(units, ages)
    assert measured.mean_by_age(history, horizon=2, newest=2).tolist() == [0, 4.0, 1.0, 1.0, 1.0]
    category = np.array(["a", "a", "b", "b", "a", "b"])
    assert measured.launch_means(history, category, 2, 2)[4].tolist() == [1.0, 1.0]
    assert measured.gaps(History(np.array([[1.0, 0, 0], [0, 0, 2], [0, 0, 0]]), ages[:3])).tolist() == [2, 0, 3]


def test_the_deviance_is_zero_for_the_truth_and_finite_for_a_zero_forecast() -> None:
    truth = np.array([[0.0, 3.0]])
    assert measured.poisson_deviance(truth, truth) == pytest.approx(0.0, abs=1e-6)
    assert 1.0 < measured.poisson_deviance(truth, np.zeros((1, 2))) < 200
    assert measured.poisson_deviance(truth, truth + 0.5) > 0
