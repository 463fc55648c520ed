"""Lists that need no training: what sells, and each user's own habits. Every model's lists are user_id, product_id,
rank from 1.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from shelfcast.evaluate.purchases import Ground

FREQUENCY, POPULARITY, UNSEEN = "personal_frequency", "popularity", "popularity_unseen"
# A user who has bought nearly all of so many popular products gets fewer than k unseen ones.
_POPULAR = 1_000


def baselines(ground: Ground) -> dict[str, DataFrame]:
    """Name → lists of the measured users."""
    places = popular(ground.products)
    return {
        FREQUENCY: personal_frequency(ground.before, ground.question.k),
        POPULARITY: popularity(ground, places),
        UNSEEN: popularity_unseen(ground, places),
    }


def personal_frequency(before: DataFrame, k: int) -> DataFrame:
    """What a user bought most often; ties by latest purchase, then product_id."""
    order = Window.partitionBy("user_id").orderBy(F.desc("times"), F.desc("last"), "product_id")
    ranked = before.select("user_id", "product_id", F.row_number().over(order).alias("rank"))
    return ranked.where(F.col("rank") <= k)


def popular(products: DataFrame) -> DataFrame:
    """product_id, place: the products that most users bought of late; a bounded list."""
    order = (F.desc("recent"), F.col("product_id"))
    # The window sees a bounded list, so that it may be in one partition.
    return (
        products.where(F.col("recent") > 0)
        .orderBy(*order)
        .limit(_POPULAR)
        .select("product_id", F.row_number().over(Window.orderBy(*order)).alias("place"))
    )


def popularity(ground: Ground, places: DataFrame) -> DataFrame:
    """The same list for all."""
    best = places.where(F.col("place") <= ground.question.k)
    return ground.measured().crossJoin(F.broadcast(best)).select("user_id", "product_id", F.col("place").alias("rank"))


def popularity_unseen(ground: Ground, places: DataFrame) -> DataFrame:
    """The popular products that a user never bought: the first k places that the user's own products leave free."""
    k = F.lit(ground.question.k)
    own = ground.before.join(F.broadcast(places), "product_id").groupBy("user_id")
    users = ground.measured().join(own.agg(F.collect_list("place").alias("taken")), "user_id", "left")
    taken = F.coalesce("taken", F.array().cast("array<int>"))
    last = F.least(F.lit(_POPULAR), k + F.size(taken))
    free = F.slice(F.array_except(F.sequence(F.lit(1), last), taken), 1, ground.question.k)
    ranked = users.select("user_id", F.posexplode(free).alias("before", "place"))
    return ranked.join(F.broadcast(places), "place").select(
        "user_id", "product_id", (F.col("before") + 1).alias("rank")
    )
