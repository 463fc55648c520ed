"""Ranked lists against what users then bought: hand-made logs, figures worked out in plain Python."""

from datetime import date, timedelta
from math import log2

import pytest
from pyspark.sql import DataFrame, SparkSession

from shelfcast.evaluate import recommendations
from shelfcast.evaluate.recommendations import Question

AS_OF = date(2024, 3, 3)  # a Sunday
ASKED = Question(AS_OF, AS_OF + timedelta(days=28), k=2, popular_weeks=8)
FIELDS = "user_id string, product_id string, event_type string, event_date date, week_start date"


def log(spark: SparkSession, *rows: tuple[str, str, int]) -> DataFrame:
    """Purchases as (user, product, days after as_of)."""
    days = [(user, product, AS_OF + timedelta(days=after)) for user, product, after in rows]
    full = [(u, p, "purchase", day, day - timedelta(days=day.weekday())) for u, p, day in days]
    return spark.createDataFrame(full, FIELDS)


LOG = (
    ("ann", "milk", -20), ("ann", "milk", -10), ("ann", "tea", -9), ("ann", "rum", -8),
    ("bob", "milk", -5), ("bob", "soap", -300),
    ("cat", "jam", -5), ("cat", "milk", -5),
    ("ann", "milk", 1), ("ann", "rum", 2), ("ann", "jam", 28), ("ann", "tea", 29),
    ("bob", "rum", 3),
    ("new", "milk", 4),
)  # fmt: skip


def lists(spark: SparkSession, rows: dict[str, list[str]]) -> DataFrame:
    ranked = [(user, rank, product) for user, products in rows.items() for rank, product in enumerate(products, 1)]
    return spark.createDataFrame(ranked, "user_id string, rank int, product_id string")


def test_figures_are_those_of_users_with_a_past_and_a_future(spark: SparkSession) -> None:
    published = lists(spark, {"ann": ["jam", "soap", "milk"], "bob": ["tea", "rum"], "new": ["milk", "tea"]})
    found = {
        (f.model, f.metric, f.segment): f.value for f in recommendations.measure(log(spark, *LOG), published, ASKED)
    }
    ideal_2, second = 1 + 1 / log2(3), 1 / log2(3)
    assert found["recommender", "users", "all"] == 2  # cat bought nothing after, new had no past
    # ann bought milk, rum and jam: min(2, 3) = 2 could be found; the third place does not count, nor does day 29
    assert found["recommender", "recall@2", "all"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["recommender", "ndcg@2", "all"] == pytest.approx((1 / ideal_2 + second) / 2)
    # ann: milk twice, then rum, bought later than tea; bob: milk, soap
    assert found["personal_frequency", "recall@2", "all"] == pytest.approx((1 + 0) / 2)
    # milk has three buyers; jam, rum and tea one each, so jam is second by name
    assert found["popularity", "recall@2", "all"] == pytest.approx((1 + 0) / 2)
    # never bought before: ann's jam, bob's rum
    assert found["recommender", "users", "novel=true"] == 2
    assert found["recommender", "recall@2", "novel=true"] == pytest.approx(1)
    # popular and unseen: ann jam first; bob jam, rum
    assert found["popularity_unseen", "recall@2", "novel=true"] == pytest.approx(1)
    assert found["popularity_unseen", "ndcg@2", "novel=true"] == pytest.approx((1 + second) / 2)


def test_frequency_breaks_ties_by_latest_purchase_then_product(spark: SparkSession) -> None:
    before = recommendations.purchases_before(
        log(spark, ("u", "c", -3), ("u", "b", -3), ("u", "a", -9), ("u", "z", -20), ("u", "z", -30)), ASKED
    )
    ranked = recommendations.personal_frequency(before, 3).orderBy("rank").collect()
    assert [row["product_id"] for row in ranked] == ["z", "b", "c"]


def test_nothing_bought_gives_no_figures(spark: SparkSession) -> None:
    assert recommendations.measure(log(spark, ("ann", "milk", -1)), lists(spark, {"ann": ["milk"]}), ASKED) == []


def test_what_happens_after_as_of_changes_no_baseline_list(spark: SparkSession) -> None:
    planted = [("ann", "bait", after) for after in range(1, 20)]
    for events in (log(spark, *LOG), log(spark, *LOG, *planted)):
        before = recommendations.purchases_before(events, ASKED)
        frequent = recommendations.personal_frequency(before, 2).collect()
        places = recommendations.popular(events, ASKED).collect()
        assert "bait" not in {row["product_id"] for row in [*frequent, *places]}
