"""The step that forecasts every active series: the model is loaded once per Python worker, each batch is one call."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ModelError, ReconciliationError, TableMissing
from shelfcast.lake.contract import spark_type
from shelfcast.lake.cutoffs import cutoffs, period_days
from shelfcast.lake.step import Outcome, Step, content_id
from shelfcast.lake.tables import contract
from shelfcast.models import folder, window_tensors

TABLE = "gold/forecasts"
KEY = ("grain", "product_id", "store_id")
_INPUT = (*KEY, *(name for name in window_tensors.COLUMNS if name not in KEY))
_LOADED: dict[str, Any] = {}


def run(step: Step) -> Outcome:
    """Forecast the series active at ``as_of`` and replace that slice of gold/forecasts.

    Raises:
        ModelError: if the model is missing or damaged.
        ReconciliationError: if a series lacks a horizon or its quantiles cross; nothing is written then.
    """
    as_of, uri = step.day(), step.models.get("forecaster", "")
    if not uri:
        raise ModelError("no forecaster was given to score with: run `shelfcast train forecaster` for this as-of first")
    folder.load(uri)  # damage is told here, not by a Spark task
    version = uri.rstrip("/").rsplit("/", 1)[-1]
    ends = cutoffs(step.settings, as_of)
    windows = at_cutoffs(step.read("gold/windows"), ends)
    horizon = step.settings.windows.horizon
    scored = forecasts(windows, uri, version, as_of, horizon, step.settings.score.batch).persist()
    try:
        active = step.read("gold/series").where((F.col("as_of") == F.lit(as_of)) & (F.col("status") == "active"))
        series = reconcile(scored, active, horizon, as_of)
        step.replace(TABLE, scored, slices=[as_of])
    finally:
        scored.unpersist()
    return Outcome(
        rows_in=series,
        rows_out=series * horizon * 2,
        counts={"series": series, "horizons": horizon, "model_version": version},
        contents={TABLE: {as_of.isoformat(): content_id(TABLE, step.fingerprint)}},
    )


def at_cutoffs(windows: DataFrame, ends: Mapping[str, date]) -> DataFrame:
    """The newest window of each series: what the model is given."""
    chosen = [(F.col("grain") == grain) & (F.col("cutoff") == F.lit(end)) for grain, end in ends.items()]
    return windows.where(reduce(lambda a, b: a | b, chosen)).select(*_INPUT)


def forecasts(windows: DataFrame, uri: str, version: str, as_of: date, horizon: int, batch: int) -> DataFrame:
    """Rows of gold/forecasts for rows of gold/windows: every horizon, and the sums over 1..h.

    Args:
        uri: the model's folder, visible to every executor.
        batch: series scored in one call.
    """
    parallel = windows.sparkSession.sparkContext.defaultParallelism
    if windows.rdd.getNumPartitions() < parallel:
        windows = windows.repartition(parallel)
    return windows.mapInPandas(scorer(uri, version, as_of, horizon, batch), _schema())


def scorer(
    uri: str, version: str, as_of: date, horizon: int, batch: int
) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """The function that Spark's Python workers run over batches of windows."""

    def score(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = loaded(uri)
        for frame in frames:
            for start in range(0, len(frame), batch):
                part = frame.iloc[start : start + batch]
                yield long_rows(part, model.forecast(part), as_of, horizon, version)

    return score


def loaded(uri: str) -> Any:
    """The model, loaded at this worker's first use of it, with one TensorFlow thread: Spark brings the parallelism."""
    if uri not in _LOADED:
        import tensorflow as tf

        if not _LOADED:
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            tf.config.set_visible_devices([], "GPU")
        from shelfcast.models import trained_forecaster

        _LOADED.clear()
        _LOADED[uri] = trained_forecaster.load(uri)
    return _LOADED[uri]


def long_rows(windows: pd.DataFrame, found: Any, as_of: date, horizon: int, version: str) -> pd.DataFrame:
    """N windows and their Forecasts as N · 2 · H rows of gold/forecasts."""
    each = 2 * horizon
    first = [cutoff + timedelta(days=1) for cutoff in windows["cutoff"]]
    days = [period_days(grain) for grain in windows["grain"]]
    starts = [
        day + timedelta(days=length * h)
        for day, length in zip(first, days, strict=True)
        for h in (*range(horizon), *[0] * horizon)
    ]
    zinb = np.stack([values.reshape(-1) for values in found.distribution], -1).tolist()
    distributions: list[Any] = [
        {"family": "zinb", "zero": zero, "mean": mean, "dispersion": dispersion} for zero, mean, dispersion in zinb
    ]
    quantiles = found.quantiles.reshape(-1, 3)
    rows = pd.DataFrame({name: np.repeat(windows[name].to_numpy(), each) for name in KEY})
    return rows.assign(
        as_of=as_of,
        target_start=starts,
        horizon=np.tile(np.tile(np.arange(1, horizon + 1, dtype=np.int32), 2), len(windows)),
        cumulative=np.tile(np.repeat([False, True], horizon), len(windows)),
        q10=quantiles[:, 0],
        q50=quantiles[:, 1],
        q90=quantiles[:, 2],
        mean=found.mean.reshape(-1),
        distribution=distributions,
        model_version=version,
    )[contract(TABLE).names()]


def _schema() -> str:
    return ", ".join(f"`{c.name}` {spark_type(c.type).simpleString()}" for c in contract(TABLE).columns)


def reconcile(scored: DataFrame, active: DataFrame, horizon: int, as_of: date) -> int:
    """Check that every active series, and no other, has all horizons and sums with ordered, finite quantiles.

    Returns:
        the number of series.

    Raises:
        ReconciliationError: naming a series.
        TableMissing: if gold/series has no active series at ``as_of``.
    """
    ordered = F.expr(
        "0 <= q10 AND q10 <= q50 AND q50 <= q90 AND 0 <= mean AND greatest(q90, mean) < double('infinity')"
    )
    per_series = scored.groupBy(*KEY).agg(
        F.count("*").alias("rows"),
        F.size(F.collect_set(F.struct("horizon", "cumulative"))).alias("places"),
        F.count_if(F.col("horizon").between(1, horizon) & F.coalesce(ordered, F.lit(False))).alias("sound"),
    )
    wanted = 2 * horizon
    joined = active.select(*KEY, F.lit(True).alias("active")).join(per_series, [*KEY], "full_outer")
    complete = (
        F.coalesce("active", F.lit(False))
        & (F.coalesce("rows", F.lit(0)) == wanted)
        & (F.col("places") == wanted)
        & (F.col("sound") == wanted)
    )
    wrong = ~F.coalesce(complete, F.lit(False))
    told = F.concat_ws(
        " ", *KEY, F.lit("active:"), F.coalesce("active", F.lit(False)).cast("string"), F.lit("rows:"), "rows"
    )
    totals = joined.agg(
        F.count("*").alias("series"),
        F.count_if(wrong).alias("wrong"),
        F.first(F.when(wrong, told), ignorenulls=True).alias("one"),
    ).first()
    if totals is None or totals["series"] == 0:
        raise TableMissing(
            f"table gold/series has no active series at {as_of}: build the features for this as-of first"
        )
    if totals["wrong"]:
        raise ReconciliationError(
            f"table {TABLE}, as_of {as_of}: {totals['wrong']} of {totals['series']} series lack one of {horizon} "
            f"horizons or have crossing quantiles, for instance {totals['one']}; nothing was written. Build the "
            f"features and train again for this as-of"
        )
    return int(totals["series"])
