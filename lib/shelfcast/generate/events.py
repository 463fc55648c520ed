"""Events of every product and week: who took it, when, where, how many, for what; with planted defects beside them."""

from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.generate.draws import among, named, uniform, whole, zipf
from shelfcast.generate.world import BOT_EVENTS_PER_DAY, World

_ACTIONS = {"view": 0.4, "cart": 0.1, "purchase": 0.49, "return": 0.01}
_PIECES = {"1": 0.8, "2": 0.13, "3": 0.05, "4": 0.02}
_ACTIVITY = 0.5  # Zipf exponent of users; of a smaller one than products, because nobody shops every minute
_CHUNK = 4096  # events of one product and week that one row of a task grows to
_LATEST = 3  # weeks that a record may be late by
_DAY = 86_400
_FAR = 80 * 366 * _DAY  # seconds ahead of a record from the future

COLUMNS = ("event_time", "action", "customer", "item", "store", "receipt", "quantity", "price", "discount")

# Planted beside good events, as copies with something wrong; the first two are good events as they are.
ALTERED = ("late", "nameless")
ADDED = ("duplicate", "future", "corrupt", "no_product", "absurd_quantity", "non_positive", "unknown_type")


def good(weeks: DataFrame, world: World) -> DataFrame:
    """The log's columns, ``week``, ``arrived`` (week in which the record arrives) and ``defect`` ('' for most).

    Args:
        weeks: from ``catalogue.product_weeks``.
    """
    seed = world.seed
    key = (F.col("week"), F.col("number"), F.col("ordinal"))
    chunks = F.explode(F.sequence(F.lit(0), ((F.col("events") - 1) / _CHUNK).cast("int")))
    ordinals = F.sequence(F.col("chunk") * _CHUNK, F.least(F.col("events"), (F.col("chunk") + 1) * _CHUNK) - 1)
    needed = weeks.where("events > 0").select(
        "week", "number", "item", "cycle", "base_price", "depth", F.col("events").cast("int").alias("events")
    )
    rows = (
        needed.withColumn("chunk", chunks)
        .repartition("week", "number", "chunk")
        .withColumn("ordinal", F.explode(ordinals))
    )
    ordinal = F.col("ordinal")
    turn = F.floor(ordinal / 10).cast("int")
    loyal = ordinal % 10 < int(10 * world.effects.loyal)
    # Every ``cycle`` weeks the same users have their turn again.
    slot = (turn * 10 + ordinal % 10) * F.col("cycle") + F.col("week") % F.col("cycle")
    drawn = F.when(loyal, uniform(seed, "loyal", F.col("number"), slot)).otherwise(uniform(seed, "user", *key))
    second = F.floor(uniform(seed, "second", *key) * 7 * _DAY).cast("long")
    action = among(uniform(seed, "action", *key), _ACTIONS)
    sold = F.col("action").isin("purchase", "return")
    paid = F.round(F.col("base_price") * (1.0 - F.col("depth")), 2)
    receipt = F.concat_ws("-", F.col("week").cast("string"), F.col("number").cast("string"), ordinal.cast("string"))
    return _defective(
        rows.withColumn("action", action).select(
            *key,
            F.timestamp_seconds(_midnight(world) + F.col("week").cast("long") * (7 * _DAY) + second).alias(
                "event_time"
            ),
            "action",
            named("U", zipf(drawn, world.users, _ACTIVITY)).alias("customer"),
            "item",
            named("S", whole(uniform(seed, "store", *key), world.stores)).alias("store"),
            receipt.alias("receipt"),
            F.when(sold, among(uniform(seed, "pieces", *key), _PIECES).cast("int")).otherwise(1).alias("quantity"),
            paid.alias("price"),
            F.round(F.col("base_price") - paid, 2).alias("discount"),
        ),
        world,
    )


def _defective(frame: DataFrame, world: World) -> DataFrame:
    shares = {name: getattr(world.shares, name) for name in (*ALTERED, *ADDED)}
    key = (F.col("week"), F.col("number"), F.col("ordinal"))
    defect = among(uniform(world.seed, "defect", *key), {**shares, "": 1.0 - sum(shares.values())})
    weeks_late = whole(uniform(world.seed, "weeks late", *key), _LATEST) + 1
    late = F.when(F.col("defect") == "late", weeks_late).otherwise(0)
    return (
        frame.withColumn("defect", defect)
        .withColumn("arrived", F.least(F.col("week") + late, F.lit(world.weeks - 1)))
        .withColumn("customer", F.when(F.col("defect") != "nameless", F.col("customer")))
        .drop("number", "ordinal")
    )


def added(frame: DataFrame, world: World, kinds: tuple[str, ...] = ADDED) -> DataFrame:
    """Copies of some good events with something wrong, as further records.

    A duplicate is the same in every column and may arrive later; the others carry a receipt of their own.

    Args:
        frame: from ``good``.
        kinds: which ones; a file format need not be able to hold all of them.
    """
    defect = F.col("defect")
    later = whole(uniform(world.seed, "copied", F.col("receipt")), _LATEST + 1)
    arrived = F.least(F.col("arrived") + F.when(defect == "duplicate", later).otherwise(0), F.lit(world.weeks - 1))
    own = F.when(defect == "duplicate", F.col("receipt")).otherwise(F.concat("receipt", F.lit("x")))
    return frame.where(defect.isin(*kinds)).withColumns(
        {
            "arrived": arrived,
            "receipt": own,
            "event_time": F.when(defect == "future", F.timestamp_seconds(F.unix_timestamp("event_time") + _FAR))
            .otherwise(F.col("event_time")),
            "item": F.when(defect != "no_product", F.col("item")),
            "action": F.when(defect == "unknown_type", "teleport")
            .when(defect.isin("absurd_quantity", "non_positive"), "purchase")
            .otherwise(F.col("action")),
            "quantity": F.when(defect == "absurd_quantity", 1_000_000)
            .when(defect == "non_positive", -F.col("quantity"))
            .otherwise(F.col("quantity")),
        }
    )  # fmt: skip


def bots(spark: SparkSession, world: World) -> DataFrame:
    """Events of users who do more on one day than a person can, and of the hot user; columns as of ``good``."""
    seed, number = world.seed, F.col("id")
    who = F.floor(number / BOT_EVENTS_PER_DAY).cast("long")
    day = whole(uniform(seed, "bot day", who), 7 * world.weeks)
    frames = [_alike(spark, world, world.bots * BOT_EVENTS_PER_DAY, "bot", named("BOT", who), day)]
    if world.hot_user:
        day = F.floor(number * (7.0 * world.weeks / world.hot_user)).cast("int")
        frames.append(_alike(spark, world, world.hot_user, "hot user", F.lit("HOT"), day))
    return reduce(DataFrame.unionByName, frames)


def _alike(spark: SparkSession, world: World, number: int, name: str, who: Column, day: Column) -> DataFrame:
    second = whole(uniform(world.seed, f"{name} second", F.col("id")), _DAY)
    week = F.floor(day / 7).cast("int")
    item = zipf(uniform(world.seed, f"{name} item", F.col("id")), world.products, 0.9)
    return spark.range(number).select(
        week.alias("week"),
        F.timestamp_seconds(_midnight(world) + day.cast("long") * _DAY + second).alias("event_time"),
        F.lit("view").alias("action"),
        who.alias("customer"),
        named("P", item).alias("item"),
        named("S", F.col("id") % world.stores).alias("store"),
        F.concat_ws("-", F.lit(name), F.col("id").cast("string")).alias("receipt"),
        F.lit(1).alias("quantity"),
        F.lit(None).cast("double").alias("price"),
        F.lit(None).cast("double").alias("discount"),
        F.lit(name.replace(" ", "_")).alias("defect"),
        week.alias("arrived"),
    )


def _midnight(world: World) -> Column:
    return F.unix_timestamp(F.lit(world.start).cast("timestamp"))
