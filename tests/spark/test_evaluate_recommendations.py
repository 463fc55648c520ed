"""Ranked lists against what users then bought: hand-made logs, figures worked out in plain Python."""

from datetime import date, timedelta
from math import log2, sqrt

import pytest
from pyspark.sql import DataFrame, SparkSession

from shelfcast.evaluate import item_knn
from shelfcast.evaluate.als import numbered
from shelfcast.evaluate.item_knn import Neighbourhood
from shelfcast.evaluate.list_baselines import baselines, personal_frequency
from shelfcast.evaluate.purchases import Question, ground, purchases_before
from shelfcast.evaluate.recommendations import measure

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


def listed(frame: DataFrame) -> dict[str, list[str]]:
    """User → products in the order of their ranks, which must run from 1."""
    found: dict[str, dict[int, str]] = {}
    for row in frame.collect():
        found.setdefault(row["user_id"], {})[row["rank"]] = row["product_id"]
    assert all(sorted(places) == list(range(1, len(places) + 1)) for places in found.values())
    return {user: [places[rank] for rank in sorted(places)] for user, places in found.items()}


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> dict[tuple[str, str, str], float | None]:
    """Figures of lists of two places beside the baselines'."""
    published = lists(spark, {"ann": ["jam", "soap", "milk"], "bob": ["ghost", "rum"], "new": ["milk", "tea"]})
    return {(f.model, f.metric, f.segment): f.value for f in measure(log(spark, *LOG), published, ASKED)}


def test_figures_are_those_of_users_with_a_past_and_a_future(found: dict[tuple[str, str, str], float]) -> None:
    ideal_2, second = 1 + 1 / log2(3), 1 / log2(3)
    assert found["recommender", "users", "all"] == 2  # cat bought nothing after, new had no past
    # ann bought milk, rum and jam: min(2, 3) = 2 could be found; the third place does not count, nor does day 29
    assert found["recommender", "recall@2", "all"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["recommender", "ndcg@2", "all"] == pytest.approx((1 / ideal_2 + second) / 2)
    assert found["recommender", "mrr@2", "all"] == pytest.approx((1 + 1 / 2) / 2)
    # ann: milk twice, then rum, bought later than tea; bob: milk, soap
    assert found["personal_frequency", "recall@2", "all"] == pytest.approx((1 + 0) / 2)
    assert found["personal_frequency", "mrr@2", "all"] == pytest.approx((1 + 0) / 2)
    # milk has three buyers; jam, rum and tea one each, so jam is second by name
    assert found["popularity", "recall@2", "all"] == pytest.approx((1 + 0) / 2)
    # never bought before: ann's jam, bob's rum
    assert found["recommender", "users", "novel=true"] == 2
    assert found["recommender", "recall@2", "novel=true"] == pytest.approx(1)
    assert found["recommender", "mrr@2", "novel=true"] == pytest.approx((1 + 1 / 2) / 2)
    # popular and unseen: ann jam first; bob jam, rum
    assert found["popularity_unseen", "recall@2", "novel=true"] == pytest.approx(1)
    assert found["popularity_unseen", "ndcg@2", "novel=true"] == pytest.approx((1 + second) / 2)


def test_coverage_counts_products_on_sale_and_novelty_is_rare_purchases(
    found: dict[tuple[str, str, str], float],
) -> None:
    # milk, tea, rum and jam are on sale; jam and rum of them are shown, soap and ghost are not on sale
    assert found["recommender", "coverage@2", "all"] == pytest.approx(2 / 4)
    assert found["personal_frequency", "coverage@2", "all"] == pytest.approx(2 / 4)  # milk, rum; soap
    assert found["popularity_unseen", "coverage@2", "all"] == pytest.approx(2 / 4)  # jam, rum
    # three users: one of them bought each of jam, soap and rum; nobody bought ghost, which counts like one
    assert found["recommender", "novelty@2", "all"] == pytest.approx(log2(3))
    assert found["popularity", "novelty@2", "all"] == pytest.approx((0 + log2(3)) / 2)  # everybody bought milk


def test_recall_by_third_looks_for_its_targets_alone(found: dict[tuple[str, str, str], float]) -> None:
    # milk makes half of the purchases; the others share the place after it
    assert found["recommender", "users", "target=head"] == 1
    assert found["recommender", "recall@2", "target=head"] == 0  # ann's third place
    assert found["personal_frequency", "recall@2", "target=head"] == 1
    # ann wanted rum and jam, bob rum
    assert found["recommender", "recall@2", "target=torso"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["personal_frequency", "recall@2", "target=torso"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["recommender", "recall@2", "history=1-9"] == found["recommender", "recall@2", "all"]
    assert not {metric for _, metric, segment in found if segment == "target=head"} & {"ndcg@2", "mrr@2"}


def test_targets_fall_into_thirds_of_all_purchases_and_users_into_classes_of_their_history(spark: SparkSession) -> None:
    sold = {"a": 6, "b": 3, "c": 2, "d": 1, "e": 1}
    past = [("u", product, -day) for product, times in sold.items() for day in range(1, times + 1)]
    lengths = {"nine": 9, "ten": 10, "fifty": 50, "many": 200}
    past += [(user, f"{user}{number}", -1) for user, length in lengths.items() for number in range(length)]
    future = [("u", product, 1) for product in (*sold, "new")] + [(user, "new", 1) for user in lengths]
    with ground(log(spark, *past, *future), ASKED) as given:
        rows = [(row["user_id"], row["product_id"], row["segments"]) for row in given.targets.collect()]
    history = {user: segments[1] for user, _, segments in rows}
    assert history == {
        "u": "history=1-9", "nine": "history=1-9", "ten": "history=10-49", "fifty": "history=50-199",
        "many": "history=200+",
    }  # fmt: skip
    # 282 records: 269 products sold once, with d and e 271, so that what sells more makes up less than a third
    assert {product: segments[2] for user, product, segments in rows if user == "u"} == {
        "a": "target=head", "b": "target=head", "c": "target=head", "d": "target=head", "e": "target=head",
        "new": "target=tail",
    }  # fmt: skip
    with ground(log(spark, *past[:13], *future[:6]), ASKED) as given:
        thirds = {row["product_id"]: row["third"] for row in given.products.collect()}
    # of 13 purchases 0, 6, 9 and 11 are of what sells more; d and e sell alike and stay together
    assert thirds == {"a": "head", "b": "torso", "c": "tail", "d": "tail", "e": "tail"}


def test_frequency_breaks_ties_by_latest_purchase_then_product(spark: SparkSession) -> None:
    before = purchases_before(
        log(spark, ("u", "c", -3), ("u", "b", -3), ("u", "a", -9), ("u", "z", -20), ("u", "z", -30)), ASKED
    )
    assert listed(personal_frequency(before, 3)) == {"u": ["z", "b", "c"]}


def test_nothing_bought_gives_no_figures(spark: SparkSession) -> None:
    assert measure(log(spark, ("ann", "milk", -1)), lists(spark, {"ann": ["milk"]}), ASKED) == []


def test_what_happens_after_as_of_changes_no_baseline_list(spark: SparkSession) -> None:
    planted = [("ann", "bait", after) for after in range(1, 20)]
    found = []
    for events in (log(spark, *LOG), log(spark, *LOG, *planted)):
        with ground(events, ASKED) as given:
            found.append({name: listed(frame) for name, frame in baselines(given).items()})
    assert found[0] == found[1]
    assert found[0]["popularity"] == {"ann": ["milk", "jam"], "bob": ["milk", "jam"]}
    # of the popular milk, jam, rum and tea ann has all but jam; bob has milk
    assert found[0]["popularity_unseen"] == {"ann": ["jam"], "bob": ["jam", "rum"]}


NEAR = (
    ("u1", "a", -3), ("u1", "b", -2),
    ("u2", "a", -3), ("u2", "b", -2), ("u2", "c", -1), ("u2", "old", -300),
    ("u3", "b", -2), ("u3", "c", -1), ("u3", "old", -300),
    ("u4", "a", -1),
    *((f"u{number}", "z", 1) for number in range(1, 5)),
)  # fmt: skip


def test_neighbours_are_what_the_same_users_bought_by_shrunk_cosine(spark: SparkSession) -> None:
    given = Neighbourhood(support=1, together=1, shrink=1.0, neighbours=2)
    before = purchases_before(log(spark, *NEAR), ASKED)
    offered = spark.createDataFrame([("a",), ("b",), ("c",)], "product_id string")
    owned = item_knn.histories(before, 10)
    rows = item_knn.similar(owned, offered, given).collect()
    near = {(row["product_id"], row["neighbour"]): row["similarity"] for row in rows}
    # a and b have three users each, c and old two
    expected = {("a", "b"): 2 / (3 + 1), ("a", "c"): 1 / (sqrt(6) + 1), ("b", "c"): 2 / (sqrt(6) + 1)}
    expected |= {(right, left): value for (left, right), value in expected.items()}
    expected |= {("old", "c"): 2 / (2 + 1), ("old", "b"): 2 / (sqrt(6) + 1)}  # a is the third of old's
    assert near == pytest.approx(expected)
    fewer = item_knn.similar(owned, offered, Neighbourhood(support=3, together=2)).collect()
    assert {(row["product_id"], row["neighbour"]) for row in fewer} == {("a", "b"), ("b", "a")}
    assert listed(
        item_knn.histories(before, 2).selectExpr(
            "user_id", "product_id", "row_number() OVER (PARTITION BY user_id ORDER BY product_id) AS rank"
        )
    )["u2"] == ["b", "c"]  # bought last


def test_item_knn_lists_hold_any_products_or_new_ones_none_of_them_off_sale(spark: SparkSession) -> None:
    with ground(log(spark, *NEAR), ASKED) as asked:
        both = item_knn.lists(asked, Neighbourhood(support=1, together=1, shrink=1.0)).persist()
        mixed, novel = listed(both.where("NOT novel")), listed(both.where("novel"))
        both.unpersist()
    # u1 has a and b: c is near both, and each is near the other; equal sums in the order of their names
    assert mixed["u1"] == ["c", "a"]
    assert novel == {"u1": ["c"], "u3": ["a"], "u4": ["b", "c"]}  # u2 has bought all there is
    assert mixed["u4"] == ["b", "c"]


def test_every_value_has_a_number_of_its_own_that_is_an_int(spark: SparkSession) -> None:
    frame = spark.range(5000).selectExpr("concat('user ', id % 4500) AS user_id")
    rows = numbered(frame, "user_id", "user").collect()
    assert len({row["user_id"] for row in rows}) == len({row["user"] for row in rows}) == len(rows) == 4500
    assert all(0 <= row["user"] < 2**31 for row in rows)
