"""A backtest's document holds the ratio and every figure behind it."""

import json
from datetime import date
from typing import Any

import pytest

from shelfcast.errors import TableMissing
from shelfcast.evaluate.summary import bench

ORIGINS = (date(2017, 10, 1), date(2017, 10, 29))


def row(day: date, model: str, metric: str, value: float, segment: str = "all", baseline: str | None = None) -> Any:
    version = "v1" if model == "forecaster" else "-"
    return {
        "as_of": day, "model": model, "model_version": version, "metric": metric, "segment": segment,
        "value": value, "baseline": baseline, "run_id": "r",
    }  # fmt: skip


ROWS = [
    row(ORIGINS[0], "forecaster", "wape", 0.60, baseline="moving_median_8"),
    row(ORIGINS[0], "moving_median_8", "wape", 0.68),
    row(ORIGINS[0], "naive", "wape", 0.84),
    row(ORIGINS[0], "forecaster", "pit", 0.13, "tenth=1"),
    row(ORIGINS[1], "forecaster", "wape", 0.62, baseline="naive"),
    row(ORIGINS[1], "forecaster", "wape", 0.5, "horizon=1", baseline="naive"),
    row(ORIGINS[1], "naive", "wape", 0.70),
    row(ORIGINS[1], "recommender", "recall@10", 0.37, baseline="personal_frequency"),
]


def test_the_ratio_is_the_mean_wape_over_the_mean_of_each_origins_best_baseline() -> None:
    _, document = bench({"display,mailer": ROWS}, "abc")
    assert (document["bench"], document["configuration"], document["planned"]) == ("forecast", "abc", "display,mailer")
    assert document["ratio"] == pytest.approx((0.60 + 0.62) / (0.68 + 0.70))
    assert document["mean"]["wape"] == pytest.approx(0.61)
    first, second = (document["origins"][day.isoformat()] for day in ORIGINS)
    assert (first["wape"], first["best_baseline"], first["pit"]) == (0.60, "moving_median_8", [0.13])
    assert list(first["baselines"]) == ["moving_median_8", "naive"]
    assert second["segments"]["wape"] == {"horizon=1": 0.5}
    assert json.loads(json.dumps(document)) == document


def test_lightgbm_is_no_statistical_baseline_and_differences_are_told_against_both() -> None:
    day = ORIGINS[0]
    rows = [
        row(day, "forecaster", "wape", 0.60, baseline="lightgbm_l1_rounded"),
        row(day, "lightgbm_l1_rounded", "wape", 0.61),
        row(day, "naive", "wape", 0.8),
        row(day, "forecaster", "lightgbm_wape_difference", -0.01, baseline="lightgbm_l1_rounded"),
        row(day, "forecaster", "lightgbm_wape_interval_low", -0.02, baseline="lightgbm_l1_rounded"),
        row(day, "forecaster", "lightgbm_wape_interval_high", -0.005, baseline="lightgbm_l1_rounded"),
        row(day, "lightgbm_quantile", "pinball", 0.5),
    ]
    shown, document = bench({"none": rows}, "abc")
    assert document["ratios"]["lightgbm_l1_rounded"] == pytest.approx(0.60 / 0.61)
    assert document["ratios"]["best_statistical"] == pytest.approx(0.60 / 0.8)
    origin = document["origins"][day.isoformat()]
    assert origin["wape_differences"]["lightgbm_l1_rounded"] == {"all": [-0.01, -0.02, -0.005]}
    assert origin["baselines"]["lightgbm_quantile"] == {"pinball": 0.5}
    assert any("-0.020 … -0.005" in cell for column in shown[1].columns for cell in column.cells)


def test_ways_are_kept_apart() -> None:
    worse = [{**one, "value": one["value"] + 0.1} for one in ROWS]
    shown, document = bench({"display,mailer": ROWS, "mailer": worse}, "abc")
    assert document["model_wape"] == pytest.approx(0.61)
    assert document["ways"]["mailer"]["model_wape"] == pytest.approx(0.71)
    titles = [table.title.split(" · ")[0] for table in shown if table.title and "known" in table.title]
    assert titles == ["Plans known ahead: display,mailer", "Plans known ahead: mailer"]


def test_the_table_has_a_row_per_model_and_a_column_per_origin() -> None:
    (table, *_), _ = bench({"display,mailer": ROWS}, "abc")
    assert [column.header for column in table.columns] == ["model", "2017-10-01", "2017-10-29", "mean"]
    assert list(table.columns[0].cells)[:3] == ["forecaster", "moving_median_8", "naive"]
    assert list(table.columns[1].cells)[1] == "0.680 · – · – *"
    assert next(iter(table.columns[3].cells)) == "0.610 · – · –"


def test_without_measured_forecasts_it_says_so() -> None:
    with pytest.raises(TableMissing, match="has not arrived"):
        bench({"display,mailer": ROWS[-1:]}, "abc")
