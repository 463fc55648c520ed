"""Recommendations against what users then bought, beside popularity and each user's own habits."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from math import log2

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from shelfcast.evaluate.forecast_metrics import Figure
from shelfcast.evaluate.truth import events_between
from shelfcast.lake.visible import visible

MODEL = "recommender"
BASELINES = ("personal_frequency", "popularity", "popularity_unseen")
# A user who has bought nearly all of so many popular products gets fewer than k unseen ones.
_POPULAR = 1_000


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        as_of: last day the lists may know of.
        end: last day of the truth.
        k: places of a list that count.
        popular_weeks: popularity is counted over so many weeks up to as_of.
    """

    as_of: date
    end: date
    k: int
    popular_weeks: int


def _purchases(events: DataFrame) -> DataFrame:
    return events.where((F.col("event_type") == "purchase") & F.col("user_id").isNotNull())


def purchases_before(events: DataFrame, question: Question) -> DataFrame:
    """user_id, product_id, times (records), last (day): what each user bought up to as_of."""
    past = _purchases(visible(events, question.as_of))
    return past.groupBy("user_id", "product_id").agg(F.count("*").alias("times"), F.max("event_date").alias("last"))


def bought_after(events: DataFrame, before: DataFrame, question: Question) -> DataFrame:
    """user_id, product_id, novel: what users with a history bought after as_of, each product once."""
    future = _purchases(events_between(events, question.as_of, question.end)).select("user_id", "product_id").distinct()
    known = before.select("user_id").distinct()
    seen = before.select("user_id", "product_id", F.lit(False).alias("novel"))
    return (
        future.join(known, "user_id", "left_semi")
        .join(seen, ["user_id", "product_id"], "left")
        .select("user_id", "product_id", F.coalesce("novel", F.lit(True)).alias("novel"))
    )


def personal_frequency(before: DataFrame, k: int) -> DataFrame:
    """user_id, product_id, rank: what a user bought most often; ties by latest purchase, then product_id."""
    order = Window.partitionBy("user_id").orderBy(F.desc("times"), F.desc("last"), "product_id")
    ranked = before.select("user_id", "product_id", F.row_number().over(order).alias("rank"))
    return ranked.where(F.col("rank") <= k)


def popular(events: DataFrame, question: Question) -> DataFrame:
    """product_id, place: the products that most users bought of late; a bounded list."""
    since = question.as_of - timedelta(weeks=question.popular_weeks)
    buyers = F.countDistinct("user_id").alias("buyers")
    counted = _purchases(events_between(events, since, question.as_of)).groupBy("product_id").agg(buyers)
    order = (F.desc("buyers"), F.col("product_id"))
    # The window sees a bounded list, so that it may be in one partition.
    return (
        counted.orderBy(*order)
        .limit(_POPULAR)
        .select("product_id", F.row_number().over(Window.orderBy(*order)).alias("place"))
    )


def popularity_hits(truth: DataFrame, places: DataFrame, k: int) -> DataFrame:
    """user_id, novel, rank of every hit of the same list for all."""
    hits = truth.join(F.broadcast(places.where(F.col("place") <= k)), "product_id")
    return hits.select("user_id", "novel", F.col("place").alias("rank"))


def unseen_hits(truth: DataFrame, before: DataFrame, places: DataFrame, k: int) -> DataFrame:
    """user_id, novel, rank of every hit of the popular products that a user never bought.

    A product's rank is its place less the places before it that the user's own products take.
    """
    taken = (
        before.join(F.broadcast(places), "product_id").groupBy("user_id").agg(F.collect_list("place").alias("taken"))
    )
    hits = truth.where("novel").join(F.broadcast(places), "product_id").join(taken, "user_id", "left")
    earlier = F.filter(F.coalesce("taken", F.array().cast("array<int>")), lambda place: place < F.col("place"))
    ranked = hits.select("user_id", "novel", (F.col("place") - F.size(earlier)).alias("rank"))
    return ranked.where(F.col("rank") <= k)


def list_hits(truth: DataFrame, lists: DataFrame, k: int) -> DataFrame:
    """user_id, novel, rank of every hit of lists (user_id, product_id, rank)."""
    wanted = lists.where(F.col("rank") <= k).select("user_id", "product_id", "rank")
    return truth.join(wanted, ["user_id", "product_id"]).select("user_id", "novel", "rank")


def scores(truth: DataFrame, hits: DataFrame, k: int) -> DataFrame:
    """Mean recall (hits ÷ min(k, bought)) and NDCG over users, per model and for novel products alone.

    Args:
        truth: ``bought_after``.
        hits: model, user_id, novel, rank.
        k: length of the lists.

    Returns:
        model, users, recall, ndcg, novel_users, novel_recall, novel_ndcg; a row per model.
    """
    gain = 1 / F.log2(F.col("rank") + 1)
    fresh = F.col("novel").cast("int")
    bought = truth.groupBy("user_id").agg(F.count("*").alias("n"), F.sum(fresh).alias("n_novel"))
    of_user = hits.groupBy("model", "user_id").agg(
        F.count("*").alias("found"),
        F.sum(gain).alias("gained"),
        F.sum(fresh).alias("found_novel"),
        F.sum(fresh * gain).alias("gained_novel"),
    )
    users = bought.agg(F.count("*").alias("users"), F.sum((F.col("n_novel") > 0).cast("int")).alias("novel_users"))
    sums = (
        of_user.join(bought, "user_id")
        .groupBy("model")
        .agg(
            *_sums("found", "gained", "n", k, ("recall", "ndcg")),
            *_sums("found_novel", "gained_novel", "n_novel", k, ("novel_recall", "novel_ndcg")),
        )
    )
    averages = [
        (F.col(name) / F.col("novel_users" if name.startswith("novel") else "users")).alias(name)
        for name in ("recall", "ndcg", "novel_recall", "novel_ndcg")
    ]
    return sums.crossJoin(F.broadcast(users)).select("model", "users", "novel_users", *averages)


def _sums(found: str, gained: str, bought: str, k: int, names: tuple[str, str]) -> Iterator[Column]:
    ideal = F.array(*[F.lit(sum(1 / log2(place + 1) for place in range(1, n + 1))) for n in range(1, k + 1)])
    possible = F.least(F.lit(k), bought)
    any_bought = F.col(bought) > 0
    yield F.sum(F.when(any_bought, F.col(found) / possible)).alias(names[0])
    yield F.sum(F.when(any_bought, F.col(gained) / F.element_at(ideal, possible.cast("int")))).alias(names[1])


def measure(events: DataFrame, lists: DataFrame, question: Question) -> list[Figure]:
    """Figures of the published lists and of the baselines; empty where nobody with a history bought anything.

    Args:
        events: ``silver/events``.
        lists: ``gold/recommendations`` of as_of.
        question: days and list length.
    """
    k = question.k
    before = purchases_before(events, question).persist()
    truth = bought_after(events, before, question).persist()
    try:
        places = popular(events, question)
        hits = {
            MODEL: list_hits(truth, lists, k),
            "personal_frequency": list_hits(truth, personal_frequency(before, k), k),
            "popularity": popularity_hits(truth, places, k),
            "popularity_unseen": unseen_hits(truth, before, places, k),
        }
        together = reduce(DataFrame.unionByName, [f.withColumn("model", F.lit(name)) for name, f in hits.items()])
        rows = {row["model"]: row.asDict() for row in scores(truth, together, k).collect()}
        users = truth.agg(
            F.countDistinct("user_id").alias("users"),
            F.countDistinct(F.when(F.col("novel"), F.col("user_id"))).alias("novel_users"),
        ).collect()[0].asDict()  # fmt: skip
    finally:
        truth.unpersist()
        before.unpersist()
    if not users["users"]:
        return []
    return [f for novel in (False, True) for f in _figures(rows, users, k, novel=novel)]


def _figures(rows: dict[str, dict[str, float]], users: dict[str, int], k: int, *, novel: bool) -> Iterator[Figure]:
    prefix, segment = ("novel_", "novel=true") if novel else ("", "all")
    if not users[f"{prefix}users"]:
        return
    yield Figure(MODEL, "users", segment, float(users[f"{prefix}users"]))
    for metric in ("recall", "ndcg"):
        found = {name: (rows[name][prefix + metric] or 0.0) if name in rows else 0.0 for name in (MODEL, *BASELINES)}
        best = max(BASELINES, key=lambda name: found[name])
        yield Figure(MODEL, f"{metric}@{k}", segment, found[MODEL], best)
        lift = found[MODEL] / found[best] - 1 if found[best] > 0 else None
        yield Figure(MODEL, f"lift_{metric}@{k}", segment, lift, best)
        for name in BASELINES:
            yield Figure(name, f"{metric}@{k}", segment, found[name])
