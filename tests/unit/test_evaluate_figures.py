"""Figures follow from sums per cell, and are what the same formula gives on all rows at once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from utilsforecast import losses

from shelfcast.evaluate import bootstrap
from shelfcast.evaluate.forecast_metrics import Figure, best_baseline, figures
from shelfcast.evaluate.sums import CELL, cell_sums, measures

NAMES = ["naive", "window_average_8"]


def rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    q50 = random.integers(0, 4, count).astype(float)
    return pd.DataFrame(
        {
            "horizon": random.integers(1, 5, count).astype(np.int32),
            "demand_class": random.choice(["smooth", "lumpy"], count),
            "decile": random.integers(1, 11, count).astype(np.int32),
            "promoted": random.random(count) < 0.3,
            "y": random.poisson(1.5, count).astype(float),
            "q10": np.maximum(q50 - 1, 0),
            "q50": q50,
            "q90": q50 + 2,
            "mean": random.gamma(2, 1, count),
            "zero": np.full(count, 0.1),
            "count_mean": np.full(count, 1.6),
            "dispersion": np.full(count, 0.2),
            "missing": np.arange(count) == 0,
            "draw": random.random(count),
            "naive": random.poisson(1.5, count).astype(float),
            "window_average_8": random.gamma(2, 1, count),
        }
    )


def in_two_parts(frame: pd.DataFrame) -> pd.DataFrame:
    half = len(frame) // 2
    parts = [cell_sums(part, NAMES) for part in (frame[:half], frame[half:]) if len(part)]
    return pd.concat(parts).groupby(CELL, as_index=False)[measures(NAMES)].sum()


def value(found: list[Figure], model: str, metric: str, segment: str = "all") -> float | None:
    return next(f.value for f in found if (f.model, f.metric, f.segment) == (model, metric, segment))


@settings(max_examples=20)
@given(st.integers(2, 60), st.integers(0, 1000))
def test_sums_of_parts_give_the_metrics_of_the_whole(count: int, seed: int) -> None:
    frame = rows(count, seed)
    frame.loc[0, "y"] = 3.0
    found = figures(in_two_parts(frame), NAMES)
    whole = frame.assign(unique_id=1, rounded=np.rint(frame["window_average_8"]))
    points = ["q50", "mean", "window_average_8", "rounded"]
    wape, rmse = losses.wape(whole, points).iloc[0], losses.rmse(whole, points).iloc[0]
    assert value(found, "forecaster", "wape") == pytest.approx(wape["q50"])
    assert value(found, "window_average_8_rounded", "wape") == pytest.approx(wape["rounded"])
    assert value(found, "forecaster", "rmse") == pytest.approx(rmse["mean"])
    bias = (frame["mean"] - frame["y"]).sum() / frame["y"].sum()
    assert value(found, "forecaster", "bias") == pytest.approx(bias)
    assert value(found, "forecaster", "below_q90") == pytest.approx((frame["y"] < frame["q90"]).mean())
    assert value(found, "forecaster", "at_most_q90") == pytest.approx((frame["y"] <= frame["q90"]).mean())
    horizon = frame[frame["horizon"] == frame.loc[0, "horizon"]]
    of_horizon = value(found, "forecaster", "wape", f"horizon={frame.loc[0, 'horizon']}")
    assert of_horizon == pytest.approx((horizon["y"] - horizon["q50"]).abs().sum() / horizon["y"].sum())


def test_pinball_is_scaled_by_twice_the_mean_loss_over_units() -> None:
    frame = rows(40, 1)
    loss = sum(
        np.maximum(level * (frame["y"] - frame[q]), (level - 1) * (frame["y"] - frame[q])).sum()
        for q, level in (("q10", 0.1), ("q50", 0.5), ("q90", 0.9))
    )
    found = value(figures(in_two_parts(frame), NAMES), "forecaster", "pinball")
    assert found == pytest.approx(2 * loss / 3 / frame["y"].sum())


def test_value_added_is_against_the_best_baseline_and_names_it() -> None:
    frame = rows(50, 2).assign(naive=lambda f: f["y"] + 1, q50=lambda f: f["y"])
    frame["window_average_8"] = frame["y"] + 0.4  # rounding makes it exact
    cells = in_two_parts(frame)
    assert best_baseline(cells, NAMES) == "window_average_8_rounded"
    figure = next(f for f in figures(cells, NAMES) if (f.metric, f.segment) == ("wape", "all"))
    assert (figure.value, figure.baseline) == (0, "window_average_8_rounded")


def test_the_integral_transform_of_the_true_distribution_is_uniform_and_of_a_wrong_one_is_not() -> None:
    count, random = 20_000, np.random.default_rng(3)
    size = 1 / 0.8
    sold = random.negative_binomial(size, size / (size + 2.0), count) * (random.random(count) >= 0.3)
    frame = rows(count, 3).assign(y=sold.astype(float), zero=0.3, count_mean=2.0, dispersion=0.8)
    found = figures(in_two_parts(frame), NAMES)
    shares = np.array([value(found, "forecaster", "pit", f"tenth={tenth}") for tenth in range(1, 11)])
    assert shares.sum() == pytest.approx(1)
    assert np.abs(shares - 0.1).max() < 0.01
    wrong = figures(in_two_parts(frame.assign(count_mean=0.5)), NAMES)
    assert (value(wrong, "forecaster", "pit", "tenth=10") or 0) > 0.2


def test_nothing_sold_gives_no_wape_and_no_error() -> None:
    frame = rows(10, 4).assign(y=0.0)
    found = figures(in_two_parts(frame), NAMES)
    assert value(found, "forecaster", "wape") is None
    assert value(found, "forecaster", "fva") is None
    assert value(found, "forecaster", "missing") == 1


def test_the_bootstrap_interval_holds_the_difference_and_is_repeatable() -> None:
    random = np.random.default_rng(5)
    sold = random.poisson(5, 400).astype(float)
    errors = pd.DataFrame({"y": sold, "ours": random.poisson(2, 400) * 1.0, "theirs": random.poisson(3, 400) * 1.0})
    difference, low, high = bootstrap.interval(errors, seed=1) or (0, 0, 0)
    assert difference == pytest.approx((errors["ours"].sum() - errors["theirs"].sum()) / sold.sum())
    assert low < difference < high < 0
    assert bootstrap.interval(errors, seed=1) == (difference, low, high)
    assert bootstrap.interval(errors.assign(y=0.0), seed=1) is None
