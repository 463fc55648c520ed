"""``shelfcast bench recommend``: rolling origins, the shipped recommender trained at each, beside costlier rivals."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.backtest import metrics
from shelfcast.errors import ConfigError, TableMissing
from shelfcast.evaluate import als, item_knn
from shelfcast.evaluate.list_baselines import baselines
from shelfcast.evaluate.list_metrics import MODEL, NOVEL_LISTS
from shelfcast.evaluate.purchases import Ground, asked, ground
from shelfcast.evaluate.recommendations import compared
from shelfcast.evaluate.recommender_summary import bench
from shelfcast.evaluate.run import rows
from shelfcast.lake.ledger import Ledger, Record, way_mark
from shelfcast.lake.step import Outcome, content_id
from shelfcast.lake.store import Lake
from shelfcast.measured import Measured
from shelfcast.pipeline import Done, Listener, Pipeline
from shelfcast.settings import Settings
from shelfcast.stages import EVALUATE, FEATURES, INGEST, SCORE_RECOMMENDATIONS, TRAIN_RECOMMENDER, code_id

WAY = "bench"
"""Marks the models in ops/metrics, so that evaluating the run's own lists leaves these figures alone."""
TABLE = "gold/recommendations"
_DECIDES = ("recommender", "score", "lists", "demand", "calendar", "train", "seed")
_STEP = "bench recommend"
# What the fingerprint of a comparison leaves out: it is made on the way, or has nothing to do with lists.
_APART = (TABLE, "gold/forecasts", "gold/totals", "gold/windows")

RIVALS: dict[str, Callable[[Ground, int], DataFrame]] = {
    item_knn.NAME: lambda given, _: item_knn.lists(given),
    als.NAME: als.lists,
}
"""Rivals too costly for every evaluation: name → lists with ``novel``, of measured users and a seed."""


def configuration(settings: Settings) -> str:
    """Hash of the parts of the configuration that decide the lists: the same hash, the same lists."""
    config = settings.model_dump(mode="json")
    return content_id({section: config[section] for section in _DECIDES})[:16]


def recommend(settings: Settings, origins: Sequence[date], listener: Listener) -> Measured:
    """Backtest ``origins`` (``evaluate.origins`` if none is given) on what was bought in the horizon after each.

    Each origin is an as_of of its own: features, training, scoring and the rivals read nothing later. What is
    unchanged since an earlier run is not computed again, and nothing is published.

    Raises:
        ConfigError: if the horizon after an origin has not arrived.
        TableMissing: if nobody with a history bought anything in it.
    """
    Pipeline(settings, listener).run(INGEST)
    days = sorted(set(origins or settings.evaluate.origins))
    _check(settings, days, listener)
    for day in days:
        _origin(settings, listener, day)
    found = [row for day in days for row in metrics(settings.lake, day, WAY)]
    tables, document = bench(found, configuration(settings), settings.score.k)
    return Measured(tables, json.loads(json.dumps(document, default=str)))


def _check(settings: Settings, days: Sequence[date], listener: Listener) -> None:
    _, last = Pipeline(settings, listener).span()
    for day in days:
        if asked(settings, day).end > last:
            raise ConfigError(
                f"origin {day}: what was bought in the horizon after it, until {asked(settings, day).end}, has not "
                f"arrived (the logs end on {last}): choose an earlier one"
            )


def _origin(settings: Settings, listener: Listener, day: date) -> None:
    """Train, score and compare at one origin.

    The ledger keeps only the newest success of scoring, which another choice of lists replaces. So the comparison has
    an entry of its own, with a fingerprint of all that its figures follow from.
    """
    pipeline, ledger = Pipeline(settings, listener), Ledger(settings.lake)
    for stage in (FEATURES, TRAIN_RECOMMENDER):
        pipeline.run(stage, day)
    stages = (TRAIN_RECOMMENDER, SCORE_RECOMMENDATIONS, EVALUATE)
    parts = [pipeline.fingerprint(stage, day, made=_APART) for stage in stages]
    fingerprint = content_id(*parts, code_id("evaluate", __name__))
    before = ledger.done(_STEP, day.isoformat(), fingerprint)
    if before is not None and metrics(settings.lake, day, WAY):
        listener.end(Done(before, skipped=True))
        return
    record = ledger.start(pipeline.run_id, _STEP, day.isoformat(), fingerprint)
    try:
        novel = _novel_lists(settings, listener, day)
        for stage in (SCORE_RECOMMENDATIONS, EVALUATE):
            pipeline.run(stage, day)
        own = {MODEL: _lists(pipeline.lake, day), MODEL + NOVEL_LISTS: novel}
        found = _compared(pipeline, day, own, listener.begin(_STEP, day.isoformat()), record)
    except BaseException as error:
        ledger.fail(record, str(error) or type(error).__name__)
        raise
    ledger.replace_metrics(day, found, WAY)
    listener.end(Done(ledger.finish(record, None, Outcome(rows_out=len(found))), skipped=False))


def _lists(lake: Lake, day: date) -> DataFrame:
    """The lists of an origin, pinned: scoring again later changes nothing in them."""
    return lake.read(TABLE, lake.version(TABLE)).where(F.col("as_of") == F.lit(day))


def _novel_lists(settings: Settings, listener: Listener, day: date) -> DataFrame:
    """The recommender's lists of new products alone.

    They are scored before the configured lists, so that the lake is left with those.
    """
    chosen = settings.model_dump()
    chosen["lists"] |= {"mode": "novel", "novel": None, "repeat": None}
    pipeline = Pipeline(Settings.model_validate(chosen), listener)
    pipeline.run(SCORE_RECOMMENDATIONS, day)
    return _lists(pipeline.lake, day)


def _compared(
    pipeline: Pipeline, day: date, own: dict[str, DataFrame], say: Callable[[str], None], record: Record
) -> list[dict[str, Any]]:
    """Rows of ops/metrics of the recommender's lists, the baselines' and the rivals', all on the same users."""
    settings, lake = pipeline.settings, pipeline.lake
    with ground(lake.read("silver/events"), asked(settings, day), settings.seed) as given, ExitStack() as kept:
        models = own | baselines(given)
        for name, make in RIVALS.items():
            say(f"lists of {name}")
            both = make(given, settings.seed).persist(StorageLevel.MEMORY_AND_DISK)
            kept.callback(both.unpersist)
            models |= {name: both.where(~F.col("novel")), name + NOVEL_LISTS: both.where("novel")}
        say("comparing the lists with what was bought")
        figures = compared(models, given, settings.seed)
    if not figures:
        raise TableMissing(f"nobody with a history bought anything after {day}: there is nothing to compare")
    versions = {name: str(version[0]) for name, lists in own.items() if (version := _version(lists)) is not None}
    return list(rows(figures, day, record.run_id, versions, mark=way_mark(WAY)))


def _version(lists: DataFrame) -> Any:
    return lists.select("model_version").first()
