"""The bench's comparison on a small lake: every rival's lists are fitted, measured on the same users and kept."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from shelfcast import recommender_bench
from shelfcast.backtest import metrics
from shelfcast.evaluate import als, item_knn
from shelfcast.evaluate.als import Factors
from shelfcast.evaluate.item_knn import Neighbourhood
from shelfcast.lake.step import Step
from shelfcast.lake.tables import contract
from shelfcast.models.sequences import Sequences
from shelfcast.settings import Settings

AS_OF = date(2024, 3, 3)


class Quiet:
    def begin(self, step: str, slice_: str) -> Any:
        return print

    def end(self, done: Any) -> None:
        return None


def write(step: Step, table: str, rows: list[dict[str, Any]]) -> None:
    """Rows of a table; columns that are not given are null, days stand for timestamps."""
    columns = contract(table).columns
    ddl = ", ".join(f"{c.name} {'date' if c.type == 'timestamp' else c.type}" for c in columns)
    frame = step.spark.createDataFrame([tuple(row.get(c.name) for c in columns) for row in rows], ddl)
    times = {c.name: F.col(c.name).cast("timestamp") for c in columns if c.type == "timestamp"}
    step.replace(table, frame.withColumns(times))


def bought(user: str, product: str, day: date) -> dict[str, Any]:
    return {
        "event_id": f"{user}-{product}-{day}", "event_time": day, "event_date": day, "event_type": "purchase",
        "week_start": day - timedelta(days=day.weekday()), "user_id": user, "product_id": product, "store_id": "1",
        "quantity": 1.0, "source": "test", "ingest_id": "i", "ingested_at": day,
    }  # fmt: skip


def place(user: str, rank: int, product: str) -> dict[str, Any]:
    plain = {"as_of": AS_OF, "score": 1.0, "reason": "repeat", "model_version": "m7"}
    return plain | {"user_id": user, "rank": rank, "product_id": product}


def test_rivals_are_fitted_measured_and_kept(
    step: Callable[..., Step], configured: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers buy all books but one, cooks all pans but one, and then the one that they lack."""
    given, settings = step(), configured("score.k=2", "windows.horizon=1")
    log, lists = [], []
    for kind in ("book", "pan"):
        for number in range(4):
            user = f"{kind} lover {number}"
            own = [f"{kind} {other}" for other in range(4) if other != number]
            log += [bought(user, product, AS_OF - timedelta(days=place)) for place, product in enumerate(own)]
            log.append(bought(user, f"{kind} {number}", AS_OF + timedelta(days=2)))
            lists += [place(user, rank, product) for rank, product in enumerate(own[:2], 1)]
    log.append(bought("stranger", "book 0", AS_OF + timedelta(days=7)))
    write(given, "silver/events", log)
    write(given, "gold/recommendations", lists)
    monkeypatch.setattr("shelfcast.pipeline.Pipeline.run", lambda *_: None)
    monkeypatch.setattr(recommender_bench, "RIVALS", {
        item_knn.NAME: lambda ground, _: item_knn.lists(ground, Neighbourhood(support=1, together=1)),
        als.NAME: lambda ground, seed: als.lists(ground, seed, Factors(rank=2, iterations=2, blocks=1)),
    })  # fmt: skip
    result = recommender_bench.recommend(settings, [AS_OF], Quiet())
    origin = result.document["origins"][AS_OF.isoformat()]
    assert (origin["users"], origin["model_version"]) == (8, "m7")
    # the missing one is the only new product that a lover's kind has, and the other kind's are not like it
    for name in ("item_knn_novel", "als_novel"):
        assert origin["novel"][name] == pytest.approx({"recall@2": 1, "ndcg@2": 1, "mrr@2": 1})
    assert origin["models"]["item_knn"]["recall@2"] <= 1
    assert origin["models"]["recommender"]["recall@2"] == 0  # it lists what they have
    assert result.document["ratio"] == 0
    kept = {row["model"]: row for row in metrics(settings.lake, AS_OF, recommender_bench.WAY)}
    assert kept.keys() >= {"recommender", "item_knn", "item_knn_novel", "als", "als_novel", "popularity_unseen"}
    assert metrics(settings.lake, AS_OF, None) == []  # an evaluation of the run's own has not been made


def test_als_places_the_users_and_items_of_a_benchmark_file(spark: SparkSession) -> None:
    """Users 0 .. 5 take items 1 .. 4, users 6 .. 11 items 5 .. 8, but each leaves one out; nobody takes item 9."""
    taken = [[4 * (user // 6) + 1 + item for item in range(4) if item != user % 4] for user in range(12)]
    offsets = np.arange(0, 37, 3)
    numbers = np.array(taken, np.int32).ravel()
    known = Sequences(offsets, numbers, np.zeros(36, np.int64), np.ones(36, np.int32))
    users, items = als.vectors(spark, known, 9, 1, Factors(rank=2, iterations=5, blocks=1))
    assert users.shape == (12, 2)
    assert not items[8].any()
    scores = users @ items.T
    for user in range(12):
        left_out = 4 * (user // 6) + user % 4
        others = np.arange(4) + 4 * (1 - user // 6)
        assert scores[user, left_out] > scores[user, others].max()
