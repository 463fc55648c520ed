"""Traits of products against values worked out by hand."""

from datetime import date, timedelta
from math import log

import pytest
from pyspark.sql import DataFrame, SparkSession

from shelfcast.lake import product_traits
from shelfcast.lake.tables import contract

AS_OF = date(2024, 3, 31)  # a Sunday
PLANS = ("display", "display_main", "mailer", "mailer_main")
COLUMNS = ("ahead", "most", "now", "before")


def seen(spark: SparkSession, *events: tuple[str, str, int, str]) -> DataFrame:
    """Events as (user, product, days before as_of, type)."""
    rows = [(user, product, AS_OF - timedelta(days=ago), kind) for user, product, ago, kind in events]
    return spark.createDataFrame(rows, "user_id string, product_id string, event_date date, event_type string")


def plans(spark: SparkSession, *rows: tuple[str, str, int, float, float]) -> DataFrame:
    """gold/covariates of (product, store, weeks after as_of's, share with a display, share with a mailer)."""
    monday = AS_OF - timedelta(days=6)
    full = []
    for product, store, weeks, display, mailer in rows:
        start = monday + timedelta(weeks=weeks)
        full.append(("week.product", product, store, start, start, display, 0.0, mailer, 0.0))
    return spark.createDataFrame(full, contract("gold/covariates").schema())


def of(found: DataFrame, product: str) -> dict[str, float]:
    return dict(found.where(f"product_id = '{product}'").toPandas().iloc[0].items())


def test_how_buyers_come_back(spark: SparkSession) -> None:
    found = product_traits.returns(
        seen(
            spark,
            ("ann", "milk", 3, "purchase"), ("ann", "milk", 31, "purchase"), ("ann", "milk", 45, "purchase"),
            ("bob", "milk", 60, "purchase"), ("bob", "milk", 60, "purchase"), ("cid", "milk", 2, "purchase"),
            ("cid", "tea", 5, "view"), ("dee", "jam", 90, "purchase"),
        ),
        None, AS_OF, ["purchase"], 4,
    )  # fmt: skip
    assert {row["product_id"] for row in found.collect()} == {"milk", "jam"}
    milk, jam = of(found, "milk"), of(found, "jam")
    assert milk["buyers"] == pytest.approx(log(4))
    assert milk["per_buyer"] == pytest.approx(log(6 / 3))
    assert milk["usual_gap"] == pytest.approx(log(1 + 3))  # only ann came back: 42 days, two gaps
    assert (milk["sold"], milk["month"]) == pytest.approx((log(7), log(2.25 / 7)))
    # Of ann and bob, who bought milk 29 to 84 days ago, ann did again; jam was last bought before that.
    assert milk["again_of_type"] == jam["again_of_type"] == pytest.approx(0.5)
    assert milk["again"] == pytest.approx((1 + 10 * 0.5) / (2 + 10))
    assert jam["again"] == pytest.approx(0.5)
    assert jam["usual_gap"] == pytest.approx(log(105))


def test_a_product_that_few_bought_is_like_its_type(spark: SparkSession) -> None:
    events = [(f"u{user}", "milk", ago, "purchase") for user in range(30) for ago in (40, 5)]
    events += [("ann", "cream", 40, "purchase"), ("ann", "nails", 40, "purchase")]
    types = spark.createDataFrame(
        [("milk", "dairy"), ("cream", "dairy"), ("nails", "tools")], "product_id string, product_type string"
    )
    found = product_traits.returns(seen(spark, *events), types, AS_OF, ["purchase"], 4)
    overall = 30 / 32
    dairy, tools = (30 + 20 * overall) / (31 + 20), (20 * overall) / (1 + 20)
    assert of(found, "cream")["again_of_type"] == pytest.approx(dairy)
    assert of(found, "cream")["again"] == pytest.approx(10 * dairy / 11)
    assert of(found, "nails")["again"] == pytest.approx(10 * tools / 11)


def test_nothing_bought_has_no_traits(spark: SparkSession) -> None:
    assert product_traits.returns(seen(spark, ("ann", "tea", 1, "view")), None, AS_OF, ["purchase"], 4).count() == 0


def test_plans_ahead_are_told_from_those_before_and_beyond(spark: SparkSession) -> None:
    covariates = plans(
        spark,
        ("milk", "*", 1, 0.5, 1.0), ("milk", "*", 2, 0.25, 0.0), ("milk", "*", 5, 1.0, 1.0),
        ("milk", "*", 0, 0.13, 0.0), ("milk", "*", -13, 1.0, 1.0), ("tea", "*", 0, 0.0, 0.26),
    )  # fmt: skip
    found = product_traits.planned(covariates, "week.product", AS_OF, ["display", "mailer"], 4)
    assert found.columns == ["product_id", *(f"{plan}_{what}" for plan in PLANS for what in COLUMNS)]
    milk, tea = of(found, "milk"), of(found, "tea")
    assert milk["display_ahead"] == pytest.approx(0.75 / 4)
    assert milk["display_most"] == pytest.approx(0.5)
    assert (milk["display_now"], milk["display_before"]) == pytest.approx((0.13, 0.13 / 13))
    assert (milk["mailer_ahead"], milk["mailer_most"], milk["mailer_before"]) == pytest.approx((0.25, 1, 0))
    assert (tea["mailer_ahead"], tea["mailer_before"]) == pytest.approx((0, 0.02))


def test_only_the_plans_that_are_known_are_told(spark: SparkSession) -> None:
    covariates = plans(spark, ("milk", "*", 1, 0.5, 1.0))
    found = product_traits.planned(covariates, "week.product", AS_OF, ["mailer"], 4)
    assert found.columns == [
        "product_id",
        *(f"{plan}_{what}" for plan in PLANS[2:] for what in COLUMNS),
    ]
    assert of(found, "milk")["mailer_most"] == pytest.approx(1)


def test_of_a_grain_by_store_the_share_of_stores_is_counted(spark: SparkSession) -> None:
    covariates = plans(spark, ("milk", "s1", 1, 1.0, 1.0), ("milk", "s2", 1, 1.0, 0.0), ("tea", "s3", 1, 1.0, 0.0))
    found = product_traits.planned(covariates, "week.product", AS_OF, ["display", "mailer"], 4)
    assert of(found, "milk")["display_most"] == pytest.approx(2 / 3, abs=1e-6)
    assert of(found, "milk")["mailer_most"] == pytest.approx(1 / 3, abs=1e-6)
