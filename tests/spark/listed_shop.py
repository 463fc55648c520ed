"""A small shop whose users are given lists: events, sides and a model that tests of scoring share."""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.lake.step import Step
from shelfcast.lake.tables import contract
from shelfcast.models import candidates, folder
from shelfcast.models.ranker import Ranker
from shelfcast.models.recommending import Recommender
from shelfcast.models.sequence_ensemble import SequenceEnsemble
from shelfcast.score import recommendations
from shelfcast.settings import Settings

AS_OF = date(2024, 3, 31)  # a Sunday
CONFIG = {
    "encoder": "lstm", "members": 1, "dim": 4, "units": 3,
    "dropout": 0.0, "temperature": 0.1, "item_bias": True, "half_lives": [2.0, 16.0],
    "traits": [], "groups": [], "candidates": 5, "max_length": 4, "history": 50,
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
        CONFIG, pa.array(known), SequenceEnsemble.build(CONFIG, len(known)), Ranker(np.zeros(width), np.ones(width))
    )
    uri = str(tmp_path / "models" / "recommender" / "v1")
    folder.publish(uri, built.files())
    return uri


def side(spark: SparkSession, name: str, *rows: dict[str, Any]) -> DataFrame:
    """Rows of a side of silver; what a row does not name is null."""
    schema = contract(name).schema()
    given = {"source": "test", "ingest_id": "i1", "ingested_at": datetime(2024, 4, 1)}  # noqa: DTZ001
    return spark.createDataFrame([tuple({**given, **row}.get(f.name) for f in schema) for row in rows], schema)


def lists(found: pd.DataFrame) -> dict[str, list[str]]:
    return found.groupby("user_id")["product_id"].agg(list).to_dict()


class Scored:
    """Scores EVENTS, and more, in a lake, with a model whose weights are random.

    Attributes:
        said: lines of progress.
        counts: of the newest run.
    """

    def __init__(self, spark: SparkSession, step: Steps, configured: Callable[..., Settings], folder: Path) -> None:
        self.spark, self.step, self.configured, self.uri = spark, step, configured, model(folder)
        self.said: list[str] = []
        self.counts: dict[str, Any] = {}

    def __call__(
        self, *sets: str, more: Iterable[Event] = (), sides: dict[str, DataFrame] | None = None, k: int = 3
    ) -> pd.DataFrame:
        """The lists, by user and rank."""
        settings = self.configured(f"score.k={k}", *sets)
        before = self.step(settings=settings)
        before.replace("gold/interactions", interactions(self.spark, [*EVENTS, *more]))
        for name, frame in (sides or {}).items():
            before.replace(name, frame)
        now = self.step(as_of=AS_OF, settings=settings, models={"recommender": self.uri}, say=self.said.append)
        self.counts = recommendations.run(now).counts
        found = now.lake.read("gold/recommendations").where(F.col("as_of") == F.lit(AS_OF))
        return found.toPandas().sort_values(["user_id", "rank"]).reset_index(drop=True)
