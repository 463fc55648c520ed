"""The recommender's bench trains, scores and compares each origin once, and its document holds every figure."""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from shelfcast import recommender_bench
from shelfcast.backtest import metrics
from shelfcast.config import load
from shelfcast.errors import ConfigError, TableMissing
from shelfcast.evaluate.forecast_metrics import Figure
from shelfcast.evaluate.recommender_summary import bench
from shelfcast.evaluate.run import rows
from shelfcast.lake.ledger import Ledger
from shelfcast.settings import Settings
from shelfcast.stages import EVALUATE, FEATURES, INGEST, SCORE_RECOMMENDATIONS, TRAIN_RECOMMENDER, Stage

DAY = date(2017, 10, 1)
LAST = date(2017, 12, 31)


class Quiet:
    def begin(self, step: str, slice_: str) -> Any:
        return print

    def end(self, done: Any) -> None:
        return None


def measured(recall: float) -> list[Figure]:
    """What one origin has: ours found more than habits, als more than we did of what was new."""
    found = []
    for metric, share in (("recall@10", 1.0), ("ndcg@10", 1.1), ("mrr@10", 1.5)):
        best = "personal_frequency"
        found += [Figure("recommender", metric, "all", recall * share, best), Figure(best, metric, "all", 0.3 * share),
                  Figure("popularity", metric, "all", 0.1 * share), Figure("popularity_unseen", metric, "all", 0.0),
                  Figure("popularity_unseen", metric, "novel=true", 0.03 * share),
                  Figure("als_novel", metric, "novel=true", 0.04 * share),
                  Figure("recommender_novel", metric, "novel=true", 0.05 * share, "als_novel")]  # fmt: skip
    for ending, value in (("difference", recall - 0.3), ("interval_low", 0.01), ("interval_high", 0.09)):
        found.append(Figure("recommender", f"recall@10_{ending}", "all", value, "personal_frequency"))
    found += [Figure("recommender", "users", segment, 7.0) for segment in ("all", "novel=true", "target=tail")]
    found += [Figure("recommender", "recall@10", "target=tail", 0.2, "popularity"),
              Figure("popularity", "recall@10", "target=tail", 0.16),
              Figure("recommender", "coverage@10", "all", 0.25),
              Figure("recommender", "novelty@10", "all", 3.5)]  # fmt: skip
    return found


def stored(recall: float, day: date = DAY, mark: str = "") -> list[dict[str, Any]]:
    return list(rows(measured(recall), day, "run", {"recommender": "v1"}, mark=mark))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Steps that were run; comparing finds the figures above."""
    steps: list[str] = []

    def run(pipeline: Any, stage: Stage, day: date | None = None) -> None:
        steps.append(stage.name)

    def compared(*given: Any) -> list[dict[str, Any]]:
        steps.append("compare")
        return stored(0.36, DAY, "[bench]")

    monkeypatch.setattr("shelfcast.pipeline.Pipeline.run", run)
    monkeypatch.setattr("shelfcast.pipeline.Pipeline.span", lambda _: (date(2017, 1, 1), LAST))
    monkeypatch.setattr(recommender_bench, "_compared", compared)
    monkeypatch.setattr(recommender_bench, "_lists", lambda *_: None)
    monkeypatch.setattr(recommender_bench, "_novel_lists", lambda *_: None)
    return steps


def settings(tmp_path: Any, *sets: str) -> Settings:
    return load([], list(sets), str(tmp_path / "lake")).settings


def test_an_origin_is_compared_once_and_its_figures_stay_beside_the_runs_own(tmp_path, ran) -> None:
    given = settings(tmp_path)
    Ledger(given.lake).replace_metrics(DAY, stored(0.35))
    document = recommender_bench.recommend(given, [DAY], Quiet()).document
    assert ran == [
        stage.name for stage in (INGEST, FEATURES, TRAIN_RECOMMENDER, SCORE_RECOMMENDATIONS, EVALUATE)
    ] + ["compare"]  # fmt: skip
    assert document["mean"]["recommender"]["recall@10"] == pytest.approx(0.36)
    ours = [row for row in metrics(given.lake, DAY, None) if row["metric"] == "recall@10" and row["segment"] == "all"]
    assert {row["model"]: row["value"] for row in ours}["recommender"] == pytest.approx(0.35)
    ran.clear()
    again = recommender_bench.recommend(given, [DAY], Quiet()).document
    assert (ran, again) == ([INGEST.name, FEATURES.name, TRAIN_RECOMMENDER.name], document)
    ran.clear()
    recommender_bench.recommend(settings(tmp_path, "recommender.epochs=1"), [DAY], Quiet())
    assert "compare" in ran


def test_an_origin_whose_horizon_has_not_arrived_is_refused_before_anything_is_trained(tmp_path, ran) -> None:
    with pytest.raises(ConfigError, match=r"origin 2017-12-10: .* until 2018-01-07, has not arrived .*2017-12-31"):
        recommender_bench.recommend(settings(tmp_path), [DAY, date(2017, 12, 10)], Quiet())
    assert ran == [INGEST.name]


def test_a_failed_comparison_is_written_down_and_tried_again(tmp_path, ran, monkeypatch) -> None:
    given = settings(tmp_path)

    def broken(*_: Any) -> None:
        raise TableMissing("nobody bought anything")

    with monkeypatch.context() as patched:
        patched.setattr(recommender_bench, "_compared", broken)
        with pytest.raises(TableMissing):
            recommender_bench.recommend(given, [DAY], Quiet())
    assert [(one.step, one.status) for one in Ledger(given.lake).records()] == [("bench recommend", "failed")]
    recommender_bench.recommend(given, [DAY], Quiet())
    assert [one.status for one in Ledger(given.lake).records()] == ["failed", "done"]


def test_the_document_holds_the_ratio_to_each_origins_best_and_every_figure_behind_it() -> None:
    other = DAY + timedelta(days=28)
    tables, document = bench([*stored(0.36), *stored(0.42, other)], "abc", 10)
    assert (document["bench"], document["configuration"], document["k"]) == ("recommend", "abc", 10)
    assert document["ratio"] == pytest.approx(0.39 / 0.3)
    assert list(document["mean"]) == ["recommender", "personal_frequency", "popularity"]
    assert document["mean"]["recommender"]["novelty@10"] == 3.5
    assert list(document["novel"]) == ["recommender_novel", "als_novel", "popularity_unseen"]
    origin = document["origins"][other.isoformat()]
    assert (origin["model_version"], origin["users"]) == ("v1", 7)
    assert origin["differences"]["all"]["recall@10"] == ["personal_frequency", pytest.approx(0.12), 0.01, 0.09]
    assert origin["segments"]["target=tail"]["recall@10"]["popularity"] == 0.16
    assert origin["novel_differences"]["novel=true"]["recall@10"][0] == "als_novel"
    assert json.loads(json.dumps(document)) == document

    accuracy, novel, spread, parts = tables
    assert [column.header for column in accuracy.columns] == ["model", "2017-10-01", "2017-10-29", "mean"]
    assert list(accuracy.columns[1].cells)[1] == "0.3000 · 0.3300 · 0.4500 *"
    assert list(accuracy.columns[1].cells)[-2] == "+0.010 … +0.090"
    assert list(novel.columns[0].cells)[:3] == ["recommender_novel", "als_novel", "popularity_unseen"]
    assert next(iter(spread.columns[1].cells)) == "0.2500 · 3.50"
    assert [next(iter(column.cells)) for column in parts.columns][:5] == [
        "target=tail",
        "7",
        "0.2000",
        "0.1600",
        "+25.0%",
    ]


def test_without_measured_lists_it_says_so() -> None:
    with pytest.raises(TableMissing, match="has not arrived"):
        bench([], "abc", 10)
