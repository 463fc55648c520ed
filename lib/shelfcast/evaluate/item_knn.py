"""Item-based nearest neighbours: what is bought by the same users as what a user bought."""

from dataclasses import dataclass

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from shelfcast.evaluate.purchases import Ground

NAME = "item_knn"
_BOTH_WAYS = (("one", "other"), ("other", "one"))


@dataclass(frozen=True)
class Neighbourhood:
    """How far it looks.

    Attributes:
        history: a user's products that count, those bought last: the pairs of a user grow with its square.
        support: fewest users of a product that has neighbours or is one.
        together: fewest users of two neighbours.
        neighbours: of a product, the most similar ones.
        shrink: added to the cosine's denominator, so that few common users make little similarity.
    """

    history: int = 200
    support: int = 3
    together: int = 2
    neighbours: int = 100
    shrink: float = 10.0


def lists(ground: Ground, given: Neighbourhood | None = None) -> DataFrame:
    """Products by the sum of their similarities to what a user bought (Sarwar et al. 2001; shrunk cosine over binary
    purchases as in Ferrari Dacrema, Cremonesi and Jannach 2019). Only products on sale are listed.

    Returns:
        user_id, product_id, rank, novel: the measured users' lists of any product (novel is false) and of products
        that are new to them. Equal sums are ordered by product_id.
    """
    given = given or Neighbourhood()
    owned = histories(ground.before, given.history)
    near = similar(owned, ground.products.where(F.col("recent") > 0).select("product_id"), given)
    scored = (
        owned.join(ground.measured(), "user_id", "left_semi")
        .join(near, "product_id")
        .groupBy("user_id", F.col("neighbour").alias("product_id"))
        .agg(F.sum("similarity").alias("score"))
    )
    return both(scored, ground)


def histories(before: DataFrame, most: int) -> DataFrame:
    """user_id, product_id: the ``most`` products that each user bought last.

    Args:
        before: ``purchases.purchases_before``.
    """
    newest = Window.partitionBy("user_id").orderBy(F.desc("last"), F.desc("times"), "product_id")
    ranked = before.withColumn("place", F.row_number().over(newest)).where(F.col("place") <= most)
    return ranked.select("user_id", "product_id")


def similar(owned: DataFrame, offered: DataFrame, given: Neighbourhood) -> DataFrame:
    """The nearest offered products of every product: product_id, neighbour, similarity.

    Args:
        owned: ``histories``.
        offered: product_id of what may be listed.
    """
    counted = owned.groupBy("product_id").agg(F.count("*").alias("users"))
    known = counted.where(F.col("users") >= given.support)
    rows = owned.join(known, "product_id", "left_semi")
    one, other = (rows.select("user_id", F.col("product_id").alias(name)) for name in ("one", "other"))
    pairs = (
        one.join(other, "user_id")
        .where(F.col("one") < F.col("other"))
        .groupBy("one", "other")
        .agg(F.count("*").alias("common"))
        .where(F.col("common") >= given.together)
        .join(known.select(F.col("product_id").alias("one"), F.col("users").alias("users_one")), "one")
        .join(known.select(F.col("product_id").alias("other"), F.col("users").alias("users_other")), "other")
    )
    similarity = F.col("common") / (F.sqrt(F.col("users_one") * F.col("users_other")) + given.shrink)
    ways = F.array(*(F.struct(F.col(a).alias("product_id"), F.col(b).alias("neighbour")) for a, b in _BOTH_WAYS))
    near = pairs.select(similarity.alias("similarity"), F.inline(ways))
    near = near.join(offered.withColumnRenamed("product_id", "neighbour"), "neighbour", "left_semi")
    nearest = Window.partitionBy("product_id").orderBy(F.desc("similarity"), "neighbour")
    ranked = near.withColumn("place", F.row_number().over(nearest)).where(F.col("place") <= given.neighbours)
    return ranked.select("product_id", "neighbour", "similarity")


def both(scored: DataFrame, ground: Ground) -> DataFrame:
    """The first k of any product and of new ones: user_id, product_id, rank, novel.

    Args:
        scored: user_id, product_id, score.
    """
    k = ground.question.k
    seen = ground.before.select("user_id", "product_id", F.lit(False).alias("fresh"))
    told = scored.join(seen, ["user_id", "product_id"], "left").withColumn("fresh", F.coalesce("fresh", F.lit(True)))
    order = (F.desc("score"), F.col("product_id"))
    any_, new = (Window.partitionBy("user_id", *apart).orderBy(*order) for apart in ((), ("fresh",)))
    placed = told.select(
        "user_id",
        "product_id",
        F.row_number().over(any_).alias("any"),
        F.when(F.col("fresh"), F.row_number().over(new)).alias("new"),
    )
    places = F.array(
        F.struct(F.lit(False).alias("novel"), F.col("any").alias("rank")),
        F.struct(F.lit(True).alias("novel"), F.col("new").alias("rank")),
    )
    rows = placed.where((F.col("any") <= k) | (F.col("new") <= k)).select(
        "user_id", "product_id", F.inline(F.filter(places, lambda place: place["rank"] <= k))
    )
    return rows.select("user_id", "product_id", "rank", "novel")
