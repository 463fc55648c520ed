"""Recommendations against what users then bought, beside popularity and each user's own habits."""

from collections.abc import Mapping

from pyspark import StorageLevel
from pyspark.sql import DataFrame

from shelfcast.evaluate import list_metrics, list_sums
from shelfcast.evaluate.forecast_metrics import Figure
from shelfcast.evaluate.list_baselines import baselines
from shelfcast.evaluate.purchases import Ground, Question, ground

MODEL = list_metrics.MODEL


def measure(events: DataFrame, lists: DataFrame, question: Question, seed: int = 0) -> list[Figure]:
    """Figures of the published lists and of the baselines; empty where nobody with a history bought anything.

    Args:
        events: ``silver/events``.
        lists: ``gold/recommendations`` of as_of.
        question: days and list length.
        seed: of the bootstrap.
    """
    with ground(events, question, seed) as given:
        return compared({MODEL: lists, **baselines(given)}, given, seed)


def compared(models: Mapping[str, DataFrame], given: Ground, seed: int) -> list[Figure]:
    """Figures of any lists; empty where nobody with a history bought anything.

    All models are measured on the same users. A user without a list has found nothing. What comes to the driver is
    bounded by models × segments × buckets of users.

    Args:
        models: name → user_id, product_id, rank.
        seed: of the bootstrap.
    """
    lists = list_sums.together(models, given).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        users = list_sums.users(given).toPandas()
        if users.empty:
            return []
        found = list_metrics.Sums.of(users, list_sums.sums(lists, given).toPandas(), list(models))
        spread = {row["model"]: row.asDict() for row in list_sums.spread(lists, given).collect()}
    finally:
        lists.unpersist()
    for row in spread.values():
        del row["model"]
    return list(list_metrics.figures(found, spread, given.question.k, seed))
