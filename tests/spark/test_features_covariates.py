"""gold/covariates: which share of the stores planned what, as known early enough."""

from datetime import date, timedelta
from typing import Any

import pytest
from features_frames import event, frame, plan, rows
from pyspark.sql import SparkSession

from shelfcast.features import covariates, plans
from shelfcast.features.periods import Grain, starts

WEEK, STORES, DAY = (Grain.parse(name) for name in ("week.product", "week.product_store", "day.product"))
MONDAY = date(2024, 3, 4)
BEFORE = MONDAY - timedelta(weeks=5)


def built(spark: SparkSession, promotions: list[dict[str, Any]], grain: Grain = WEEK, horizon: int = 4) -> Any:
    log = [event(BEFORE, "x", 3.0, store_id="s"), event(BEFORE, "x", 1.0, store_id="t")]
    log.append(event(MONDAY - timedelta(days=1), "x", 100.0, store_id="t"))  # too late to weigh anything
    side = frame(spark, "silver/promotions", promotions)
    stores = plans.store_bits(side)
    daily = covariates.store_days(frame(spark, "silver/events", log))
    periods = starts(MONDAY, MONDAY + timedelta(days=6), grain.days)
    return covariates.build(plans.pack(side, stores), stores, daily, {grain: periods}, horizon)


def test_shares_are_weighted_by_what_stores_sold_before_the_plan_had_to_be_known(spark: SparkSession) -> None:
    side = [
        plan("a", "s", MONDAY, display="9", display_main=True),
        plan("a", "t", MONDAY, mailer="A", mailer_main=False),
        plan("b", "t", MONDAY, display="1"),
    ]
    assert rows(built(spark, side), "product_id", "store_id", *plans.PLANS) == [
        ("a", "*", 0.75, 0.75, 0.25, 0.0),
        ("b", "*", 0.25, 0.0, 0.0, 0.0),
    ]


def test_rows_that_repeat_their_key_count_once(spark: SparkSession) -> None:
    side = [plan("a", "s", MONDAY, display="9"), plan("a", "s", MONDAY, mailer="A"), plan("a", "s", MONDAY, mailer="D")]
    side.append(plan("b", "t", MONDAY))
    assert rows(built(spark, side), "product_id", *plans.PLANS) == [("a", 0.75, 0.0, 0.75, 0.0)]


def test_stores_without_earlier_sales_count_alike(spark: SparkSession) -> None:
    side = [plan("a", "v", MONDAY, display="9"), plan("b", "w", MONDAY)]
    assert rows(built(spark, side), "product_id", "display") == [("a", 0.5)]


def test_more_stores_than_a_word_has_bits_are_told_apart(spark: SparkSession) -> None:
    side = [plan("a", f"v{n:02}", MONDAY, display="9" if n % 2 else None) for n in range(70)]
    side.append(plan("b", "v69", MONDAY, display_main=True))
    assert rows(built(spark, side), "product_id", "display", "display_main") == [
        ("a", 0.5, 0.0),
        ("b", 0.0, pytest.approx(1 / 70, abs=1e-6)),
    ]


def test_a_plan_for_all_stores_is_a_share_of_one(spark: SparkSession) -> None:
    side = [plan("a", "*", MONDAY, mailer="A"), plan("b", "s", MONDAY, mailer="A")]
    assert rows(built(spark, side), "product_id", "mailer") == [("a", 1.0), ("b", 1.0)]
    side.append(plan("b", "t", MONDAY))
    assert rows(built(spark, side, STORES), "product_id", "store_id", "mailer") == [
        ("a", "s", 1.0),
        ("a", "t", 1.0),
        ("b", "s", 1.0),
    ]


@pytest.mark.parametrize(("days_ahead", "seen"), [(22, True), (21, False)])
def test_a_plan_known_too_late_for_the_longest_horizon_is_not_seen(
    spark: SparkSession, days_ahead: int, seen: bool
) -> None:
    late = plan("a", "s", MONDAY, display="9", known_from=MONDAY - timedelta(days=days_ahead))
    assert bool(rows(built(spark, [late]), "product_id")) is seen


def test_a_plan_of_some_days_touches_its_days_and_their_week(spark: SparkSession) -> None:
    side = [plan("a", "s", MONDAY, display="9", valid_to=MONDAY + timedelta(days=1))]
    assert rows(built(spark, side, DAY), "period_start") == [(MONDAY,), (MONDAY + timedelta(days=1),)]
    long = [plan("a", "s", MONDAY - timedelta(days=3), display="9", valid_to=None, known_from=None)]
    assert rows(built(spark, long), "period_start") == [(MONDAY,)]


def test_only_weeks_whose_plans_changed_get_another_fingerprint(spark: SparkSession) -> None:
    later = MONDAY + timedelta(weeks=1)
    deadlines = {MONDAY: MONDAY - timedelta(days=22), later: later - timedelta(days=22)}

    def fingerprints(*promotions: dict[str, Any]) -> dict[str, str]:
        side = frame(spark, "silver/promotions", promotions)
        return plans.fingerprints(plans.pack(side, plans.store_bits(side)), deadlines, MONDAY)

    one, two = plan("a", "s", MONDAY, display="9"), plan("a", "t", MONDAY)
    before = fingerprints(one, two)
    assert fingerprints(two, one) == before
    assert fingerprints(one, two, plan("a", "s", later, known_from=later)) == before
    changed = fingerprints(one, two, plan("a", "s", later))
    assert changed[str(MONDAY)] == before[str(MONDAY)]
    assert changed[str(later)] != before[str(later)]
    assert fingerprints(one, two, two) == before
    assert fingerprints(one, plan("a", "t", MONDAY, mailer="A"))[str(MONDAY)] != before[str(MONDAY)]
