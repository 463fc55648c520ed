"""What ranked lists are asked and measured against: who had bought what, and what was bought then."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from math import log2

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from shelfcast.evaluate.truth import events_between
from shelfcast.lake.cutoffs import period_days
from shelfcast.lake.visible import visible
from shelfcast.settings import Settings

ALL, NOVEL = "all", "novel=true"
LENGTHS = (1, 10, 50, 200)
"""Fewest distinct products bought before, of each class of users."""
THIRDS = ("head", "torso", "tail")
BUCKETS = 1_000


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        as_of: last day the lists may know of.
        end: last day of the truth.
        k: places of a list that count.
        popular_weeks: popularity is counted over so many weeks up to as_of, and what sold in them is on sale.
    """

    as_of: date
    end: date
    k: int
    popular_weeks: int


@dataclass(frozen=True)
class Ground:
    """What all lists of one question are measured on.

    Attributes:
        question: days and list length.
        before: ``purchases_before``.
        products: ``products_before``.
        targets: ``targets``: what the measured users bought then.
        users: how many had bought anything by as_of.
    """

    question: Question
    before: DataFrame
    products: DataFrame
    targets: DataFrame
    users: int

    @property
    def rarest(self) -> float:
        """Self-information in bits of what one user bought, and of what nobody did yet."""
        return log2(max(self.users, 1))

    def measured(self) -> DataFrame:
        """user_id of everybody with a past and a future."""
        return self.targets.select("user_id").distinct()


def asked(settings: Settings, as_of: date) -> Question:
    """The question that the lists of ``as_of`` are asked: what is bought within the horizon of the first grain."""
    ahead = timedelta(days=settings.windows.horizon * period_days(settings.demand.grains[0]))
    return Question(as_of, as_of + ahead, settings.score.k, settings.score.on_sale_weeks)


@contextmanager
def ground(events: DataFrame, question: Question, seed: int = 0) -> Iterator[Ground]:
    """Purchases before and after as_of, kept while lists are measured on them.

    Args:
        events: ``silver/events``.
        seed: puts users into buckets.
    """
    before = purchases_before(events, question).persist(StorageLevel.MEMORY_AND_DISK)
    (users,) = before.agg(F.countDistinct("user_id")).collect()[0]
    products = products_before(before, question, users).persist(StorageLevel.MEMORY_AND_DISK)
    wanted = targets(bought_after(events, before, question), before, products, seed)
    wanted.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield Ground(question, before, products, wanted, users)
    finally:
        for frame in (wanted, products, before):
            frame.unpersist()


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


def products_before(before: DataFrame, question: Question, users: int) -> DataFrame:
    """A row a product bought up to as_of.

    Args:
        before: ``purchases_before``.
        users: how many had bought anything.

    Returns:
        product_id; buyers; recent: buyers in the weeks of popularity; bits: -log2 of the share of users who bought it
        (self-information, Castells, Hurley and Vargas 2015); third: of all purchases, the products that make up the
        first third (head), the next (torso) and the last (tail) when ordered by sales, equal sellers together.
    """
    since = question.as_of - timedelta(weeks=question.popular_weeks)
    counted = before.groupBy("product_id").agg(
        F.count("*").alias("buyers"),
        F.sum("times").alias("sold"),
        F.sum((F.col("last") > F.lit(since)).cast("int")).alias("recent"),
    )
    # A row for each number of sales, of which there are few: the window may be in one partition.
    sizes = counted.groupBy("sold").agg(F.sum("sold").alias("together"))
    better = Window.orderBy(F.desc("sold")).rowsBetween(Window.unboundedPreceding, -1)
    whole = Window.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    above = F.coalesce(F.sum("together").over(better), F.lit(0))
    passed = F.floor(above * len(THIRDS) / F.sum("together").over(whole))
    third = F.element_at(F.array(*map(F.lit, THIRDS)), (passed + 1).cast("int"))
    thirds = sizes.select("sold", third.alias("third"))
    return counted.join(F.broadcast(thirds), "sold").select(
        "product_id", "buyers", "recent", (-F.log2(F.col("buyers") / F.lit(users))).alias("bits"), "third"
    )


def targets(bought: DataFrame, before: DataFrame, products: DataFrame, seed: int) -> DataFrame:
    """What was bought, with all that it is counted under.

    Args:
        bought: ``bought_after``.
        before: ``purchases_before``.
        products: ``products_before``; what is not among them belongs to the tail.
        seed: puts users into buckets.

    Returns:
        user_id, product_id, segments (``all``, ``history=50-199``, ``target=tail``, ``novel=true``), bucket: one of
        ``BUCKETS`` groups of users, by a hash.
    """
    lengths = before.groupBy("user_id").agg(F.count("*").alias("length"))
    target = F.concat(F.lit("target="), F.coalesce("third", F.lit(THIRDS[-1])))
    segments = F.array(F.lit(ALL), _history(F.col("length")), target, F.when(F.col("novel"), F.lit(NOVEL)))
    return (
        bought.join(lengths, "user_id")
        .join(products.select("product_id", "third"), "product_id", "left")
        .select(
            "user_id",
            "product_id",
            F.array_compact(segments).alias("segments"),
            F.pmod(F.xxhash64("user_id", F.lit(seed)), F.lit(BUCKETS)).cast("int").alias("bucket"),
        )
    )


def _history(length: Column) -> Column:
    name = F.lit(f"history={LENGTHS[-1]}+")
    for least, above in reversed(list(pairwise(LENGTHS))):
        name = F.when(length < above, F.lit(f"history={least}-{above - 1}")).otherwise(name)
    return name
