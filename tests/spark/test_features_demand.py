"""gold/demand from a handful of events."""

from datetime import date
from typing import Any

import pytest
from features_frames import event, frame, rows
from pyspark.sql import SparkSession

from shelfcast.errors import ReconciliationError
from shelfcast.features import demand, reconcile
from shelfcast.features.periods import Clock, Grain

WEEK, STORES = Grain.parse("week.product"), Grain.parse("week.product_store")
MONDAY, NEXT = date(2024, 1, 1), date(2024, 1, 8)
CLOCK = Clock("monday", MONDAY, date(2024, 1, 14))


def built(
    spark: SparkSession, events: list[dict[str, Any]], grains: list[Grain], clock: Clock = CLOCK, **sides: Any
) -> Any:
    given = {"covariates": None, "stock": None, **sides}
    log = frame(spark, "silver/events", events)
    weeks = sorted({week for grain in grains for week in clock.weeks(grain.days)})
    return demand.build(log, given["covariates"], given["stock"], grains, clock, weeks, 1)


def test_a_week_adds_pieces_distinct_orders_revenue_and_discount(spark: SparkSession) -> None:
    log = [
        event(MONDAY, "a", 2.0, order_id="o1", discount=0.5),
        event(MONDAY, "a", 1.0, order_id="o1"),
        event(date(2024, 1, 7), "a", 1.0, order_id="o2", unit_price=4.0),
        event(NEXT, "b", 3.0),
    ]
    found = built(spark, log, [WEEK])
    assert rows(
        found, "product_id", "store_id", "period_start", "units", "orders", "revenue", "price", "discount_depth"
    ) == [
        ("a", "*", MONDAY, 4.0, 2.0, 10.0, 2.5, pytest.approx(1 / 11)),
        ("b", "*", NEXT, 3.0, 1.0, 6.0, 2.0, 0.0),
    ]
    assert rows(found, "display_share", "mailer_share", "days_in_stock") == [(None, None, None)] * 2


def test_returns_are_taken_off_pieces_and_revenue_but_not_off_orders_and_price(spark: SparkSession) -> None:
    log = [event(MONDAY, "a", 1.0), event(MONDAY, "a", 3.0, event_type="return", unit_price=1.0)]
    found = built(spark, log, [WEEK])
    assert rows(found, "units", "orders", "revenue", "price") == [(-2.0, 1.0, -1.0, 2.0)]


def test_views_and_carts_are_no_demand(spark: SparkSession) -> None:
    log = [event(MONDAY, "a", event_type="view"), event(MONDAY, "b")]
    assert rows(built(spark, log, [WEEK]), "product_id") == [("b",)]


def test_a_log_without_prices_has_units_and_no_price(spark: SparkSession) -> None:
    found = built(spark, [event(MONDAY, "a", unit_price=None, discount=None)], [WEEK])
    assert rows(found, "units", "revenue", "price", "discount_depth") == [(1.0, 0.0, None, None)]


def test_partial_weeks_at_both_ends_are_dropped(spark: SparkSession) -> None:
    clock = Clock("monday", date(2023, 12, 31), date(2024, 1, 17))
    log = [event(day, "a") for day in (date(2023, 12, 31), MONDAY, NEXT, date(2024, 1, 15), date(2024, 1, 17))]
    assert rows(built(spark, log, [WEEK], clock), "period_start", "units") == [(MONDAY, 1.0), (NEXT, 1.0)]


def test_stores_and_days_are_told_apart_where_the_grain_says_so(spark: SparkSession) -> None:
    log = [event(MONDAY, "a"), event(MONDAY, "a", store_id="t"), event(date(2024, 1, 3), "a", store_id="t")]
    found = built(spark, log, [WEEK, STORES, Grain.parse("day.product")])
    assert rows(found, "grain", "store_id", "period_start", "units") == [
        ("day.product", "*", MONDAY, 2.0),
        ("day.product", "*", date(2024, 1, 3), 1.0),
        ("week.product", "*", MONDAY, 3.0),
        ("week.product_store", "s", MONDAY, 1.0),
        ("week.product_store", "t", MONDAY, 2.0),
    ]


def test_plans_never_add_rows_and_reach_only_their_own_series(spark: SparkSession) -> None:
    shares = {"display": 0.5, "display_main": 0.0, "mailer": 0.25, "mailer_main": 0.0}
    key = {"grain": "week.product", "store_id": "*", "period_start": MONDAY, "week_start": MONDAY}
    covariates = frame(
        spark, "gold/covariates", [{**key, **shares, "product_id": "a"}, {**key, **shares, "product_id": "unsold"}]
    )
    found = built(spark, [event(MONDAY, "a"), event(MONDAY, "b")], [WEEK], covariates=covariates)
    assert rows(found, "product_id", "display_share", "mailer_share") == [("a", 0.5, 0.25), ("b", 0.0, 0.0)]


def test_days_in_stock_last_until_the_next_count(spark: SparkSession) -> None:
    count = {"product_id": "a", "store_id": "s"}
    stock = frame(
        spark,
        "silver/stock",
        [
            {**count, "valid_from": date(2023, 12, 20), "on_hand": 5.0},
            {**count, "valid_from": date(2024, 1, 4), "on_hand": 0.0},
            {**count, "valid_from": date(2024, 1, 10), "on_hand": 2.0},
        ],
    )
    found = built(spark, [event(MONDAY, "a"), event(NEXT, "a"), event(NEXT, "b")], [WEEK], stock=stock)
    assert rows(found, "product_id", "period_start", "days_in_stock") == [
        ("a", MONDAY, 3.0),
        ("a", NEXT, 5.0),
        ("b", NEXT, None),
    ]


def test_demand_that_lost_a_piece_is_refused(spark: SparkSession) -> None:
    found = built(spark, [event(MONDAY, "a"), event(NEXT, "a")], [WEEK])
    weeks = CLOCK.weeks(7)
    reconcile.demand(found, {MONDAY: 1.0, NEXT: 1.0}, [WEEK], CLOCK, weeks)
    with pytest.raises(ReconciliationError, match=r"week\.product, week 2024-01-08: 1 units, but .* holds 2"):
        reconcile.demand(found, {MONDAY: 1.0, NEXT: 2.0}, [WEEK], CLOCK, weeks)
