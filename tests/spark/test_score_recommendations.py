"""Recommendations: from gold/interactions to lists, with what is on sale, and nothing of the future."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from listed_shop import AS_OF, CONFIG, EVENTS, Scored, Steps, bought, days_ago, interactions, lists, side
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from shelfcast.errors import ModelError, ReconciliationError, TrainingError
from shelfcast.lake import catalogue as shop
from shelfcast.lake.tables import contract
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.recommending import Recommender
from shelfcast.models.rules import ShopRules
from shelfcast.score import recommendations
from shelfcast.score.lists_close import Books
from shelfcast.settings import Settings
from shelfcast.train import recommender as training


@pytest.fixture
def scored(spark: SparkSession, step: Steps, configured: Callable[..., Settings], tmp_path: Path) -> Scored:
    return Scored(spark, step, configured, tmp_path)


def test_every_known_user_gets_k_distinct_products_on_sale(scored: Scored, spark: SparkSession) -> None:
    found = scored(sides={"silver/users": side(spark, "silver/users", {"user_id": "eve"}, {"user_id": "ann"})})
    assert {user: len(set(items)) for user, items in lists(found).items()} == dict.fromkeys(
        ["ann", "bob", "cid", "dee", "eve"], 3
    )
    assert found["rank"].tolist() == [1, 2, 3] * 5
    assert set(found["product_id"]) <= {"milk", "bread", "tea", "jam"}  # "gone" was last sold 80 days ago
    ann = found[found["user_id"] == "ann"]
    assert set(ann[ann["reason"] == "repeat"]["product_id"]) <= {"milk", "bread"}
    assert set(ann[ann["reason"] == "novel"]["product_id"]) <= {"tea", "jam"}
    assert lists(found)["eve"] == ["milk", "tea", "bread"]  # the chain's best sellers, ties by product
    assert found[found["user_id"] == "eve"]["reason"].tolist() == ["popular"] * 3


def test_a_user_with_nothing_to_go_by_gets_what_is_popular_in_the_store(scored: Scored) -> None:
    found = scored(more=[("fay", "unknown", days_ago(400), "impression", "s2")], k=2)
    assert lists(found)["fay"] == ["tea", "jam"]
    assert found[found["user_id"] == "fay"]["reason"].tolist() == ["popular"] * 2


def test_a_scored_batch_equals_the_model_called_directly(
    scored: Scored, step: Steps, tmp_path: Path, configured: Callable[..., Settings]
) -> None:
    found = scored()
    now = step(as_of=AS_OF, settings=configured("score.k=3"))
    wanted = CONFIG["wanted"]
    products = shop.catalogue(now, AS_OF, wanted)
    catalogue = Catalogue.from_table(shop.collected(products))
    best = recommendations.popular(now, products, catalogue, AS_OF, wanted)
    users = recommendations.histories(now, AS_OF, CONFIG).toPandas()
    loaded = Recommender.load(str(tmp_path / "models" / "recommender" / "v1"))
    given = recommendations.Shop(b"", best, ShopRules(np.zeros(len(catalogue), np.int64)))
    direct = recommendations.ranked_rows(loaded, users, catalogue, given, (AS_OF - date(1970, 1, 1)).days, 3)
    direct = direct.sort_values(["user_id", "rank"]).reset_index(drop=True)
    columns = ["user_id", "rank", "product_id", "reason"]
    assert found[columns].to_dict("list") == direct[columns].to_dict("list")
    assert np.allclose(found["score"], direct["score"], atol=1e-5)


def test_what_happens_after_as_of_changes_nothing(scored: Scored) -> None:
    before = scored()
    planted = [
        bought("ann", "caviar", -1),
        bought("ann", "tea", -2),
        bought("zoe", "tea", -1),
        bought("bob", "jam", -9),
    ]
    pd.testing.assert_frame_equal(scored(more=planted), before)


def test_a_past_listing_or_an_empty_shelf_takes_a_product_off_sale(scored: Scored, spark: SparkSession) -> None:
    products = side(
        spark, "silver/products",
        {"product_id": "tea", "listed_until": days_ago(1)}, {"product_id": "milk", "listed_until": AS_OF},
    )  # fmt: skip
    stock = side(
        spark, "silver/stock",
        {"product_id": "jam", "store_id": "s1", "on_hand": 4.0, "valid_from": days_ago(9)},
        {"product_id": "jam", "store_id": "s1", "on_hand": 0.0, "valid_from": days_ago(1)},
        {"product_id": "bread", "store_id": "s1", "on_hand": 0.0, "valid_from": days_ago(1)},
        {"product_id": "bread", "store_id": "s2", "on_hand": 1.0, "valid_from": days_ago(1)},
    )  # fmt: skip
    found = scored(sides={"silver/products": products, "silver/stock": stock}, k=2)
    assert set(found["product_id"]) == {"milk", "bread"}


def test_a_shop_with_fewer_products_than_k_ranks_all_of_them(scored: Scored) -> None:
    found = scored(k=10)
    assert sorted(lists(found)) == ["ann", "bob", "cid", "dee"]
    assert all(sorted(items) == ["bread", "jam", "milk", "tea"] for items in lists(found).values())


def test_what_only_anonymous_shoppers_bought_is_on_sale_too(spark: SparkSession, step: Steps) -> None:
    now = step(as_of=AS_OF)
    now.replace("gold/interactions", interactions(spark, EVENTS))
    week = days_ago(6)
    row = {
        "grain": "week.product", "product_id": "cake", "store_id": "*", "period_start": week, "week_start": week,
        "units": 4.5, "orders": 7.0, "revenue": 9.0,
    }  # fmt: skip
    schema = contract("gold/demand").schema()
    now.replace("gold/demand", spark.createDataFrame([tuple(row.get(f.name) for f in schema)], schema))
    found = {
        r["product_id"]: (r["popularity"], r["on_sale"]) for r in shop.catalogue(now, AS_OF, ["purchase"]).collect()
    }
    assert found == {
        "milk": (3.0, True), "bread": (1.0, True), "tea": (2.0, True), "jam": (1.0, True), "gone": (0.0, False),
        "cake": (7.0, True),
    }  # fmt: skip
    paid = {r["product_id"]: r["price"] for r in shop.catalogue(now, AS_OF, ["purchase"]).collect()}
    assert (paid["cake"], paid["milk"]) == (pytest.approx(np.log1p(9 / 4.5)), 0.0)  # nobody knows what milk cost
    earlier = {r["product_id"] for r in shop.catalogue(now, days_ago(1), ["purchase"]).where("on_sale").collect()}
    assert "cake" not in earlier  # its week was not over


def test_the_catalogue_holds_what_is_said_of_products(
    spark: SparkSession, step: Steps, configured: Callable[..., Settings]
) -> None:
    now = step(as_of=AS_OF, settings=configured("recommender.item_features=[brand,description]"))
    now.replace("gold/interactions", interactions(spark, EVENTS))
    told = ({"product_id": "tea", "description": "green tea", "size": "9 g"}, {"product_id": "jam", "brand": "Mum's"})
    now.replace("silver/products", side(spark, "silver/products", *told))
    found = Catalogue.from_table(shop.collected(shop.catalogue(now, AS_OF, ["purchase"])))
    products = found.products.to_pylist()
    assert dict(zip(products, found.groups["description"].to_pylist(), strict=True))["tea"] == "green tea"
    assert dict(zip(products, found.groups["brand"].to_pylist(), strict=True)) == {
        **dict.fromkeys(products), "jam": "Mum's"
    }  # fmt: skip
    assert "size" not in found.groups


def test_a_list_that_is_short_stops_the_step(spark: SparkSession, step: Steps) -> None:
    users = spark.createDataFrame([("ann", "s1", 0), ("bob", "s1", 0)], "user_id string, store_id string, flags long")
    products = spark.createDataFrame(
        [("tea", True, 0), ("jam", False, 0)], "product_id string, on_sale boolean, _marks long"
    )

    def check(*rows: tuple[str, int, str]) -> None:
        ranked = spark.createDataFrame(list(rows), "user_id string, rank int, product_id string")
        books = Books(step(as_of=AS_OF), AS_OF, users, products, None, ["purchase"], 1)
        books.check(ranked.withColumn("reason", F.lit("novel")))

    with pytest.raises(ReconciliationError, match="user bob has no list"):
        check(("ann", 1, "tea"))
    with pytest.raises(ReconciliationError, match="user ann has 2 rows with 1 distinct products"):
        check(("ann", 1, "tea"), ("ann", 2, "tea"), ("bob", 1, "tea"))
    with pytest.raises(ReconciliationError, match="product jam is not on sale"):
        check(("ann", 1, "jam"), ("bob", 1, "tea"))
    with pytest.raises(ReconciliationError, match="user eve has a list, but is not known"):
        check(("ann", 1, "tea"), ("bob", 1, "tea"), ("eve", 1, "tea"))


def test_without_a_model_the_message_says_what_to_run(step: Steps) -> None:
    with pytest.raises(ModelError, match="shelfcast train recommender"):
        recommendations.run(step(as_of=AS_OF))


def test_training_needs_a_user_with_an_event(spark: SparkSession, step: Steps) -> None:
    now = step(as_of=date(2020, 1, 5))
    now.replace("gold/interactions", interactions(spark, EVENTS))
    with pytest.raises(TrainingError, match="no event of a known user up to 2020-01-05"):
        training.run(now)


def test_a_log_without_purchases_is_learned_from_what_it_has(spark: SparkSession) -> None:
    views = interactions(spark, [("ann", "tea", days_ago(1), "view", "s1")])
    seen = shop.events(views, AS_OF, ["purchase", "view"])
    assert shop.wanted_types(seen, ["purchase", "view"]) == ["purchase", "view"]
    planted = interactions(spark, [("ann", "tea", days_ago(-1), "purchase", "s1")])
    assert shop.wanted_types(shop.events(planted, AS_OF, ["purchase"]), ["purchase"]) == ["purchase"]


@pytest.mark.slow
def test_training_and_scoring_a_small_log_from_end_to_end(
    spark: SparkSession, step: Steps, configured: Callable[..., Settings]
) -> None:
    rng = np.random.default_rng(0)
    events = [
        bought(f"u{user}", f"p{rng.integers(0, 40) // 2 * 2 + user % 2}", int(day))
        for user in range(24)
        for day in sorted(rng.integers(0, 200, 30), reverse=True)
    ]
    settings = configured(
        "recommender.epochs=2", "recommender.dim=8", "recommender.units=4", "recommender.negatives=64"
    )
    step().replace("gold/interactions", interactions(spark, events))
    said: list[str] = []
    outcome = training.run(step(as_of=AS_OF, settings=settings, say=said.append))
    assert outcome.counts["users"] == 24
    assert outcome.counts["ranker"]
    assert any("NDCG@10" in line for line in said)
    now = step(as_of=AS_OF, settings=settings, models={"recommender": outcome.counts["folder"]})
    counts = recommendations.run(now).counts
    assert (counts["users"], counts["rows"]) == (24, 240)
    assert counts["reason_repeat"] > counts.get("reason_novel", 0)
