"""gold/windows: dense arrays from sparse demand and plans."""

from datetime import date, timedelta
from typing import Any

import pytest
from features_frames import frame, rows
from pyspark.sql import SparkSession

from shelfcast.errors import ReconciliationError
from shelfcast.features import reconcile, windows
from shelfcast.features.periods import Grain
from shelfcast.settings import Settings

WEEK = Grain.parse("week.product")
CUTOFF = date(2024, 12, 29)
KEY = {"grain": "week.product", "store_id": "*"}


def week(back: int) -> date:
    """First day of the period ``back`` periods before the newest one."""
    return CUTOFF - timedelta(days=6 + 7 * back)


def sold(product: str, back: int, units: float, **more: Any) -> dict[str, Any]:
    start = week(back)
    row = {"period_start": start, "week_start": start, "units": units, "orders": 1.0, "revenue": units, "price": 1.0}
    return {**KEY, "product_id": product, **row, **more}


def planned(product: str, back: int) -> dict[str, Any]:
    start = week(back)
    shares = {"display": 0.5, "display_main": 0.25, "mailer": 1.0, "mailer_main": 0.125}
    return {**KEY, "product_id": product, "period_start": start, "week_start": start, **shares}


def known(product: str, first_sale: date, status: str = "active", **more: Any) -> dict[str, Any]:
    row = {"as_of": CUTOFF, "first_sale": first_sale, "last_sale": CUTOFF, "sale_periods": 1, "units": 1.0}
    return {**KEY, "product_id": product, **row, "status": status, **more}


def built(spark: SparkSession, settings: Settings, series: Any, demand: Any, covariates: Any = None) -> Any:
    plans = None if covariates is None else frame(spark, "gold/covariates", covariates)
    known_series, sales = frame(spark, "gold/series", series), frame(spark, "gold/demand", demand)
    return windows.build(known_series, sales, plans, WEEK, CUTOFF, settings, 2)


@pytest.fixture
def short(configured: Any) -> Settings:
    return configured("windows.context=30", "windows.horizon=2", "windows.stride=20")


def test_history_is_filled_with_zeros_from_the_first_sale_and_padded_before(
    spark: SparkSession, short: Settings
) -> None:
    demand = [sold("a", 3, 2.0), sold("a", 0, 5.0, price=1.5, discount_depth=0.25), sold("b", 40, 7.0)]
    series = [known("a", week(3) + timedelta(days=4), brand="own"), known("b", week(40)), known("c", week(1), "ended")]
    found = built(spark, short, series, demand)
    assert rows(found, "product_id", "cutoff", "age", "length", "brand") == [
        ("a", CUTOFF, 4, 4, "own"),
        ("b", CUTOFF, 41, 30, None),
    ]
    one = found.where("product_id = 'a'").collect()[0]
    assert one.units == [0.0] * 26 + [2.0, 0.0, 0.0, 5.0]
    assert one.price == [0.0] * 26 + [1.0, 0.0, 0.0, 1.5]
    assert one.discount == [0.0] * 29 + [0.25]
    assert one.display == [0.0] * 32
    assert len(one.holiday) == len(one.month_start) == len(one.year_phase) == 32
    assert one.holiday[-3:] == [1.0, 1.0, 0.0]  # Christmas, New Year's Day, nothing
    assert 0 <= one.bucket < 1024
    assert found.where("product_id = 'b'").collect()[0].units == [0.0] * 30


def test_sales_after_the_cutoff_and_returns_beyond_sales_count_as_nothing(spark: SparkSession, short: Settings) -> None:
    demand = [sold("a", 1, -3.0), sold("a", -1, 9.0), sold("a", 2, 1.0)]
    found = built(spark, short, [known("a", week(2))], demand)
    assert found.collect()[0].units == [0.0] * 27 + [1.0, 0.0, 0.0]


def test_plans_reach_into_the_horizon(spark: SparkSession, short: Settings) -> None:
    covariates = [planned("a", 0), planned("a", -2), planned("a", -3), planned("other", 0)]
    found = built(spark, short, [known("a", week(0))], [sold("a", 0, 1.0)], covariates).collect()
    assert len(found) == 1
    assert found[0].mailer == [0.0] * 29 + [1.0, 0.0, 1.0]
    assert found[0].display_main == [0.0] * 29 + [0.25, 0.0, 0.25]


def test_outliers_are_clipped_in_windows_and_counted(spark: SparkSession, configured: Any) -> None:
    clipping = configured(
        "windows.context=30", "windows.horizon=2", "windows.stride=20", "demand.outliers=iqr", "demand.outlier_width=3"
    )
    demand = [sold("a", back, 2.0) for back in range(1, 12)] + [sold("a", 0, 100.0)]
    found = built(spark, clipping, [known("a", week(11))], demand).collect()[0]
    assert found.units[-2:] == [2.0, 5.0]
    assert found.clipped == 1


def test_a_missing_or_doubled_window_is_refused(spark: SparkSession, short: Settings) -> None:
    series = [known("a", week(1)), known("b", week(1))]
    found = built(spark, short, series, [])
    stood = frame(spark, "gold/series", series)
    reconcile.windows(found, stood, WEEK, CUTOFF)
    with pytest.raises(ReconciliationError, match="2 active series, but 1 rows"):
        reconcile.windows(found.where("product_id = 'a'"), stood, WEEK, CUTOFF)
    with pytest.raises(ReconciliationError, match="2 active series, but 4 rows for 2 series"):
        reconcile.windows(found.union(found), stood, WEEK, CUTOFF)
