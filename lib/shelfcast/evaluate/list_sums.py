"""Ranked lists beside what was bought, summed per model, segment and bucket of users: what figures follow from."""

from collections.abc import Mapping
from functools import reduce
from math import log2

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.evaluate.purchases import Ground

METRICS = ("recall", "ndcg", "mrr")


def together(models: Mapping[str, DataFrame], ground: Ground) -> DataFrame:
    """The first k places of every model's lists for the measured users: model, user_id, product_id, rank.

    Args:
        models: name → user_id, product_id, rank from 1, each product once in a list.
    """
    wanted = F.col("rank") <= ground.question.k
    named = [
        lists.where(wanted).select(F.lit(name).alias("model"), "user_id", "product_id", "rank")
        for name, lists in models.items()
    ]
    return reduce(DataFrame.unionByName, named).join(ground.measured(), "user_id", "left_semi")


def users(ground: Ground) -> DataFrame:
    """segment, bucket, users: who bought something that counts there."""
    return _wanted(ground).groupBy("segment", "bucket").agg(F.count("*").alias("users"))


def sums(lists: DataFrame, ground: Ground) -> DataFrame:
    """model, segment, bucket and sums over users of recall (hits ÷ min(k, bought)), NDCG (Järvelin and Kekäläinen
    2002) and the reciprocal rank of the first hit, 0 where there is none (Voorhees 1999).

    In a segment of targets (novel ones, the tail) only those are looked for; places stay what they are in the list.

    Args:
        lists: ``together``.
    """
    k = ground.question.k
    hits = (
        lists.join(ground.targets.drop("bucket"), ["user_id", "product_id"])
        .select("model", "user_id", "rank", F.explode("segments").alias("segment"))
        .groupBy("model", "user_id", "segment")
        .agg(
            F.count("*").alias("found"),
            F.sum(1 / F.log2(F.col("rank") + 1)).alias("gained"),
            F.min("rank").alias("first"),
        )
    )
    ideal = F.array(*[F.lit(sum(1 / log2(place + 1) for place in range(1, n + 1))) for n in range(1, k + 1)])
    possible = F.least(F.lit(k), F.col("wanted")).cast("int")
    return (
        hits.join(_wanted(ground), ["user_id", "segment"])
        .groupBy("model", "segment", "bucket")
        .agg(
            F.sum(F.col("found") / possible).alias("recall"),
            F.sum(F.col("gained") / F.element_at(ideal, possible)).alias("ndcg"),
            F.sum(1 / F.col("first")).alias("mrr"),
        )
    )


def spread(lists: DataFrame, ground: Ground) -> DataFrame:
    """How much of the shop the lists show, and how unexpected it is.

    Args:
        lists: ``together``.

    Returns:
        model; coverage: the share of the products on sale that any list holds (catalogue coverage, Ge,
        Delgado-Battenfeld and Jannach 2010); novelty: the mean over users of the mean self-information in bits of what
        their list holds (Castells, Hurley and Vargas 2015).
    """
    offered = ground.products.where(F.col("recent") > 0).select("product_id")
    listed = lists.join(offered, "product_id", "left_semi").groupBy("model")
    covered = listed.agg(F.countDistinct("product_id").alias("covered")).crossJoin(
        F.broadcast(offered.agg(F.count("*").alias("offered")))
    )
    bits = F.coalesce("bits", F.lit(ground.rarest))
    of_user = lists.join(ground.products, "product_id", "left").groupBy("model", "user_id").agg(F.avg(bits).alias("n"))
    novelty = of_user.groupBy("model").agg(F.avg("n").alias("novelty"))
    share = F.coalesce(F.col("covered") / F.col("offered"), F.lit(0.0))
    return novelty.join(covered, "model", "left").select("model", share.alias("coverage"), "novelty")


def _wanted(ground: Ground) -> DataFrame:
    """user_id, bucket, segment, wanted: how many targets a user has there."""
    rows = ground.targets.select("user_id", "bucket", F.explode("segments").alias("segment"))
    return rows.groupBy("user_id", "bucket", "segment").agg(F.count("*").alias("wanted"))
