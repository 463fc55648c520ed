"""Figures follow from sums per cell, and are what the same formula gives on all rows at once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from utilsforecast import losses

from shelfcast.evaluate import bootstrap
from shelfcast.evaluate.forecast_metrics import Figure, best_baseline, figures, segments
from shelfcast.evaluate.sums import CELL, cell_sums, measures, rival_quantiles
from shelfcast.evaluate.traits import naive_square

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


def test_coverage_of_the_upper_quantile_is_the_share_of_transforms_up_to_nine_tenths() -> None:
    found = figures(in_two_parts(rows(200, 6)), NAMES)
    tenths = [value(found, "forecaster", "pit", f"tenth={tenth}") or 0 for tenth in range(1, 10)]
    assert value(found, "forecaster", "coverage_q90") == pytest.approx(sum(tenths))
    assert value(found, "forecaster", "coverage_q90", "decile=1") is not None


def test_a_rival_that_forecasts_quantiles_is_measured_by_the_same_pinball_raw_and_rounded() -> None:
    levels = {"lightgbm_q10": 0.1, "lightgbm_l1": 0.5, "lightgbm_q90": 0.9}
    frame = rows(60, 7)
    frame = frame.assign(lightgbm_q10=frame["q10"] + 0.3, lightgbm_l1=frame["q50"] + 0.3, lightgbm_q90=frame["q90"])
    assert rival_quantiles(list(levels)) == levels
    assert rival_quantiles(["lightgbm_l1"]) == {}
    found = figures(cell_sums(frame, [*NAMES, "lightgbm_l1"], levels), [*NAMES, "lightgbm_l1"])
    loss = sum(losses.quantile_loss(frame.assign(unique_id=1), {q: q}, level)[q].iloc[0] for q, level in levels.items())
    expected = 2 * loss * len(frame) / 3 / frame["y"].sum()
    assert value(found, "lightgbm_quantile", "pinball") == pytest.approx(expected)
    ours = value(found, "forecaster", "pinball")
    assert value(found, "lightgbm_quantile_rounded", "pinball") == pytest.approx(ours)


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(0, 9).map(float), min_size=2, max_size=8), min_size=1, max_size=4))
def test_what_rmsse_divides_by_is_that_of_utilsforecast(histories: list[list[float]]) -> None:
    units = np.zeros((len(histories), 8))
    for row, history in zip(units, histories, strict=True):
        row[8 - len(history) :] = history
    scale = naive_square(units, np.array([len(history) for history in histories]))
    for history, found in zip(histories, scale, strict=True):
        train = pd.DataFrame({"unique_id": 1, "ds": range(len(history)), "y": history})
        ahead = pd.DataFrame({"unique_id": [1], "ds": [99], "y": [3.0], "m": [1.0]})
        if found > 0:
            theirs = losses.rmsse(ahead, ["m"], seasonality=1, train_df=train)["m"].iloc[0]
            assert theirs == pytest.approx(2 / found**0.5)


def paired(seed: int) -> pd.DataFrame:
    """400 series over two horizons; smooth ones are forecast better than by the rival, lumpy ones as well as by it."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"series": np.repeat(np.arange(400), 2), "horizon": np.tile([1, 2], 400)})
    smooth = frame["series"] % 2 == 0
    frame["demand_class"] = np.where(smooth, "smooth", "lumpy")
    frame["decile"], frame["promoted"] = 1, False
    frame["y"] = random.poisson(5, 800).astype(float)
    frame["ours"] = random.poisson(2, 800).astype(float)
    frame["theirs"] = frame["ours"].sample(frac=1, random_state=seed).to_numpy() + np.where(smooth, 1.0, 0.0)
    return frame


def test_the_bootstrap_interval_holds_the_difference_overall_and_by_segment_and_is_repeatable() -> None:
    frame = paired(5)
    found = {segment: values for segment, _, values in bootstrap.intervals(frame, ["theirs"], seed=1)}
    for segment, rows_of in segments(frame):
        part = frame[rows_of]
        difference, low, high = found[segment]
        assert difference == pytest.approx((part["ours"] - part["theirs"]).sum() / part["y"].sum())
        assert low < difference < high
    assert found["class=smooth"][2] < 0
    assert found["class=lumpy"][1] < 0 < found["class=lumpy"][2]
    again = {segment: values for segment, _, values in bootstrap.intervals(frame, ["theirs"], seed=1)}
    assert again == found
    assert list(bootstrap.intervals(frame.assign(y=0.0), ["theirs"], seed=1)) == []


def test_the_bootstrap_draws_whole_series() -> None:
    """Doubling every row of a series must not make the interval narrower."""
    frame = paired(6)
    twice = pd.concat([frame, frame])
    once, doubled = (next(iter(bootstrap.intervals(f, ["theirs"], seed=1)))[2] for f in (frame, twice))
    assert doubled == pytest.approx(once)
