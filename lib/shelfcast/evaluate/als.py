"""Spark's implicit alternating least squares as a rival of the recommender."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from shelfcast.evaluate.purchases import Ground
from shelfcast.models.sequences import Sequences

NAME = "als"
_SCHEMA = "user_id string, product_id string, rank int, novel boolean"
_CHUNK = 256  # users scored at a time
_BUCKETS, _IN_BUCKET = 2**12, 2**19  # together all that ALS can number


@dataclass(frozen=True)
class Factors:
    """What is fitted: the rank, how strongly a purchase speaks for a product, and into how many blocks it is cut."""

    rank: int = 64
    iterations: int = 10
    regularisation: float = 0.1
    alpha: float = 1.0
    blocks: int = 10


@dataclass(frozen=True)
class Items:
    """Products on sale that have factors.

    Attributes:
        numbers: [items] ascending.
        names: [items] product_id.
        factors: [items, rank] float32.
    """

    numbers: NDArray[Any]
    names: NDArray[Any]
    factors: NDArray[Any]


def lists(ground: Ground, seed: int, given: Factors | None = None) -> DataFrame:
    """Products on sale by the inner product with a user's factors (Hu, Koren and Volinsky 2008), fitted to how often
    each user bought each product; all of them are searched. The driver holds the factors of the products on sale.

    Returns:
        user_id, product_id, rank, novel: the measured users' lists of any product (novel is false) and of products
        that are new to them.
    """
    given = given or Factors()
    users = numbered(ground.before, "user_id", "user")
    items = numbered(ground.before, "product_id", "item")
    counts = ground.before.join(users, "user_id").join(items, "product_id")
    counts = counts.select("user_id", "user", "product_id", "item", F.col("times").cast("float").alias("times"))
    model = _fitted(counts, given, seed)
    offered = ground.products.where(F.col("recent") > 0).join(items, "product_id").select("item", "product_id")
    learned = model.itemFactors.join(offered, F.col("id") == F.col("item")).select("item", "product_id", "features")
    own = counts.join(ground.measured(), "user_id", "left_semi")
    owned = own.groupBy("user_id", "user").agg(F.collect_list("item").alias("items"))
    asked = owned.join(model.userFactors, F.col("user") == F.col("id")).select("user_id", "features", "items")
    searched = asked.sparkSession.sparkContext.broadcast(_items(learned.orderBy("item").toArrow(), given.rank))
    return asked.mapInPandas(_searcher(searched, ground.question.k), _SCHEMA)


def vectors(
    spark: SparkSession, known: Sequences, items: int, seed: int, given: Factors | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Factors of users [users, rank] and items [items, rank] of a benchmark file, zeros for who has none.

    Args:
        known: what each user took; fitted to how often.
    """
    given = given or Factors()
    rows = np.repeat(np.arange(len(known.offsets) - 1, dtype=np.int32), np.diff(known.offsets))
    taken = spark.createDataFrame(pa.table({"user": rows, "item": known.numbers - 1}))
    model = _fitted(taken.groupBy("user", "item").agg(F.count("*").cast("float").alias("times")), given, seed)
    found = []
    for learned, count in ((model.userFactors, len(known.offsets) - 1), (model.itemFactors, items)):
        table = learned.toArrow()
        factors = np.zeros((count, given.rank), np.float32)
        factors[table["id"].to_numpy()] = _matrix(table["features"], given.rank)
        found.append(factors)
    return found[0], found[1]


def _fitted(counts: DataFrame, given: Factors, seed: int) -> ALSModel:
    """
    Args:
        counts: user, item, times.
    """
    return ALS(
        rank=given.rank, maxIter=given.iterations, regParam=given.regularisation, alpha=given.alpha,
        implicitPrefs=True, userCol="user", itemCol="item", ratingCol="times", seed=seed,
        numUserBlocks=given.blocks, numItemBlocks=given.blocks,
    ).fit(counts)  # fmt: skip


def numbered(frame: DataFrame, column: str, name: str) -> DataFrame:
    """Each value of a column with a number of its own that fits into an int: column, name.

    ALS wants ints, and an indexer would bring every value to the driver: here each of many buckets numbers its own.
    """
    bucket = F.pmod(F.xxhash64(column), F.lit(_BUCKETS))
    place = F.row_number().over(Window.partitionBy("bucket").orderBy(column)) - 1
    values = frame.select(column).distinct().withColumn("bucket", bucket)
    return values.select(column, (F.col("bucket") * _IN_BUCKET + place).cast("int").alias(name))


def _items(rows: pa.Table, rank: int) -> Items:
    return Items(rows["item"].to_numpy(), rows["product_id"].to_numpy(), _matrix(rows["features"], rank))


def _matrix(features: pa.ChunkedArray, rank: int) -> NDArray[Any]:
    return np.asarray(pc.list_flatten(features).to_numpy(), np.float32).reshape(-1, rank)


def _searcher(given: "Broadcast[Items]", k: int) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    def search(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        items = given.value
        for frame in frames:
            for start in range(0, len(frame) if len(items.numbers) else 0, _CHUNK):
                yield best(frame.iloc[start : start + _CHUNK], items, k)

    return search


def best(users: pd.DataFrame, items: Items, k: int) -> pd.DataFrame:
    """The k best items of some users, any and new ones; equal scores are ordered by number.

    Args:
        users: user_id, features, items: numbers of what each bought.
    """
    scores = np.stack(list(users["features"])).astype(np.float32) @ items.factors.T
    found = [_ranked(users["user_id"], scores, items, k, novel=False)]
    rows = np.repeat(np.arange(len(users)), [len(own) for own in users["items"]])
    bought = np.concatenate(list(users["items"]))
    places = np.minimum(np.searchsorted(items.numbers, bought), len(items.numbers) - 1)
    offered = items.numbers[places] == bought
    scores[rows[offered], places[offered]] = -np.inf
    found.append(_ranked(users["user_id"], scores, items, k, novel=True))
    return pd.concat(found, ignore_index=True)


def _ranked(users: pd.Series, scores: NDArray[Any], items: Items, k: int, *, novel: bool) -> pd.DataFrame:
    count = min(k, scores.shape[1])
    chosen = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
    values = np.take_along_axis(scores, chosen, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    chosen, values = np.take_along_axis(chosen, order, 1), np.take_along_axis(values, order, 1)
    rows, places = np.nonzero(np.isfinite(values))
    return pd.DataFrame(
        {
            "user_id": users.to_numpy()[rows],
            "product_id": items.names[chosen[rows, places]],
            "rank": (places + 1).astype(np.int32),
            "novel": novel,
        }
    )
