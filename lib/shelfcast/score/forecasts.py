"""The step that forecasts every active series: the model is loaded once per Python worker, each batch is one call."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ModelError, ReconciliationError, TableMissing
from shelfcast.lake.contract import spark_type
from shelfcast.lake.cutoffs import cutoffs, period_days
from shelfcast.lake.step import Outcome, Step, content_id
from shelfcast.lake.tables import contract
from shelfcast.models import folder, settling, window_tensors
from shelfcast.models.launches import LaunchRates
from shelfcast.score import contributions, usual

TABLE = "gold/forecasts"
KEY = ("grain", "product_id", "store_id")
_INPUT = tuple(dict.fromkeys((*KEY, *window_tensors.COLUMNS, *settling.COLUMNS)))
_LOADED: dict[str, Any] = {}


def run(step: Step) -> Outcome:
    """Forecast the series active or new at ``as_of`` and replace that slice of gold/forecasts.

    Raises:
        ModelError: if the model is missing or damaged.
        ReconciliationError: if a series lacks a horizon or its quantiles cross; nothing is written then.
        GateFailed: if they are far from what sold lately, or from the slice before; nothing is written then.
    """
    as_of, uri = step.day(), step.models.get("forecaster", "")
    if not uri:
        raise ModelError("no forecaster was given to score with: run `shelfcast train forecaster` for this as-of first")
    folder.load(uri)  # damage is told here, not by a Spark task
    version = uri.rstrip("/").rsplit("/", 1)[-1]
    ends = cutoffs(step.settings, as_of)
    windows = at_cutoffs(step.read("gold/windows"), ends)
    horizon = step.settings.windows.horizon
    rates = launch_rates(step)
    scored = forecasts(windows, uri, version, as_of, horizon, step.settings.score.batch, rates).persist()
    try:
        forecast = F.col("status").isin("active", "new")
        active = step.read("gold/series").where((F.col("as_of") == F.lit(as_of)) & forecast)
        series = reconcile(scored, active, horizon, as_of)
        with step.part("gates"):
            usual.check_forecasts(step, scored, windows, series)
        step.replace(TABLE, scored, slices=[as_of])
    finally:
        scored.unpersist()
    contributions.write(step, windows, uri, version, loaded)
    return Outcome(
        rows_in=series,
        rows_out=series * horizon * 2,
        counts={"series": series, "horizons": horizon, "model_version": version},
        contents={TABLE: {as_of.isoformat(): content_id(TABLE, step.fingerprint)}},
    )


def launch_rates(step: Step) -> dict[str, LaunchRates]:
    """Grain → what products of each kind sell at first; one row per kind of product reaches the driver."""
    if not step.has("gold/launches"):
        return {}
    return settling.rates_of(step.read("gold/launches").where(F.col("as_of") == F.lit(step.day())).toPandas())


def at_cutoffs(windows: DataFrame, ends: Mapping[str, date]) -> DataFrame:
    """The newest window of each series: what the model is given."""
    chosen = [(F.col("grain") == grain) & (F.col("cutoff") == F.lit(end)) for grain, end in ends.items()]
    return windows.where(reduce(lambda a, b: a | b, chosen)).select(*_INPUT)


def forecasts(
    windows: DataFrame,
    uri: str,
    version: str,
    as_of: date,
    horizon: int,
    batch: int,
    rates: Mapping[str, LaunchRates] | None = None,
) -> DataFrame:
    """Rows of gold/forecasts for rows of gold/windows: every horizon, and the sums over 1..h.

    Args:
        uri: the model's folder, visible to every executor.
        batch: series scored in one call.
        rates: grain → rates of series that never sold.
    """
    parallel = windows.sparkSession.sparkContext.defaultParallelism
    if windows.rdd.getNumPartitions() < parallel:
        windows = windows.repartition(parallel)
    return windows.mapInArrow(scorer(uri, version, as_of, horizon, batch, rates or {}), _schema())


def scorer(
    uri: str, version: str, as_of: date, horizon: int, batch: int, rates: Mapping[str, LaunchRates]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that Spark's Python workers run over record batches of windows, whatever their size."""

    def score(given: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model = loaded(uri)
        for rows in given:
            for part in parts(rows, batch):
                found = settling.settled(model.forecast(part), part, rates, model.correlation)
                yield long_rows(part, found, as_of, horizon, version)

    return score


def parts(rows: pa.RecordBatch, most: int) -> Iterator[pa.Table]:
    """Equal parts of at most ``most`` rows, none of them copied."""
    size, count = rows.num_rows, -(-rows.num_rows // most)
    for part in range(count):
        start, end = size * part // count, size * (part + 1) // count
        yield pa.Table.from_batches([rows.slice(start, end - start)])


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


def long_rows(windows: pa.Table, found: Any, as_of: date, horizon: int, version: str) -> pa.RecordBatch:
    """N windows and their Forecasts as N · 2 · H rows of gold/forecasts."""
    each, count = 2 * horizon, len(windows)
    source = pa.array(np.repeat(np.arange(count, dtype=np.int32), each))
    zero, mean, dispersion = (pa.array(values.reshape(-1)) for values in found.distribution)
    family = pa.repeat("zinb", count * each)
    quantiles = found.quantiles.reshape(-1, 3)
    values: dict[str, Any] = {name: windows[name].combine_chunks().take(source) for name in KEY}
    values |= {
        "as_of": pa.repeat(pa.scalar(as_of, pa.date32()), count * each),
        "target_start": _starts(windows, horizon),
        "horizon": pa.array(np.tile(np.arange(1, horizon + 1, dtype=np.int32), 2 * count)),
        "cumulative": pa.array(np.tile(np.repeat([False, True], horizon), count)),
        "q10": pa.array(quantiles[:, 0]),
        "q50": pa.array(quantiles[:, 1]),
        "q90": pa.array(quantiles[:, 2]),
        "mean": pa.array(found.mean.reshape(-1)),
        "distribution": pa.StructArray.from_arrays(
            [family, zero, mean, dispersion], ["family", "zero", "mean", "dispersion"]
        ),
        "model_version": pa.repeat(version, count * each),
    }
    names = contract(TABLE).names()
    return pa.RecordBatch.from_arrays([values[name] for name in names], names)


def _starts(windows: pa.Table, horizon: int) -> pa.Array:
    """First days of the targets: of every horizon, then of the first one for each sum."""
    first = windows["cutoff"].combine_chunks().cast(pa.int32()).to_numpy(zero_copy_only=False) + 1
    grains = windows["grain"].combine_chunks().dictionary_encode()
    lengths = np.asarray([period_days(grain) for grain in grains.dictionary.to_pylist()], np.int32)
    days = lengths[grains.indices.to_numpy(zero_copy_only=False)]
    ahead = np.concatenate([np.arange(horizon, dtype=np.int32), np.zeros(horizon, np.int32)])
    return pa.array((first[:, None] + days[:, None] * ahead).reshape(-1).astype(np.int32)).cast(pa.date32())


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
