"""The bench runs every way of knowing plans at every origin, once, and keeps their figures apart."""

from datetime import date
from typing import Any

import pytest

from shelfcast import backtest
from shelfcast.config import load
from shelfcast.errors import ConfigError
from shelfcast.lake.ledger import Ledger
from shelfcast.settings import Settings
from shelfcast.stages import EVALUATE, SCORE_FORECASTS, TRAIN_BOOSTING, TRAIN_FORECASTER, Stage

DAY = date(2017, 10, 1)
WAPE = {None: 0.60, "mailer": 0.63, "none": 0.66}


class Quiet:
    def begin(self, step: str, slice_: str) -> Any:
        return print

    def end(self, done: Any) -> None:
        return None


def figure(model: str, value: float) -> dict[str, Any]:
    return {
        "as_of": DAY, "model": model, "model_version": "-", "metric": "wape", "segment": "all", "value": value,
        "baseline": "naive", "run_id": "r",
    }  # fmt: skip


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Steps that were run: name and way. Evaluating writes the figures that a way would have."""
    steps: list[tuple[str, str | None]] = []

    def run(pipeline: Any, stage: Stage, day: date | None = None) -> None:
        way = pipeline.settings.evaluate.way
        steps.append((stage.name, way))
        if stage is EVALUATE:
            mark = f"[{way}]" if way else ""
            rows = [figure("forecaster" + mark, WAPE[way]), figure("naive" + mark, 0.8)]
            rows = [{**row, "baseline": "naive" + mark} for row in rows]
            Ledger(pipeline.settings.lake).replace_metrics(DAY, rows, way)

    monkeypatch.setattr("shelfcast.pipeline.Pipeline.run", run)
    return steps


def settings(tmp_path: Any, *sets: str) -> Settings:
    return load([], list(sets), str(tmp_path / "lake")).settings


def test_three_ways_have_figures_of_their_own_and_the_configured_one_comes_last(tmp_path, ran) -> None:
    result = backtest.forecast(settings(tmp_path), [DAY], Quiet(), backtest.WAYS)
    trained = [way for step, way in ran if step == TRAIN_FORECASTER.name]
    assert trained == ["mailer", "none", None]
    document = result.document
    assert (document["planned"], document["model_wape"]) == ("display,mailer", 0.60)
    assert {name: way["model_wape"] for name, way in document["ways"].items()} == {"mailer": 0.63, "none": 0.66}
    assert document["ways"]["none"]["origins"]["2017-10-01"]["best_baseline"] == "naive"


def test_a_way_that_is_unchanged_is_not_computed_again(tmp_path, ran) -> None:
    given = settings(tmp_path)
    first = backtest.forecast(given, [DAY], Quiet(), backtest.WAYS).document
    ran.clear()
    again = backtest.forecast(given, [DAY], Quiet(), backtest.WAYS).document
    assert {way for _, way in ran} == {None}  # whose steps the pipeline itself skips
    assert again == first
    ran.clear()
    backtest.forecast(settings(tmp_path, "forecaster.epochs=1"), [DAY], Quiet(), backtest.WAYS)
    assert {way for _, way in ran} == {None, "mailer", "none"}


def test_lightgbm_is_trained_unless_no_objective_is_asked_for(tmp_path, ran) -> None:
    backtest.forecast(settings(tmp_path), [DAY], Quiet())
    assert (TRAIN_BOOSTING.name, None) in ran
    ran.clear()
    backtest.forecast(settings(tmp_path, "rivals.objectives=[]"), [DAY], Quiet())
    assert [step for step, _ in ran][2:] == [TRAIN_FORECASTER.name, SCORE_FORECASTS.name, EVALUATE.name]


def test_the_configurations_hash_follows_what_decides_the_forecaster_and_nothing_else(tmp_path) -> None:
    plain = backtest.configuration(settings(tmp_path))
    assert plain == backtest.configuration(settings(tmp_path, "report.series=3", "rivals.rounds=7"))
    assert plain != backtest.configuration(settings(tmp_path, "forecaster.planned=[mailer]"))


def test_a_change_of_lightgbm_does_not_train_the_forecaster_anew() -> None:
    from shelfcast.stages import _reached

    names = {path.name for path in _reached("shelfcast.train.forecaster")}
    assert {"forecaster_rank.py", "forecaster_fit.py", "window_tensors.py", "forecaster.py"} <= names
    assert not any("boosting" in name for name in names)
    rival = {path.name for path in _reached("shelfcast.train.boosting")}
    assert {"boosting_features.py", "windows_share.py"} <= rival
    assert "forecaster_fit.py" not in rival


def test_another_grain_or_part_has_a_lake_of_its_own_and_an_unknown_grain_is_refused(tmp_path) -> None:
    given = settings(tmp_path)
    assert backtest.part(given, None, None) is given
    finer = backtest.part(given, "week.product_store", 200)
    assert (finer.demand.grains, finer.demand.products) == (["week.product_store"], 200)
    assert finer.lake == f"{given.lake}-week.product_store-200"
    assert finer.forecaster == given.forecaster
    with pytest.raises(ConfigError, match=r"--grain year\.product"):
        backtest.part(given, "year.product", None)
