"""What the report reads from a lake."""

import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest
from report_lake import (
    AS_OF,
    TARGETS,
    demand,
    event,
    facts,
    forecasts,
    metric,
    place,
    product,
    put,
    ran,
    refused,
    series,
    settings,
    window,
)

from shelfcast.lake.ledger import Ledger
from shelfcast.lake.step import Outcome
from shelfcast.report.accuracy import metrics
from shelfcast.report.reader import Reader

WEEK = date(2024, 2, 26)  # the last week before AS_OF's end


def test_sums_fold_batches_into_one_row_per_key_and_count_rows(tmp_path: Path) -> None:
    put(tmp_path, "gold/demand", demand("a", WEEK, 2.0), demand("b", WEEK, 3.0))
    put(tmp_path, "gold/demand", demand("a", WEEK - timedelta(7), 5.0))
    sums = Reader(str(tmp_path), {}).sums("gold/demand", ["period_start"], ["units"])
    assert sums.to_pylist() == [
        {"period_start": WEEK - timedelta(7), "units": 5.0, "rows": 1},
        {"period_start": WEEK, "units": 5.0, "rows": 2},
    ]


def test_top_keeps_the_largest_over_all_files_with_ties_by_name(tmp_path: Path) -> None:
    for rows in (["c", "a"], ["b"]):
        put(tmp_path, "gold/demand", *(demand(name, WEEK, 9.0 if name == "c" else 1.0) for name in rows))
    best = Reader(str(tmp_path), {}).top("gold/demand", ["product_id", "units"], "units", 2)
    assert best["product_id"].to_pylist() == ["c", "a"]


def test_a_missing_table_reads_as_empty(tmp_path: Path) -> None:
    reader = Reader(str(tmp_path), {})
    assert reader.rows("gold/series", ["units"], pc.field("units") > 0).num_rows == 0
    assert reader.sums("gold/series", ["status"], ["units"]).column_names == ["status", "units", "rows"]


def test_published_versions_are_read_and_truth_at_its_newest(tmp_path: Path) -> None:
    put(tmp_path, "gold/demand", demand("a", WEEK, 1.0))
    put(tmp_path, "gold/demand", demand("b", WEEK, 1.0))
    reader = Reader(str(tmp_path), {"gold/demand": 0})
    assert reader.rows("gold/demand", ["product_id"])["product_id"].to_pylist() == ["a"]
    assert reader.rows("gold/demand", ["product_id"], newest=True).num_rows == 2


def test_truth_comes_from_events_until_demand_is_built_and_partial_weeks_are_not_truth(tmp_path: Path) -> None:
    put(tmp_path, "gold/demand", demand("a", WEEK, 4.0), demand("a", TARGETS[0], 7.0))
    put(tmp_path, "gold/series", series("a", 4.0))
    put(tmp_path, "gold/forecasts", *forecasts("a", 2.0))
    put(tmp_path, "gold/windows", window("a", [4.0]))
    sold = [event("a", TARGETS[1], quantity=3.0), event("a", TARGETS[1] + timedelta(6), event_type="return")]
    put(tmp_path, "silver/events", *sold, event("a", TARGETS[2]))
    found = facts(tmp_path)
    assert found.total is not None
    assert found.total.periods == [WEEK]
    assert found.total.truth == [7.0, 2.0, None, None]
    assert found.chosen[0].truth == [7.0, 2.0, None, None]
    assert found.worst[0].error == 5.0


def test_the_worst_series_is_one_that_sold_and_was_not_expected_to(tmp_path: Path) -> None:
    put(tmp_path, "gold/demand", demand("quiet", WEEK, 1.0), demand("loud", WEEK, 90.0))
    put(tmp_path, "gold/demand", demand("quiet", TARGETS[0], 60.0), demand("loud", TARGETS[0], 88.0))
    put(tmp_path, "gold/forecasts", *forecasts("quiet", 1.0), *forecasts("loud", 90.0))
    assert [line.product.product_id for line in facts(tmp_path).worst if line.product] == ["quiet", "loud"]


def test_chosen_series_are_sellers_promoted_and_intermittent_ones(tmp_path: Path) -> None:
    rare = {"sale_periods": 5, "first_sale": date(2023, 3, 6), "last_sale": AS_OF}
    put(tmp_path, "gold/demand", demand("big", WEEK, 50.0))
    put(tmp_path, "gold/series", series("big", 900.0), series("deal", 300.0), series("rare", 9.0, **rare))
    put(tmp_path, "gold/series", series("gone", 5000.0, status="ended"))
    put(tmp_path, "gold/forecasts", *(row for name in ("big", "deal", "rare", "gone") for row in forecasts(name, 3.0)))
    put(tmp_path, "gold/windows", window("deal", [1.0, 2.0], promoted=(1, 2)))
    plan = {"display": 0.5, "display_main": 0.0, "mailer": 0.0, "mailer_main": 0.0}
    put(tmp_path, "gold/covariates", demand("deal", TARGETS[0], 0.0) | plan | {"units": None})
    chosen = facts(tmp_path, report={"series": 3}).chosen
    assert [(line.why, line.product.product_id) for line in chosen if line.product] == [
        ("Top seller", "big"), ("Promotion planned", "deal"), ("Sells now and then", "rare"),
    ]  # fmt: skip
    assert chosen[1].promoted == [WEEK, TARGETS[0]]


def test_ingests_add_up_and_one_that_was_cleaned_again_counts_once(tmp_path: Path) -> None:
    def ingest(name: str, read: int) -> None:
        counts = {"source": "shop", "input": "sales", "read": read, "silver": read, "quarantined": 0}
        counts |= {"duplicates": 0, "superseded": 0, "imputed": {"quantity": 2}}
        contents = {"silver/quarantine": {f"shop.sales.{name}": "x"}}
        ran(tmp_path, "ingest", "*", Outcome(counts={"inputs": [counts]}, contents=contents), run_id=f"{name}{read}")

    ingest("first", 10)
    ingest("second", 5)
    ingest("first", 11)
    flow = facts(tmp_path).intake.flows[0]
    assert (flow.read, flow.accounted, flow.closes, flow.imputed) == (16, 16, True, {"quantity": 4})


def test_refused_records_are_explained_and_shown_without_persons(tmp_path: Path) -> None:
    record = json.dumps({"customer": "c77", "phone": "5550100", "sku": "gift", "pieces": "1", "note": "call 5550100"})
    put(tmp_path, "silver/quarantine", refused("1", ["gift_cards"], record), refused("2", ["no_such_rule"], "{broken"))
    intake = facts(tmp_path).intake
    assert [(one.rule, one.refuses, one.records) for one in intake.refusals] == [
        ("gift_cards", "gift cards & vouchers", 1), ("no_such_rule", "", 1),
    ]  # fmt: skip
    assert [one.values for one in intake.examples] == [[("sku", "gift"), ("pieces", "1")], []]


def test_lists_stand_beside_what_was_bought_and_hits_are_marked(tmp_path: Path) -> None:
    put(tmp_path, "gold/recommendations", place("u1", 1, "milk"), place("u1", 2, "tea"), place("u2", 1, "milk"))
    put(tmp_path, "silver/products", product("milk", product_type="FLUID  MILK", brand="Private"))
    put(tmp_path, "silver/events", event("milk", TARGETS[0], quantity=2.0), event("salt", TARGETS[1]))
    put(tmp_path, "silver/events", event("tea", AS_OF), event("tea", AS_OF + timedelta(days=60)))
    found = facts(tmp_path).lists
    first = found.samples[0]
    assert [(one.product.name, one.hit) for one in first.places] == [("Fluid milk", True), ("Product tea", False)]
    assert [(one.name, pieces, hit) for one, pieces, hit in first.bought] == [
        ("Fluid milk", 2.0, True), ("Product salt", 1.0, False),
    ]  # fmt: skip
    assert (found.users, found.until) == (2, TARGETS[1])


def test_a_small_group_is_not_counted_out_nor_the_one_it_could_be_computed_from(tmp_path: Path) -> None:
    reasons = ["repeat"] * 9 + ["novel"] * 6 + ["popular"] * 2
    put(tmp_path, "gold/recommendations", *(place(f"u{i}", 1, "milk", reason) for i, reason in enumerate(reasons)))
    shown = {one.reason: one.users for one in facts(tmp_path, report={"smallest_group": 5}).lists.reasons}
    assert shown == {"repeat": 9, "novel": None, "popular": None}


def test_metrics_know_the_best_baseline_and_what_the_forecast_adds(tmp_path: Path) -> None:
    Ledger(str(tmp_path)).replace_metrics(
        AS_OF,
        [
            metric("forecaster", "wape", 0.6, baseline="naive"), metric("naive", "wape", 0.8),
            metric("imapa", "wape", 0.7), metric("forecaster", "wape", 0.5, "horizon=10"),
            metric("forecaster", "wape", 0.4, "horizon=2"), metric("forecaster", "bias", float("nan")),
        ],
    )  # fmt: skip
    found = metrics(Reader(str(tmp_path), {}), AS_OF)
    assert [score.model for score in found.ranked("wape", "forecaster")] == ["forecaster", "imapa", "naive"]
    best = found.best_baseline("wape", "forecaster")
    assert best is not None
    assert best.model == "naive"
    assert abs((found.value_added() or 0) - 0.25) < 1e-12
    assert found.segments("wape", "forecaster") == {"horizon": ["horizon=2", "horizon=10"]}
    assert found.value("forecaster", "bias") is None


def test_steps_of_this_run_come_with_those_it_could_reuse(tmp_path: Path) -> None:
    ran(tmp_path, "ingest", "*", Outcome(rows_in=3), run_id="earlier")
    ran(tmp_path, "features", "2024-02-25", Outcome(), run_id="earlier")
    ran(tmp_path, "features", AS_OF.isoformat(), Outcome(rows_out=7))
    assert [(one.step, one.slice, one.reused) for one in facts(tmp_path).steps] == [
        ("ingest", "*", True), ("features", "2024-03-03", False),
    ]  # fmt: skip


def test_daily_grains_speak_of_days(tmp_path: Path) -> None:
    grain = {"grain": "day.product_store", "store_id": "7"}
    rows = [row | grain for row in forecasts("a", 2.0)]
    days = [AS_OF + timedelta(days=i) for i in range(1, 5)]
    put(tmp_path, "gold/forecasts", *(row | {"target_start": day} for row, day in zip(rows, days, strict=True)))
    put(tmp_path, "gold/demand", demand("a", AS_OF, 2.0) | grain | {"week_start": WEEK})
    put(tmp_path, "silver/events", event("a", days[0], store_id="7"), event("a", days[1], store_id="8"))
    found = facts(tmp_path, demand={"grains": ["day.product_store"]})
    assert found.at.unit == "day"
    assert found.total is not None
    assert found.total.truth == [1.0, 1.0, None, None]
    assert [(one.store_id, one.truth[:2]) for one in found.worst] == [("7", [1.0, 0.0])]
    assert settings(tmp_path).demand.grains == ["week.product"]


def test_ways_of_knowing_plans_are_kept_apart_from_the_runs_own_figures(tmp_path: Path) -> None:
    own = [metric("forecaster", "wape", 0.6, baseline="ses"), metric("ses", "wape", 0.8),
           metric("lightgbm_l1_rounded", "wape", 0.61)]  # fmt: skip
    marked = [{**row, "model": row["model"] + "[mailer]", "value": row["value"] + 0.02,
               "baseline": "ses[mailer]" if row["baseline"] else None} for row in own]  # fmt: skip
    Ledger(str(tmp_path)).replace_metrics(AS_OF, own)
    Ledger(str(tmp_path)).replace_metrics(AS_OF, marked, "mailer")
    Ledger(str(tmp_path)).replace_metrics(AS_OF, own)  # an evaluation of the run's own leaves the others
    found = metrics(Reader(str(tmp_path), {}), AS_OF)
    assert [score.model for score in found.ranked("wape", "forecaster")] == ["forecaster", "lightgbm_l1_rounded", "ses"]
    assert found.best_of("wape", "forecaster", boosted=False).model == "ses"
    assert found.best_of("wape", "forecaster", boosted=True).value == 0.61
    assert found.ways["mailer"].value("forecaster", "wape") == pytest.approx(0.62)
    assert found.ways["mailer"].best["wape", "all"] == "ses"
