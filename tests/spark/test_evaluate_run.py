"""The evaluation step on a small lake: what it measures, when it waits, and that baselines know no future."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError, TableMissing
from shelfcast.evaluate.run import run
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Step
from shelfcast.lake.tables import contract
from shelfcast.settings import Settings
from shelfcast.train import boosting

AS_OF = date(2024, 3, 3)
CONTEXT, HORIZON = 30, 2
HISTORIES = {"fast": [4.0, 6.0] * 15, "slow": [0.0, 2.0, 0.0] * 4, "rare": [1.0]}
TRUTH = {"fast": [7.0, 5.0], "slow": [0.0, 3.0]}
MEDIAN = {"fast": [5.0, 5.0], "slow": [0.0, 1.0]}
StepMaker = Callable[..., Step]


@pytest.fixture
def small(configured: Callable[..., Settings]) -> Settings:
    return configured(
        f"windows.context={CONTEXT}", f"windows.horizon={HORIZON}", "windows.stride=10", "evaluate.min_sale_weeks=4",
        "evaluate.baselines=[naive, seasonal_naive, moving_median_8, imapa]", "evaluate.season=52",
        "rivals.rounds=3", "rivals.rows_in_leaf=2", "rivals.min_sale_periods=2",
    )  # fmt: skip


def frame(spark: SparkSession, table: str, rows: list[dict[str, Any]]) -> DataFrame:
    """Rows of a table; columns that are not given are null."""
    promised = contract(table)
    return spark.createDataFrame([tuple(row.get(c.name) for c in promised.columns) for row in rows], promised.schema())


def event(product: str, day: date, quantity: float, kind: str = "purchase") -> dict[str, Any]:
    return {
        "event_id": f"{product}-{day}-{kind}", "event_time": day, "event_date": day,
        "week_start": day - timedelta(days=day.weekday()), "event_type": kind, "user_id": "u", "product_id": product,
        "store_id": "s1", "quantity": quantity, "source": "test", "ingest_id": "i", "ingested_at": day,
    }  # fmt: skip


def events(days_after: int) -> list[dict[str, Any]]:
    """The truth as a log, with a return, up to some day after as_of."""
    found = [event("fast", AS_OF, 4.0)]
    for product, units in TRUTH.items():
        for week, sold in enumerate(units):
            day = AS_OF + timedelta(days=7 * week + 3)
            found.append(event(product, day, sold + 1))
            found.append(event(product, day, 1.0, "return"))
    found.append(event("rare", AS_OF + timedelta(days=days_after), 9.0))
    return [row for row in found if row["event_date"] <= AS_OF + timedelta(days=days_after)]


def series(product: str) -> dict[str, Any]:
    return {"grain": "week.product", "product_id": product, "store_id": "*"}


def write_log(step: Step, rows: list[dict[str, Any]]) -> None:
    stamped = [{**r, **{n: r[n].strftime("%Y-%m-%d") for n in ("event_time", "ingested_at")}} for r in rows]
    names = [c.name for c in contract("silver/events").columns]
    typed = {c.name: c.type for c in contract("silver/events").columns}
    ddl = ", ".join(f"{n} {'string' if typed[n] == 'timestamp' else typed[n]}" for n in names)
    raw = step.spark.createDataFrame([tuple(r.get(n) for n in names) for r in stamped], ddl)
    cast = {n: F.col(n).cast("timestamp") for n in ("event_time", "ingested_at")}
    step.replace("silver/events", raw.withColumns(cast))


def write_gold(step: Step) -> None:
    ahead = {n: [0.0] * (CONTEXT + HORIZON) for n in (
        "display", "display_main", "mailer", "mailer_main", "holiday", "month_start", "year_phase")}  # fmt: skip
    past = {n: [0.0] * CONTEXT for n in ("orders", "price", "discount")} | {"available": [1.0] * CONTEXT}
    windows, lives = [], []
    for product, history in HISTORIES.items():
        padded = [0.0] * (CONTEXT - len(history)) + history
        windows.append({**series(product), "cutoff": AS_OF, "bucket": 1, "age": len(history), "length": len(history),
                        "listed": HORIZON, "units": padded, **past, **ahead})  # fmt: skip
        sold = sum(units > 0 for units in history)
        lives.append({**series(product), "as_of": AS_OF, "first_sale": AS_OF, "last_sale": AS_OF, "sale_periods": sold,
                      "units": sum(history), "status": "active"})  # fmt: skip
    step.replace("gold/windows", frame(step.spark, "gold/windows", windows))
    step.replace("gold/series", frame(step.spark, "gold/series", lives))
    forecasts = [
        {**series(product), "as_of": AS_OF, "target_start": AS_OF + timedelta(days=7 * h + 1), "horizon": h + 1,
         "cumulative": False, "q10": 0.0, "q50": median, "q90": 9.0, "mean": median,
         "distribution": ("zinb", 0.0, median + 0.1, 0.5), "model_version": "m1"}
        for product, medians in MEDIAN.items() for h, median in enumerate(medians)
    ]  # fmt: skip
    step.replace("gold/forecasts", frame(step.spark, "gold/forecasts", forecasts))


def metrics(step: Step) -> dict[tuple[str, str, str], float]:
    rows = Snapshot(step.lake.uri, "ops/metrics").arrow(where=pc.field("as_of") == AS_OF).to_pylist()
    return {(row["model"], row["metric"], row["segment"]): row["value"] for row in rows}


def test_it_waits_for_the_truth_then_measures_what_has_arrived_and_baselines_know_no_future(
    step: StepMaker, small: Settings
) -> None:
    said: list[str] = []
    given = step(as_of=AS_OF, settings=small, say=said.append)
    write_gold(given)
    write_log(given, events(6))
    outcome = run(step(as_of=AS_OF, settings=small, say=said.append))
    assert said == ["week.product: 0 of 2 weeks after 2024-03-03 have arrived"]
    assert (outcome.rows_out, outcome.contents, given.has("ops/metrics")) == (0, {}, False)

    write_log(step(), events(7))
    run(step(as_of=AS_OF, settings=small, say=said.append))
    assert "seasonal_naive is left out: it needs 52 periods of history, the longest has 30" in said
    half = metrics(given)
    assert half["forecaster", "series", "all"] == 2  # rare sold in fewer than four periods
    assert half["forecaster", "wape", "all"] == pytest.approx(2 / 7)
    assert half["naive", "wape", "all"] == pytest.approx(1 / 7)

    write_log(step(), events(14))
    outcome = run(step(as_of=AS_OF, settings=small))
    full = metrics(given)
    assert outcome.contents["ops/metrics"].keys() == {AS_OF.isoformat()}
    # the median misses 2 and 0 pieces of fast, 0 and 2 of slow; 15 were sold
    assert full["forecaster", "wape", "all"] == pytest.approx(4 / 15)
    assert full["forecaster", "wape", "horizon=1"] == half["forecaster", "wape", "all"]
    assert full["forecaster", "missing", "all"] == 0
    assert full["forecaster", "units", "class=intermittent"] == 3
    # naive says 6 for fast and 0 for slow; it said so before the second week was known
    assert full["naive", "wape", "all"] == pytest.approx((1 + 1 + 0 + 3) / 15)
    assert full["naive", "wape", "horizon=1"] == half["naive", "wape", "all"]
    assert not any(model.startswith("seasonal") for model, _, _ in full)


def test_a_lake_without_scores_or_with_missing_windows_is_refused(step: StepMaker, small: Settings) -> None:
    given = step(as_of=AS_OF, settings=small)
    write_log(given, events(14))
    with pytest.raises(TableMissing, match="run score --as-of 2024-03-03"):
        run(step(as_of=AS_OF, settings=small))
    write_gold(given)
    lives = given.read("gold/series").withColumn("product_id", F.concat("product_id", F.lit("-lost")))
    step().replace("gold/series", lives.localCheckpoint())
    with pytest.raises(ReconciliationError, match=r"0 of the 2 active week\.product series"):
        run(step(as_of=AS_OF, settings=small))


def test_boosters_of_the_same_windows_are_measured_beside_and_a_way_of_knowing_plans_leaves_the_others_alone(
    step: StepMaker, small: Settings
) -> None:
    given = step(as_of=AS_OF, settings=small)
    write_gold(given)
    write_log(given, events(14))
    trained = boosting.run(step(as_of=AS_OF, settings=small))
    models = {"boosting": trained.counts["folder"]}
    assert boosting.run(step(as_of=AS_OF, settings=small)).counts == trained.counts  # it is finished already
    run(step(as_of=AS_OF, settings=small, models=models))
    found = metrics(given)
    rivals = {model for model, metric, _ in found if metric == "wape" and model.startswith("lightgbm")}
    assert rivals == {f"lightgbm_{name}{ending}" for name in ("l1", "tweedie") for ending in ("", "_rounded")}
    for name in ("lightgbm_l1", "lightgbm_tweedie"):
        assert 0 < found[name, "wape", "all"] < 1.5
        assert found[name, "rmsse", "all"] > 0
    assert found["lightgbm_quantile", "pinball", "all"] > 0
    low, high = (found["forecaster", f"lightgbm_wape_interval_{end}", "all"] for end in ("low", "high"))
    assert low <= found["forecaster", "lightgbm_wape_difference", "all"] <= high
    # fast steps by 2 pieces from week to week, and the mean missed it by 2 and 0; slow by 2, 2, 0 and missed by 0 and 2
    fast, slow = (2 / 4) ** 0.5, (2 / (4 * 8 / 11)) ** 0.5
    assert found["forecaster", "rmsse", "all"] == pytest.approx((fast + slow) / 2)
    assert found["forecaster", "rmsse_weighted", "all"] == pytest.approx((10 * fast + 2 * slow) / 12)

    evaluate = small.evaluate.model_copy(update={"way": "none", "baselines": ["naive"]})
    run(step(as_of=AS_OF, settings=small.model_copy(update={"evaluate": evaluate}), models=models))
    both = metrics(given)
    assert both.items() >= found.items()
    assert both["naive[none]", "wape", "all"] == found["naive", "wape", "all"]
    assert not any(model.startswith("imapa") and model.endswith("]") for model, _, _ in both)
