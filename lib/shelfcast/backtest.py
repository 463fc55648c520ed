"""``shelfcast bench forecast``: rolling origins, the shipped configuration trained at each, all in one lake."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow.compute as pc
from rich.table import Table

from shelfcast.evaluate.baselines import check
from shelfcast.evaluate.summary import bench
from shelfcast.lake.snapshot import Snapshot
from shelfcast.pipeline import Listener, Pipeline
from shelfcast.settings import Settings
from shelfcast.stages import EVALUATE, FEATURES, INGEST, SCORE_FORECASTS, TRAIN_FORECASTER


@dataclass(frozen=True)
class Result:
    """A table for people and the document of every figure."""

    table: Table
    document: dict[str, Any]


def forecast(settings: Settings, origins: Sequence[date], listener: Listener) -> Result:
    """Backtest ``origins`` (``evaluate.origins`` if none is given).

    Each origin is an as_of of its own: features, training and scoring read nothing later, and evaluation compares
    with the horizon that followed. Slices that are unchanged since an earlier run are not computed again, and
    nothing is published.
    """
    check(settings.evaluate.baselines)
    pipeline = Pipeline(settings, listener)
    pipeline.run(INGEST)
    days = list(origins) or list(settings.evaluate.origins)
    rows: list[dict[str, Any]] = []
    for day in days:
        for stage in (FEATURES, TRAIN_FORECASTER, SCORE_FORECASTS, EVALUATE):
            pipeline.run(stage, day)
        rows += Snapshot(settings.lake, "ops/metrics").arrow(where=pc.field("as_of") == day).to_pylist()
    table, document = bench(rows)
    return Result(table, json.loads(json.dumps(document, default=str)))
