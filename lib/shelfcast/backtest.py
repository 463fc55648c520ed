"""``shelfcast bench forecast``: rolling origins, the shipped configuration trained at each, all in one lake."""

import json
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import pyarrow.compute as pc
from pydantic import ValidationError

from shelfcast.errors import ConfigError
from shelfcast.evaluate.baselines import check
from shelfcast.evaluate.summary import bench
from shelfcast.lake.ledger import Ledger, way_mark
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Outcome, content_id
from shelfcast.measured import Measured
from shelfcast.pipeline import Listener, Pipeline
from shelfcast.settings import Demand, Settings
from shelfcast.stages import EVALUATE, FEATURES, INGEST, SCORE_FORECASTS, TRAIN_BOOSTING, TRAIN_FORECASTER

WAYS = (("display", "mailer"), ("mailer",), ())
"""Which kinds of plans are known ahead in the three ways that a forecast is shown."""
_DECIDES = ("forecaster", "windows", "demand", "calendar", "train", "seed")
_STEP = "bench forecast"


def configuration(settings: Settings) -> str:
    """Hash of the parts of the configuration that decide the forecaster: the same hash, the same forecaster."""
    config = settings.model_dump(mode="json")
    return content_id({section: config[section] for section in _DECIDES})[:16]


def part(settings: Settings, grain: str | None, products: int | None) -> Settings:
    """The same configuration on another grain or on the best-selling products, in a lake of its own.

    Raises:
        ConfigError: if there is no such grain.
    """
    if grain is None and products is None:
        return settings
    demand = settings.demand.model_dump()
    demand |= {"products": products, **({"grains": [grain]} if grain else {})}
    try:
        chosen = Demand.model_validate(demand)
    except ValidationError as error:
        raise ConfigError(f"--grain {grain}: {error.errors()[0]['msg']}") from error
    name = "-".join(str(word) for word in (grain, products) if word)
    return settings.model_copy(update={"lake": f"{settings.lake.rstrip('/')}-{name}", "demand": chosen})


def forecast(
    settings: Settings, origins: Sequence[date], listener: Listener, ways: Sequence[Sequence[str]] = ()
) -> Measured:
    """Backtest ``origins`` (``evaluate.origins`` if none is given).

    Each origin is an as_of of its own: features, training and scoring read nothing later, and evaluation compares
    with the horizon that followed. What is unchanged since an earlier run is not computed again, and nothing is
    published.

    Args:
        ways: sets of plans to be known ahead, each with a model and figures of its own; the configured one if empty.
            Figures of the configured one bear no mark in ops/metrics.
    """
    check(settings.evaluate.baselines)
    Pipeline(settings, listener).run(INGEST)
    days = list(origins) or list(settings.evaluate.origins)
    chosen = list(_ways(settings, ways))
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in reversed(chosen)}
    for day in days:
        Pipeline(settings, listener).run(FEATURES, day)
        for name, of_way in chosen:
            _origin(of_way, listener, day)
            rows[name] += metrics(settings.lake, day, of_way.evaluate.way)
    tables, document = bench(rows, configuration(settings))
    return Measured(tables, json.loads(json.dumps(document, default=str)))


def way_name(planned: Sequence[str]) -> str:
    """What a set of plans is called."""
    return ",".join(sorted(planned)) or "none"


def _ways(settings: Settings, ways: Sequence[Sequence[str]]) -> Iterator[tuple[str, Settings]]:
    """Each way's settings; the configured one comes last, so that the lake is left with its forecasts."""
    own = way_name(settings.forecaster.planned)
    named = {way_name(planned): planned for planned in ways} or {own: settings.forecaster.planned}
    for name in sorted(named, key=lambda name: name == own):
        if name == own:
            yield name, settings
            continue
        forecaster = settings.forecaster.model_copy(update={"planned": list(named[name])})
        evaluate = settings.evaluate.model_copy(update={"way": name})
        yield name, settings.model_copy(update={"forecaster": forecaster, "evaluate": evaluate})


def _origin(settings: Settings, listener: Listener, day: date) -> None:
    """Train, score and evaluate one way at one origin.

    The ledger keeps only the newest success of a step's slice, which with several ways is another way's. So a way that
    is not the configured one has an entry of its own, with a fingerprint of all that its figures follow from.
    """
    pipeline, way = Pipeline(settings, listener), settings.evaluate.way
    stages = [TRAIN_FORECASTER, *([TRAIN_BOOSTING] if settings.rivals.objectives else []), SCORE_FORECASTS, EVALUATE]
    if way is None:
        for stage in stages:
            pipeline.run(stage, day)
        return
    slice_, ledger = day.isoformat() + way_mark(way), Ledger(settings.lake)
    fingerprint = content_id([pipeline.fingerprint(stage, day, made=("gold/forecasts",)) for stage in stages])
    if ledger.done(_STEP, slice_, fingerprint) and metrics(settings.lake, day, way):
        return
    record = ledger.start(pipeline.run_id, _STEP, slice_, fingerprint)
    try:
        for stage in stages:
            pipeline.run(stage, day)
    except BaseException as error:
        ledger.fail(record, str(error) or type(error).__name__)
        raise
    ledger.finish(record, None, Outcome(counts={"planned": list(settings.forecaster.planned)}))


def metrics(lake: str, day: date, way: str | None) -> list[dict[str, Any]]:
    """Rows of ops/metrics of one origin and way, the models' names without the way's mark."""
    if not Snapshot.exists(lake, "ops/metrics"):
        return []
    rows = Snapshot(lake, "ops/metrics").arrow(where=pc.field("as_of") == day).to_pylist()
    mark = way_mark(way)
    return [
        {**row, **{key: row[key].removesuffix(mark) if row[key] else None for key in ("model", "baseline")}}
        for row in rows
        if (row["model"].endswith(mark) if mark else not row["model"].endswith("]"))
    ]
