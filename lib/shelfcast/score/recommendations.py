"""The step that ranks products for every user: the model is loaded once per Python worker, each batch is one call."""

from collections.abc import Callable, Iterator, Mapping
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

from shelfcast.errors import ConfigError, ModelError
from shelfcast.lake import catalogue as shop
from shelfcast.lake.step import Outcome, Step, content_id
from shelfcast.models import folder
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.ranking import REASONS
from shelfcast.models.rules import Rules, ShopRules
from shelfcast.score import rules, usual
from shelfcast.score.lists_close import Books

TABLE = "gold/recommendations"
_SCHEMA = "user_id string, rank int, product_id string, score double, reason string"
_EPOCH = date(1970, 1, 1)
_EVENTS: dict[str, Any] = {"days": np.int32, "times": np.int64, "wanted": bool, "kinds": np.int8}
_LOADED: dict[str, Any] = {}


@dataclass(frozen=True)
class Shop:
    """What every worker is given: it grows with the catalogue and the number of stores, not with the log.

    Attributes:
        catalogue: a Catalogue as bytes.
        popular: store → codes of its best sellers, then of the chain's, distinct; ``""`` stands for no known store.
        rules: what lists may hold.
    """

    catalogue: bytes
    popular: dict[str, NDArray[Any]]
    rules: ShopRules


def run(step: Step) -> Outcome:
    """Rank products for every known user and replace the slice ``as_of`` of gold/recommendations.

    Raises:
        ConfigError: if a rule of section ``lists`` cannot be applied, or the rules leave nothing to be offered.
        ModelError: if the model is missing or damaged.
        ReconciliationError: if a list is not K distinct products that the user may be offered, or all of these where
            they are fewer; nothing is written then.
    """
    as_of, uri, k = step.day(), step.models.get("recommender", ""), step.settings.score.k
    if not uri:
        raise ModelError(
            "no recommender was given to score with: run `shelfcast train recommender` for this as-of first"
        )
    config = folder.decode_json(folder.load(uri)["config.json"])  # damage is told here, not by a Spark task
    wanted = config["wanted"]
    products = rules.products(step, shop.catalogue(step, as_of, wanted), as_of).persist(StorageLevel.MEMORY_AND_DISK)
    table = shop.collected(products)
    catalogue = Catalogue.from_table(table.drop_columns(rules.columns(step.settings.lists)))
    offered = _offered(step, table, as_of)
    absent = shop.absent_by_store(step, products, as_of)
    missing = absent.toArrow() if absent is not None else None
    if not missing:
        absent = None
    given = Shop(
        catalogue.to_bytes(), popular(step, products, catalogue, as_of, wanted),
        rules.shop_rules(step.settings.lists, k, table, catalogue, missing),
    )  # fmt: skip
    everyone = histories(step, as_of, config)
    known = everyone.select("user_id", "store_id", "flags", "opted_out").persist(StorageLevel.DISK_ONLY)
    ranked = recommendations(everyone.where(~F.col("opted_out")), uri, given, as_of, k).persist(StorageLevel.DISK_ONLY)
    try:
        users = known.where(~F.col("opted_out")).drop("opted_out")
        counts = Books(step, as_of, users, products, absent, wanted, k).check(ranked)
        counts["opted_out"] = known.where("opted_out").count()
        _tell(step, counts, k)
        usual.check_lists(step, counts)
        lists = ranked.withColumn("as_of", F.lit(as_of)).withColumn(
            "model_version", F.lit(uri.rstrip("/").rsplit("/", 1)[-1])
        )
        step.replace(TABLE, lists, slices=[as_of])
    finally:
        for frame in (ranked, known, products):
            frame.unpersist()
    return Outcome(
        rows_in=counts["users"], rows_out=counts["rows"], counts={**counts, **offered},
        contents={TABLE: {as_of.isoformat(): content_id(TABLE, step.fingerprint)}},
    )  # fmt: skip


def _offered(step: Step, table: pa.Table, as_of: date) -> dict[str, Any]:
    """Counts of products: on sale, of these offered, and those each exclusion speaks of; says what is worth knowing.

    Raises:
        ConfigError: if products are on sale, but the rules exclude them all.
    """
    k = step.settings.score.k
    sold, offered = (int(np.count_nonzero(table[name])) for name in (rules.SOLD, "on_sale"))
    excluded = rules.concerned(step.settings.lists, table)
    for name, count in excluded.items():
        if not count:
            step.say(f"lists.exclusions.{name} speaks of none of the {sold} products on sale at {as_of}")
    if sold and not offered:
        told = ", ".join(f"{name}: {count}" for name, count in excluded.items() if count)
        raise ConfigError(
            f"lists.exclusions leaves none of the {sold} products on sale at {as_of} to be offered ({told}); correct "
            "their conditions"
        )
    if offered < k:
        step.say(f"only {offered} products may be offered at {as_of}, so lists hold {offered} products instead of {k}")
    return {"on_sale": sold, "offered": offered, "exclusions": excluded}


def _tell(step: Step, counts: dict[str, int], k: int) -> None:
    if counts["opted_out"]:
        step.say(f"{counts['opted_out']} users want no recommendations and get no list")
    if counts["short_lists"]:
        step.say(f"{counts['short_lists']} users may be offered fewer than {k} products: their lists hold all of these")


def histories(step: Step, as_of: date, config: Mapping[str, Any]) -> DataFrame:
    """A row a known user: user_id, store_id of the newest week, and arrays in time order of the ``most`` newest events:
    items, days, times (seconds), wanted, kinds (places among the event types); earlier_items and earlier_days of wanted
    events before them; flags and opted_out as in ``rules.users``. Users of silver/users without an event have null
    arrays.

    Args:
        config: of the model: history (``most``), wanted and event_types.
    """
    wanted, types, most = (config[name] for name in ("wanted", "event_types", "history"))
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
    older = F.slice("events", 1, F.greatest(F.size("events") - most, F.lit(0)))
    bought = F.array_distinct(
        F.transform(
            F.filter(older, lambda e: e["types"].isin(wanted)),
            lambda e: F.struct(e["items"].alias("items"), F.unix_date(e["dates"]).alias("days")),
        )
    )
    users = events.select("user_id", "store_id", newest.alias("events"), bought.alias("bought")).select(
        "user_id",
        "store_id",
        F.col("events.items").alias("items"),
        F.transform("events", lambda e: F.unix_date(e["dates"])).alias("days"),
        F.transform("events", lambda e: F.unix_seconds(e["times"])).alias("times"),
        F.transform("events", lambda e: e["types"].isin(wanted)).alias("wanted"),
        F.transform("events", lambda e: F.array_position(F.lit(types), e["types"]) - 1).alias("kinds"),
        F.col("bought.items").alias("earlier_items"),
        F.col("bought.days").alias("earlier_days"),
    )
    return rules.users(step, users, as_of)


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
                yield ranked_rows(model, frame, catalogue, given.value, day, k)

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


def ranked_rows(model: Any, users: pd.DataFrame, catalogue: Catalogue, given: Shop, day: int, k: int) -> pd.DataFrame:
    """The lists of some users, a row a place."""
    chain = given.popular[""]
    stores = users["store_id"].fillna("").astype(str).to_numpy()
    popular_codes = np.stack([given.popular.get(store, chain) for store in stores])
    asked = Rules(given.rules, users["flags"].to_numpy(np.int64), stores, earlier(users, catalogue))
    ranked = model.recommend(tensors(users, catalogue), catalogue, day, popular_codes, k, asked)
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
    offsets, codes = _coded(users["items"], catalogue)
    days, times, flags, kinds = (_flat(users[name], kind) for name, kind in _EVENTS.items())
    found = Histories(offsets, codes, days, times, flags, kinds)
    return found.keep(codes >= 0)


def earlier(users: pd.DataFrame, catalogue: Catalogue) -> Histories:
    """What users bought before the events of :func:`tensors`."""
    offsets, codes = _coded(users["earlier_items"], catalogue)
    days = _flat(users["earlier_days"], np.int32)
    found = Histories(offsets, codes, days, days.astype(np.int64), np.ones(len(days), bool))
    return found.keep(codes >= 0)


def _coded(items: pd.Series, catalogue: Catalogue) -> tuple[NDArray[Any], NDArray[Any]]:
    """Offsets of arrays, and the codes of the products they hold, one array after the other."""
    sizes = [0 if own is None else len(own) for own in items]
    codes = catalogue.codes(pa.array(_flat(items, object), pa.string())).astype(np.int32)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), codes


def _flat(arrays: pd.Series, kind: Any) -> NDArray[Any]:
    parts = [own for own in arrays if own is not None]
    return np.concatenate(parts).astype(kind) if parts else np.zeros(0, kind)
