"""Odd series through the whole forecast path: sane numbers, never NaN, or a clear refusal."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shelfcast.errors import ContractError, ModelError
from shelfcast.models import forecaster, settling
from shelfcast.models.calibration import Calibrations
from shelfcast.models.trained_forecaster import Forecasts, TrainedForecaster
from shelfcast.models.window_tensors import Inputs

CONTEXT, HORIZON = 30, 4
INPUTS = Inputs()


@pytest.fixture(scope="module")
def model() -> TrainedForecaster:
    """A network as it begins: it forecasts the level of the last 13 periods."""
    width = len(INPUTS.history)
    shape = forecaster.Shape(
        width + 1, len(INPUTS.future), HORIZON, {"brand": 2}, {"brand": 2}, units=4, layers=1, dense=4, dropout=0.0
    )
    norm = {"mean": [0.0] * width, "deviation": [1.0] * width}
    network = forecaster.built(shape, seed=3)
    return TrainedForecaster([network], {"brand": ["x"]}, norm, INPUTS, Calibrations(), 0.2, CONTEXT, HORIZON)


@pytest.fixture(scope="module")
def trained(model: TrainedForecaster) -> TrainedForecaster:
    """The same network with heads that react to everything."""
    network = forecaster.built(model.networks[0].shape, seed=4)
    network.heads.kernel.assign(np.random.default_rng(4).normal(0, 2.0, network.heads.kernel.shape))
    return replace(model, networks=[network])


def sane(found: Forecasts) -> None:
    low, middle, high = np.moveaxis(found.quantiles, -1, 0)
    assert np.isfinite(found.quantiles).all()
    assert np.isfinite(found.mean).all()
    assert all(np.isfinite(part).all() for part in found.distribution)
    assert (low >= 0).all()
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (found.mean >= 0).all()
    assert (found.quantiles == np.rint(found.quantiles)).all()
    assert ((found.distribution.zero >= 0) & (found.distribution.zero <= 1)).all()


def forecast(model: TrainedForecaster, table: pa.Table) -> Forecasts:
    found = settling.settled(model.forecast(table), table, {}, model.correlation)
    sane(found)
    return found


ODD = {
    "zeros": np.zeros(CONTEXT),
    "single sale": np.eye(CONTEXT)[20],
    "constant": np.full(CONTEXT, 7.0),
    "gaps": np.where(np.arange(CONTEXT) % 6 == 0, 12.0, 0.0),
    "returns": np.full(CONTEXT, -5.0),
    "huge": np.full(CONTEXT, 1e9),
    "one burst": np.eye(CONTEXT)[29] * 1e6,
}


def test_every_odd_series_gets_finite_ordered_forecasts_near_its_level(
    model: TrainedForecaster, trained: TrainedForecaster, window_table
) -> None:
    table = window_table(np.stack(list(ODD.values())), horizon=HORIZON)
    forecast(trained, table)
    mean = dict(zip(ODD, forecast(model, table).mean[:, 0], strict=True))
    assert mean["zeros"].max() < 0.2
    assert mean["returns"].max() < 0.2
    assert mean["single sale"].max() < 0.4
    assert mean["constant"] == pytest.approx([7.0] * HORIZON, rel=0.1)
    assert mean["gaps"] == pytest.approx([2.0] * HORIZON, rel=0.5)
    assert mean["huge"] == pytest.approx([1e9] * HORIZON, rel=0.15)


def test_a_history_shorter_than_the_horizon_and_none_at_all_are_forecast(
    trained: TrainedForecaster, window_table
) -> None:
    units = np.zeros((3, CONTEXT))
    units[:2, -1] = 5.0
    found = forecast(trained, window_table(units, length=[1, 2, 0], horizon=HORIZON))
    assert (found.mean[2] < 0.5).all()


def test_negative_prices_and_missing_or_infinite_values_do_not_spread(trained: TrainedForecaster, window_table) -> None:
    units = np.random.default_rng(0).poisson(3.0, (3, CONTEXT)).astype(np.float32)
    price = np.where(units > 0, 2.0, 0.0).astype(np.float32)
    price[0] = -4.0
    units[1, 3:9] = np.nan
    price[1, 3:9] = np.nan
    discount = np.zeros_like(units)
    discount[2] = [np.inf if place % 5 == 0 else 0.1 for place in range(CONTEXT)]
    forecast(trained, window_table(units, horizon=HORIZON, price=list(price), discount=list(discount)))


def test_a_series_out_of_stock_throughout_is_still_forecast(trained: TrainedForecaster, window_table) -> None:
    units = np.zeros((2, CONTEXT), np.float32)
    units[0, :10] = 4.0
    available = np.ones_like(units)
    available[0, 10:] = available[1] = 0.0
    forecast(trained, window_table(units, horizon=HORIZON, available=list(available)))


def test_another_context_or_horizon_than_the_model_s_and_ragged_arrays_are_refused(
    model: TrainedForecaster, window_table
) -> None:
    with pytest.raises(ModelError, match="horizon 4, gold/windows has 30 and 9"):
        model.forecast(window_table(np.zeros((1, CONTEXT)), horizon=9))
    with pytest.raises(ModelError, match="train again"):
        model.forecast(window_table(np.zeros((1, 12)), horizon=HORIZON))
    ragged = window_table(np.zeros((2, CONTEXT)), horizon=HORIZON, price=[[0.0] * CONTEXT, [0.0] * 3])
    with pytest.raises(ContractError, match="column price differ in length"):
        model.forecast(ragged)


@settings(max_examples=25)
@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32) | st.just(0.0), min_size=CONTEXT, max_size=CONTEXT),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, CONTEXT),
)
def test_whatever_was_sold_the_forecast_is_a_forecast(
    trained: TrainedForecaster, window_table, units: list[list[float]], length: int
) -> None:
    padded = np.where(np.arange(CONTEXT) >= CONTEXT - length, np.array(units), 0.0)
    forecast(trained, window_table(padded, length=[length] * len(units), horizon=HORIZON))
