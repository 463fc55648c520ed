"""gold/series and the joins behind it."""

from datetime import date
from typing import Any

import pytest
from features_frames import event, frame, rows
from pyspark.sql import SparkSession

from shelfcast.errors import ReconciliationError
from shelfcast.features import demand, series
from shelfcast.features.periods import Clock, Grain

WEEK, STORES = Grain.parse("week.product"), Grain.parse("week.product_store")
CLOCK = Clock("monday", date(2024, 1, 1), date(2024, 2, 4))
LOG = [
    event(date(2024, 1, 2), "a", 2.0),
    event(date(2024, 1, 31), "a", 1.0, store_id="t"),
    event(date(2024, 1, 3), "old"),
    event(date(2024, 1, 5), "back", event_type="return"),
]


def built(spark: SparkSession, grain: Grain = WEEK, products: Any = None, cutoff: date = date(2024, 2, 4)) -> Any:
    log = frame(spark, "silver/events", LOG)
    sold = demand.build(log, None, None, [grain], CLOCK, CLOCK.weeks(7), 1)
    side = None if products is None else frame(spark, "silver/products", products)
    return series.build(log, sold, side, grain, CLOCK, cutoff, 2)


def test_a_series_has_its_first_and_last_sale_and_whether_it_still_sells(spark: SparkSession) -> None:
    columns = ("product_id", "store_id", "first_sale", "last_sale", "sale_periods", "units", "status")
    assert rows(built(spark), *columns) == [
        ("a", "*", date(2024, 1, 2), date(2024, 1, 31), 2, 3.0, "active"),
        ("old", "*", date(2024, 1, 3), date(2024, 1, 3), 1, 1.0, "ended"),
    ]
    assert rows(built(spark, STORES), "product_id", "store_id", "units") == [
        ("a", "s", 2.0),
        ("a", "t", 1.0),
        ("old", "s", 1.0),
    ]


def test_a_series_at_an_earlier_cutoff_knows_nothing_of_later_sales(spark: SparkSession) -> None:
    found = rows(built(spark, cutoff=date(2024, 1, 14)), "product_id", "last_sale", "units", "status")
    assert found == [("a", date(2024, 1, 2), 2.0, "active"), ("old", date(2024, 1, 3), 1.0, "active")]


def test_a_listed_product_stays_active_and_a_delisted_one_ends(spark: SparkSession) -> None:
    side = [
        {"product_id": "a", "listed_until": date(2024, 2, 4)},
        {"product_id": "old", "listed_until": date(2024, 6, 1)},
    ]
    assert rows(built(spark, products=side), "product_id", "status") == [("a", "ended"), ("old", "active")]


def test_statics_are_those_that_held_at_the_cutoff(spark: SparkSession) -> None:
    side = [
        {"product_id": "a", "brand": "first"},
        {"product_id": "a", "brand": "second", "valid_from": date(2024, 1, 20)},
        {"product_id": "a", "brand": "third", "valid_from": date(2024, 3, 1)},
        {"product_id": "a", "brand": "hidden", "valid_from": date(2024, 1, 21), "known_from": date(2024, 3, 1)},
    ]
    assert rows(built(spark, products=side), "product_id", "brand") == [("a", "second"), ("old", None)]
    early = built(spark, products=side, cutoff=date(2024, 1, 14))
    assert rows(early, "product_id", "brand") == [("a", "first"), ("old", None)]


def test_two_rows_that_contradict_each_other_fail_the_join(spark: SparkSession) -> None:
    same = [{"product_id": "a", "brand": "one"}, {"product_id": "a", "brand": "one"}]
    assert rows(built(spark, products=same), "product_id", "brand") == [("a", "one"), ("old", None)]
    with pytest.raises(ReconciliationError, match="silver/products: 2 different rows hold at once for product_id=a"):
        built(spark, products=[*same, {"product_id": "a", "brand": "two"}])
