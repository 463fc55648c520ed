"""gold/interactions: a user's week in time order."""

from datetime import UTC, date, datetime
from typing import Any

from features_frames import event, frame, rows
from pyspark.sql import SparkSession

from shelfcast.features import interactions

MONDAY, NEXT = date(2024, 1, 1), date(2024, 1, 8)


def at(hour: int, product: str, day: date = MONDAY, **more: Any) -> dict[str, Any]:
    return event(day, product, event_time=datetime(day.year, day.month, day.day, hour, tzinfo=UTC), **more)


def test_items_stand_in_time_order_and_ties_by_product(spark: SparkSession) -> None:
    log = [
        at(9, "c", store_id="t"),
        at(8, "b", quantity=2.0),
        at(8, "a"),
        at(7, "d", event_type="view"),
        at(7, "e", user_id=None),
        at(7, "f", event_type="search"),
        at(9, "a", NEXT, user_id="v"),
    ]
    found = interactions.build(frame(spark, "silver/events", log), ["purchase", "view"], [MONDAY, NEXT], 1)
    assert rows(found, "user_id", "week_start", "items", "types", "quantities", "store_id") == [
        ("u", MONDAY, ["d", "a", "b", "c"], ["view", "purchase", "purchase", "purchase"], [1.0, 1.0, 2.0, 1.0], "s"),
        ("v", NEXT, ["a"], ["purchase"], [1.0], "s"),
    ]
    first = found.where("user_id = 'u'").collect()[0]
    assert first.dates == [MONDAY] * 4
    assert first.times == sorted(first.times)
    assert 0 <= first.bucket < 1024


def test_only_the_weeks_asked_for_are_built_and_files_may_be_several(spark: SparkSession) -> None:
    log = [at(8, "a", day, user_id=f"u{n}") for n in range(5) for day in (MONDAY, NEXT)]
    found = interactions.build(frame(spark, "silver/events", log), ["purchase"], [NEXT], 3)
    assert rows(found, "user_id", "week_start", "items") == [(f"u{n}", NEXT, ["a"]) for n in range(5)]
