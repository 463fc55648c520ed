"""Recommendations: from gold/interactions to lists, with what is on sale, and nothing of the future."""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.errors import ModelError, ReconciliationError, TrainingError
from shelfcast.lake import catalogue as shop
from shelfcast.lake.step import Step
from shelfcast.lake.tables import contract
from shelfcast.models import candidates, folder
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.ranker import Ranker
from shelfcast.models.recommending import Recommender, build_sequence
from shelfcast.score import recommendations
from shelfcast.settings import Settings
from shelfcast.train import recommender as training

AS_OF = date(2024, 3, 31)  # a Sunday
CONFIG = {
    "dim": 4, "units": 3, "dropout": 0.0, "temperature": 0.1, "item_bias": True, "half_lives": [2.0, 16.0],
    "traits": [], "candidates": 5, "max_length": 4, "history": 50,
    "wanted": ["purchase"], "event_types": ["purchase", "view"],
}  # fmt: skip
Event = tuple[str, str, date, str, str]  # user, product, date, type, store
Steps = Callable[..., Step]


def days_ago(days: int) -> date:
    return AS_OF - timedelta(days=days)


def bought(user: str, product: str, days: int, store: str = "s1") -> Event:
    return (user, product, days_ago(days), "purchase", store)


def interactions(spark: SparkSession, events: Iterable[Event]) -> DataFrame:
    """gold/interactions of these events."""
    frame = pd.DataFrame(list(events), columns=["user_id", "product_id", "day", "type", "store_id"])
    frame["week_start"] = [day - timedelta(days=day.weekday()) for day in frame["day"]]
    rows = []
    for (user, week), group in frame.sort_values("day", kind="stable").groupby(["user_id", "week_start"]):
        times = [datetime(d.year, d.month, d.day, 12) for d in group["day"]]  # noqa: DTZ001
        bucket = sum(user.encode()) % 1024
        rows.append(
            (user, week, bucket, group["store_id"].iloc[-1], list(group["product_id"]), list(group["type"]), times,
             list(group["day"]), [1.0] * len(group))
        )  # fmt: skip
    return spark.createDataFrame(rows, contract("gold/interactions").schema())


EVENTS = [
    bought("ann", "milk", 3), bought("ann", "milk", 10), bought("ann", "bread", 10), bought("ann", "gone", 80),
    bought("bob", "milk", 5, "s2"), bought("bob", "tea", 5, "s2"), bought("cid", "tea", 20, "s2"),
    bought("cid", "jam", 21, "s2"), ("dee", "jam", days_ago(2), "view", "s2"),
]  # fmt: skip


def model(tmp_path: Path, known: tuple[str, ...] = ("bread", "jam", "milk", "tea")) -> str:
    """A model folder with random weights."""
    width = len(candidates.names(CONFIG["half_lives"], []))
    built = Recommender(
        CONFIG, pa.array(known), build_sequence(CONFIG, len(known)), Ranker(np.zeros(width), np.ones(width))
    )
    uri = str(tmp_path / "models" / "recommender" / "v1")
    folder.publish(uri, built.files())
    return uri


@pytest.fixture
def scored(spark: SparkSession, step: Steps, configured: Callable[..., Settings], tmp_path: Path) -> Callable[..., Any]:
    """Scores EVENTS (and more) and gives the lists as pandas, by user and rank."""
    uri = model(tmp_path)

    def run(more: Iterable[Event] = (), sides: dict[str, DataFrame] | None = None, k: int = 3) -> pd.DataFrame:
        settings = configured(f"score.k={k}")
        before = step(settings=settings)
        before.replace("gold/interactions", interactions(spark, [*EVENTS, *more]))
        for name, frame in (sides or {}).items():
            before.replace(name, frame)
        now = step(as_of=AS_OF, settings=settings, models={"recommender": uri})
        recommendations.run(now)
        found = now.lake.read("gold/recommendations").where(F.col("as_of") == F.lit(AS_OF))
        return found.toPandas().sort_values(["user_id", "rank"]).reset_index(drop=True)

    return run


def side(spark: SparkSession, name: str, *rows: dict[str, Any]) -> DataFrame:
    """Rows of a side of silver; what a row does not name is null."""
    schema = contract(name).schema()
    given = {"source": "test", "ingest_id": "i1", "ingested_at": datetime(2024, 4, 1)}  # noqa: DTZ001
    return spark.createDataFrame([tuple({**given, **row}.get(f.name) for f in schema) for row in rows], schema)


def lists(found: pd.DataFrame) -> dict[str, list[str]]:
    return found.groupby("user_id")["product_id"].agg(list).to_dict()


def test_every_known_user_gets_k_distinct_products_on_sale(scored: Callable[..., Any], spark: SparkSession) -> None:
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


def test_a_user_with_nothing_to_go_by_gets_what_is_popular_in_the_store(scored: Callable[..., Any]) -> None:
    found = scored(more=[("fay", "unknown", days_ago(400), "impression", "s2")], k=2)
    assert lists(found)["fay"] == ["tea", "jam"]
    assert found[found["user_id"] == "fay"]["reason"].tolist() == ["popular"] * 2


def test_a_scored_batch_equals_the_model_called_directly(
    scored: Callable[..., Any], step: Steps, tmp_path: Path, configured: Callable[..., Settings]
) -> None:
    found = scored()
    now = step(as_of=AS_OF, settings=configured("score.k=3"))
    wanted = CONFIG["wanted"]
    products = shop.catalogue(now, AS_OF, wanted)
    catalogue = Catalogue.from_table(shop.collected(products))
    best = recommendations.popular(now, products, catalogue, AS_OF, wanted)
    users = recommendations.histories(now, AS_OF, wanted, CONFIG["history"]).toPandas()
    loaded = Recommender.load(str(tmp_path / "models" / "recommender" / "v1"))
    direct = recommendations.ranked_rows(loaded, users, catalogue, best, (AS_OF - date(1970, 1, 1)).days, 3)
    direct = direct.sort_values(["user_id", "rank"]).reset_index(drop=True)
    columns = ["user_id", "rank", "product_id", "reason"]
    assert found[columns].to_dict("list") == direct[columns].to_dict("list")
    assert np.allclose(found["score"], direct["score"], atol=1e-5)


def test_what_happens_after_as_of_changes_nothing(scored: Callable[..., Any]) -> None:
    before = scored()
    planted = [
        bought("ann", "caviar", -1),
        bought("ann", "tea", -2),
        bought("zoe", "tea", -1),
        bought("bob", "jam", -9),
    ]
    pd.testing.assert_frame_equal(scored(more=planted), before)


def test_a_past_listing_or_an_empty_shelf_takes_a_product_off_sale(
    scored: Callable[..., Any], spark: SparkSession
) -> None:
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


def test_a_shop_with_fewer_products_than_k_ranks_all_of_them(scored: Callable[..., Any]) -> None:
    found = scored(k=10)
    assert sorted(lists(found)) == ["ann", "bob", "cid", "dee"]
    assert all(sorted(items) == ["bread", "jam", "milk", "tea"] for items in lists(found).values())


def test_what_only_anonymous_shoppers_bought_is_on_sale_too(spark: SparkSession, step: Steps) -> None:
    now = step(as_of=AS_OF)
    now.replace("gold/interactions", interactions(spark, EVENTS))
    week = days_ago(6)
    row = {
        "grain": "week.product", "product_id": "cake", "store_id": "*", "period_start": week, "week_start": week,
        "units": 9.0, "orders": 7.0, "revenue": 9.0,
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
    earlier = {r["product_id"] for r in shop.catalogue(now, days_ago(1), ["purchase"]).where("on_sale").collect()}
    assert "cake" not in earlier  # its week was not over


def test_a_list_that_is_short_stops_the_step(spark: SparkSession) -> None:
    users = spark.createDataFrame([("ann",), ("bob",)], "user_id string")
    products = spark.createDataFrame([("tea", True), ("jam", False)], "product_id string, on_sale boolean")

    def check(*rows: tuple[str, int, str]) -> None:
        ranked = spark.createDataFrame(list(rows), "user_id string, rank int, product_id string")
        recommendations.reconcile(ranked.withColumn("reason", F.lit("novel")), users, products, 1, AS_OF)

    with pytest.raises(ReconciliationError, match="user bob has no list"):
        check(("ann", 1, "tea"))
    with pytest.raises(ReconciliationError, match="user ann has 2 rows with 1 distinct products"):
        check(("ann", 1, "tea"), ("ann", 2, "tea"), ("bob", 1, "tea"))
    with pytest.raises(ReconciliationError, match="product jam is not on sale"):
        check(("ann", 1, "jam"), ("bob", 1, "tea"))


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
