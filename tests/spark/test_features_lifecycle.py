"""The ends of a product's life in gold: never sold, about to be dropped, out of stock."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from features_frames import event, frame, rows
from pyspark.sql import SparkSession
from test_features_windows import CUTOFF, WEEK, known, sold, week

from shelfcast.features import launches, lifecycle, lost_demand, series, windows
from shelfcast.features.periods import Clock, Grain
from shelfcast.features.series import Evidence

CLOCK = Clock("monday", CUTOFF - timedelta(weeks=40) + timedelta(days=1), CUTOFF)


def covariate(product: str, back: int, **more: Any) -> dict[str, Any]:
    start = week(back)
    shares = {"display": 0.0, "display_main": 0.0, "mailer": 1.0, "mailer_main": 0.0, **more}
    key = {"grain": "week.product", "store_id": "*", "product_id": product}
    return {**key, "period_start": start, "week_start": start, **shares}


PRODUCTS = [
    {"product_id": "sold", "category": "jam"},
    {"product_id": "coming", "category": "jam", "department": "food"},
    {"product_id": "listed", "listed_until": CUTOFF + timedelta(days=90)},
    {"product_id": "over", "listed_until": CUTOFF - timedelta(days=1)},
    {"product_id": "idle"},
    {"product_id": "later"},
]
PLANNED = [covariate(name, -1) for name in ("sold", "coming", "over", "unknown")] + [covariate("later", -3)]


def built(spark: SparkSession, kinds: list[str], grain: Grain = WEEK) -> Any:
    log = frame(spark, "silver/events", [event(week(3), "sold")])
    demand = frame(spark, "gold/demand", [sold("sold", 3, 1.0)])
    evidence = Evidence(kinds, 2, frame(spark, "gold/covariates", PLANNED))
    return series.build(log, demand, frame(spark, "silver/products", PRODUCTS), grain, CLOCK, CUTOFF, 52, evidence)


def test_a_product_that_never_sold_is_new_if_listed_on_or_promoted_within_the_horizon(spark: SparkSession) -> None:
    found = built(spark, ["planned", "listed"])
    assert rows(found, "product_id", "store_id", "first_sale", "sale_periods", "units", "status", "category") == [
        ("coming", "*", None, 0, 0.0, "new", "jam"),
        ("listed", "*", None, 0, 0.0, "new", None),
        ("sold", "*", week(3), 1, 1.0, "active", "jam"),
    ]
    assert rows(built(spark, ["planned"]), "product_id") == [("coming",), ("sold",)]
    assert rows(built(spark, []), "product_id") == [("sold",)]
    by_store = built(spark, ["planned", "listed"], Grain.parse("week.product_store"))
    assert rows(by_store.where("status = 'new'"), "product_id") == []


def test_a_new_series_has_a_window_of_padding_with_its_plans_ahead(
    spark: SparkSession, configured: Callable[..., Any]
) -> None:
    settings = configured("windows.context=30", "windows.horizon=2", "windows.stride=20")
    stood = [known("coming", None, "new"), known("sold", week(3), listed_until=CUTOFF + timedelta(days=7))]  # type: ignore[arg-type]
    demand, plans = frame(spark, "gold/demand", [sold("sold", 3, 1.0)]), frame(spark, "gold/covariates", PLANNED)
    stock = [
        {"product_id": "sold", "store_id": "s", "on_hand": 0.0, "valid_from": week(2), "valid_to": week(1)},
        {"product_id": "sold", "store_id": "s", "on_hand": 5.0, "valid_from": week(1) + timedelta(days=1)},
        {"product_id": "coming", "store_id": "s", "on_hand": 0.0, "valid_from": week(9)},
    ]
    made = windows.build(
        frame(spark, "gold/series", stood),
        demand,
        plans,
        WEEK,
        CUTOFF,
        settings,
        2,
        frame(spark, "silver/stock", stock),
    ).persist()
    new, old = made.orderBy("product_id").collect()
    assert (new.age, new.length, new.listed) == (0, 0, 2)
    assert set(new.units) == {0.0}
    assert new.mailer == [0.0] * 30 + [1.0, 0.0]
    assert set(new.available) == {1.0}
    assert (old.age, old.length, old.listed) == (4, 4, 1)  # the first Monday is still within the listing
    assert old.available == [1.0] * 27 + [0.0, 1.0, 1.0]
    lost = lost_demand.build(made.drop("clipped"), WEEK, CUTOFF)
    (estimated,) = lost.collect()
    assert (estimated.product_id, estimated.period_start, estimated.sold) == ("sold", week(2), 0.0)
    assert estimated.lost == pytest.approx(1.0 / 3)


def test_a_regular_seller_that_falls_silent_is_first_fading_and_then_silent(spark: SparkSession) -> None:
    silent = {"steady": 0, "late": 6, "dropped": 20}
    stood = [
        known(name, week(39), last_sale=week(back), sale_periods=40 - back, units=9.0) for name, back in silent.items()
    ]
    many = [  # a third of a crowd sells every week, a third was dropped half-way, a third sells now and then
        known(f"{kind}{n}", week(39), last_sale=week(back), sale_periods=periods)
        for kind, back, periods in (("a", 0, 38), ("b", 20, 18), ("c", 4, 6))
        for n in range(40)
    ]
    ended, new = known("ended", week(39), "ended"), known("new", None, "new")  # type: ignore[arg-type]
    given = frame(spark, "gold/series", [*stood, *many, ended, new]).drop("life", "alive", "any_sale")
    found = {row.product_id: row for row in lifecycle.marked(given, WEEK, CUTOFF, 4).collect()}
    assert [found[name].life for name in ("steady", "dropped", "c1", "new", "ended")] == [
        "running", "silent", "running", "new", None,
    ]  # fmt: skip
    assert 1 > found["steady"].any_sale > 0.9
    assert found["steady"].alive > found["late"].alive > found["dropped"].alive
    assert found["dropped"].any_sale < 0.05
    assert found["ended"].alive is found["new"].alive is None
    few = lifecycle.marked(given.where("product_id LIKE 's%'"), WEEK, CUTOFF, 4).collect()
    assert [(row.life, row.alive) for row in few] == [("running", None)]


def test_launches_count_what_products_about_to_sell_sold_then(spark: SparkSession) -> None:
    earlier = launches.origins(WEEK, CLOCK.first(7), CUTOFF, 2)
    assert earlier == [CUTOFF - timedelta(weeks=weeks) for weeks in (2, 4, 6)]
    assert launches.origins(WEEK, CUTOFF - timedelta(weeks=16), CUTOFF, 2) == [CUTOFF - timedelta(weeks=2)]
    products = [{"product_id": name, "department": "food", "category": "jam"} for name in ("hit", "miss", "old")]
    plans = [covariate("hit", 1), covariate("miss", 0, mailer=0.0, display=0.5), covariate("old", 0)]
    demand = [sold("hit", 1, 3.0), sold("hit", 0, 2.0), sold("old", 1, 9.0)]
    stood = [known("hit", week(1)), known("old", week(20))]
    found = launches.build(
        frame(spark, "gold/series", stood), frame(spark, "gold/demand", demand),
        frame(spark, "silver/products", products), WEEK, CUTOFF, earlier,
        Evidence(["planned"], 2, frame(spark, "gold/covariates", plans)),
    )  # fmt: skip
    assert rows(found, "department", "category", "plan", "periods", "sold_periods", "units") == [
        ("food", "jam", "display", 1, 0, 0.0),
        ("food", "jam", "mailer", 1, 1, 3.0),
        ("food", "jam", "none", 2, 1, 2.0),
    ]
    none = launches.build(
        frame(spark, "gold/series", stood), frame(spark, "gold/demand", demand),
        frame(spark, "silver/products", [{"product_id": "miss", "listed_until": date(2030, 1, 1)}]), WEEK, CUTOFF,
        earlier, Evidence(["listed"], 2, None),
    )  # fmt: skip
    assert rows(none, "department", "plan", "periods", "units") == [("", "none", 6, 0.0)]
