"""The step that ranks products for every user: the model is loaded once per Python worker, each batch is one call."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import Broadcast, SparkFiles, StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ModelError, ReconciliationError
from shelfcast.lake import catalogue as shop
from shelfcast.lake.step import Outcome, Step, content_id
from shelfcast.lake.visible import visible
from shelfcast.models import folder
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.ranking import REASONS

TABLE = "gold/recommendations"
_SCHEMA = "user_id string, rank int, product_id string, score double, reason string"
_EPOCH = date(1970, 1, 1)
_LOADED: dict[str, Any] = {}


@dataclass(frozen=True)
class Shop:
    """What every worker is given: it grows with the catalogue and the number of stores, not with the log.

    Attributes:
        catalogue: a Catalogue as bytes.
        popular: store → codes of its best sellers, then of the chain's, distinct; ``""`` stands for no known store.
    """

    catalogue: bytes
    popular: dict[str, NDArray[Any]]


def run(step: Step) -> Outcome:
    """Rank products for every known user and replace the slice ``as_of`` of gold/recommendations.

    Raises:
        ModelError: if the model is missing or damaged.
        ReconciliationError: if a list is not exactly K distinct products on sale; nothing is written then.
    """
    as_of, uri, k = step.day(), step.models.get("recommender", ""), step.settings.score.k
    if not uri:
        raise ModelError(
            "no recommender was given to score with: run `shelfcast train recommender` for this as-of first"
        )
    config = folder.decode_json(folder.load(uri)["config.json"])  # damage is told here, not by a Spark task
    wanted = config["wanted"]
    products = shop.catalogue(step, as_of, wanted).persist(StorageLevel.MEMORY_AND_DISK)
    catalogue = Catalogue.from_table(shop.collected(products))
    offered = int(catalogue.on_sale.sum())
    if offered < k:
        step.say(f"only {offered} products are on sale at {as_of}, so lists hold {offered} products instead of {k}")
    given = Shop(catalogue.to_bytes(), popular(step, products, catalogue, as_of, wanted))
    users = histories(step, as_of, wanted, int(config["history"]))
    ranked = recommendations(users, uri, given, as_of, k).persist(StorageLevel.DISK_ONLY)
    try:
        counts = reconcile(ranked, users, products, min(k, offered), as_of)
        lists = ranked.withColumn("as_of", F.lit(as_of)).withColumn(
            "model_version", F.lit(uri.rstrip("/").rsplit("/", 1)[-1])
        )
        step.replace(TABLE, lists, slices=[as_of])
    finally:
        ranked.unpersist()
        products.unpersist()
    return Outcome(
        rows_in=counts["users"], rows_out=counts["rows"], counts={**counts, "on_sale": offered},
        contents={TABLE: {as_of.isoformat(): content_id(TABLE, step.fingerprint)}},
    )  # fmt: skip


def histories(step: Step, as_of: date, wanted: list[str], most: int) -> DataFrame:
    """A row a known user: user_id, store_id of the newest week, and arrays in time order of the ``most`` newest events:
    items, days, times (seconds), wanted. Users of silver/users without an event have null arrays.
    """
    types = step.settings.recommender.event_types
    event = F.arrays_zip("items", "types", "dates", "times")
    seen = F.filter(event, lambda e: e["dates"] <= F.lit(as_of))
    counted = F.filter("seen", lambda e: e["types"].isin(types))
    weekly = (
        step.read("gold/interactions")
        .where(F.col("week_start") <= F.lit(as_of))
        .select("user_id", "week_start", "store_id", seen.alias("seen"))
        .where(F.size("seen") > 0)
        .select("user_id", "week_start", "store_id", counted.alias("events"))
    )
    by_user = weekly.groupBy("user_id").agg(
        F.max_by("store_id", "week_start").alias("store_id"),
        F.sort_array(F.collect_list(F.struct("week_start", "events"))).alias("weeks"),
    )
    events = by_user.select("user_id", "store_id", F.flatten("weeks.events").alias("events"))
    newest = F.when(F.size("events") > most, F.slice("events", -most, most)).otherwise(F.col("events"))
    users = events.withColumn("events", newest).select(
        "user_id",
        "store_id",
        F.col("events.items").alias("items"),
        F.transform("events", lambda e: F.unix_date(e["dates"])).alias("days"),
        F.transform("events", lambda e: F.unix_seconds(e["times"])).alias("times"),
        F.transform("events", lambda e: e["types"].isin(wanted)).alias("wanted"),
    )
    if not step.has("silver/users"):
        return users
    registered = visible(step.read("silver/users"), as_of).select("user_id").distinct()
    return users.join(registered, "user_id", "full")


def popular(
    step: Step, products: DataFrame, catalogue: Catalogue, as_of: date, wanted: list[str]
) -> dict[str, NDArray[Any]]:
    """Store → codes of 2 K products on sale, best first: the store's best sellers, then the chain's."""
    settings = step.settings
    most = 2 * settings.score.k
    seen = shop.events(step.read("gold/interactions"), as_of, settings.recommender.event_types)
    after = as_of - timedelta(weeks=settings.score.on_sale_weeks)
    rows = shop.popular_by_store(seen, products, wanted, after, most).orderBy("store_id", "place").toArrow()
    chain = catalogue.best_sellers(most)
    codes = catalogue.codes(rows["product_id"])
    lists = {"": chain}
    stores = rows["store_id"].to_numpy()
    for store in np.unique(stores.astype(str)):
        own = codes[stores == store]
        lists[str(store)] = np.concatenate([own, chain[~np.isin(chain, own)]])[:most].astype(np.int32)
    return lists


def recommendations(users: DataFrame, uri: str, given: Shop, as_of: date, k: int) -> DataFrame:
    """Ranked products of users as :func:`histories` gives them: user_id, rank, product_id, score, reason.

    Args:
        uri: the model's folder, visible to every executor.
    """
    context = users.sparkSession.sparkContext
    return users.mapInPandas(scorer(uri, context.broadcast(given), (as_of - _EPOCH).days, k), _SCHEMA)


def scorer(
    uri: str, given: "Broadcast[Shop]", day: int, k: int
) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """The function that Spark's Python workers run over batches of users."""

    def score(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = loaded(uri)
        catalogue = Catalogue.from_bytes(given.value.catalogue)
        for frame in frames:
            if len(frame):
                yield ranked_rows(model, frame, catalogue, given.value.popular, day, k)

    return score


def loaded(uri: str) -> Any:
    """The model, loaded at this worker's first use of it, with one TensorFlow thread: Spark brings the parallelism."""
    if uri not in _LOADED:
        import tensorflow as tf

        if not _LOADED:
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            tf.config.set_visible_devices([], "GPU")
        from shelfcast.models.recommending import Recommender

        _LOADED.clear()
        _LOADED[uri] = Recommender.load(uri, Path(SparkFiles.getRootDirectory()))
    return _LOADED[uri]


def ranked_rows(
    model: Any, users: pd.DataFrame, catalogue: Catalogue, best: dict[str, NDArray[Any]], day: int, k: int
) -> pd.DataFrame:
    """The lists of some users, a row a place."""
    chain = best[""]
    stores = users["store_id"].fillna("").astype(str)
    popular_codes = np.stack([best.get(store, chain) for store in stores])
    ranked = model.recommend(tensors(users, catalogue), catalogue, day, popular_codes, k)
    rows, places = np.nonzero(ranked.items >= 0)
    return pd.DataFrame(
        {
            "user_id": users["user_id"].to_numpy()[rows],
            "rank": (places + 1).astype(np.int32),
            "product_id": catalogue.ids(ranked.items[rows, places]),
            "score": ranked.scores[rows, places],
            "reason": REASONS[ranked.reasons[rows, places]],
        }
    )


def tensors(users: pd.DataFrame, catalogue: Catalogue) -> Histories:
    """Rows of :func:`histories` as flat arrays; null arrays are empty."""
    known = users["items"].notna().to_numpy()
    sizes = np.zeros(len(users), np.int64)
    sizes[known] = [len(items) for items in users["items"][known]]

    def flat(name: str, kind: Any) -> NDArray[Any]:
        parts = list(users[name][known])
        return np.concatenate(parts).astype(kind) if parts else np.zeros(0, kind)

    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    codes = catalogue.codes(pa.array(flat("items", object), pa.string())).astype(np.int32)
    found = Histories(offsets, codes, flat("days", np.int32), flat("times", np.int64), flat("wanted", bool))
    return found.keep(codes >= 0)


def reconcile(ranked: DataFrame, users: DataFrame, products: DataFrame, k: int, as_of: date) -> dict[str, int]:
    """Check that every user, and no other, has ranks 1..k of distinct products that are on sale.

    Returns:
        users, rows, and rows by reason.

    Raises:
        ReconciliationError: naming a user or product.
    """
    where = f"gold/recommendations of {as_of}"
    lists = ranked.groupBy("user_id").agg(
        F.count("*").alias("rows"),
        F.countDistinct("product_id").alias("products"),
        F.sort_array(F.collect_list("rank")).alias("ranks"),
    )
    ranks = F.array(*[F.lit(place) for place in range(1, k + 1)]) if k else F.array().cast("array<int>")
    whole = (F.col("rows") == k) & (F.col("products") == k) & (F.col("ranks") == ranks)
    wrong = lists.where(~whole).head()
    if wrong is not None:
        raise ReconciliationError(
            f"{where}: user {wrong['user_id']} has {wrong['rows']} rows with {wrong['products']} distinct products, "
            f"expected ranks 1 to {k} of distinct products; nothing was written, please report this"
        )
    people = users.select("user_id")
    if k:
        astray = people.join(lists.select("user_id"), "user_id", "left_anti").head()
        if astray is not None:
            raise ReconciliationError(
                f"{where}: user {astray['user_id']} has no list; nothing was written, please report this"
            )
    sold = products.where("on_sale").select("product_id")
    stale = ranked.join(sold, "product_id", "left_anti").head()
    if stale is not None:
        raise ReconciliationError(
            f"{where}: product {stale['product_id']} is not on sale; nothing was written, please report this"
        )
    reasons = {row["reason"]: int(row["count"]) for row in ranked.groupBy("reason").count().collect()}
    count = people.count()
    if lists.count() != (count if k else 0):
        raise ReconciliationError(
            f"{where}: some lists belong to no known user; nothing was written, please report this"
        )
    return {
        "users": count,
        "rows": sum(reasons.values()),
        **{f"reason_{name}": n for name, n in sorted(reasons.items())},
    }
