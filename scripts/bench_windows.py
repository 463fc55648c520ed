"""Rows of gold/windows for benches: as many series as wanted, like a retailer's, the same for the same seed."""

import argparse
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from shelfcast.lake import session
from shelfcast.lake.contract import spark_type
from shelfcast.lake.cutoffs import cutoffs
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Step
from shelfcast.lake.store import Lake
from shelfcast.lake.tables import contract
from shelfcast.settings import Settings

# Spark's workers, which make the rows, find this module by it.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

TABLE = "gold/windows"
AS_OF = date(2017, 11, 26)
GRAIN = "week.product"
_BLOCK = 4096  # series made at once
_BLOCKS_IN_FILE = 16
_VALUES = {"department": 17, "category": 263, "brand": 3, "manufacturer": 521}  # as on Complete Journey


def options(description: str | None, series: int, turns: int) -> argparse.ArgumentParser:
    """A command line with what the benches of training have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--series", type=int, default=series)
    parser.add_argument("--turns", type=int, default=turns)
    parser.add_argument("--folder", type=Path, help="keeps the lake for the next call; default: a temporary one")
    parser.add_argument("--set", action="append", default=[], help="of the configuration, e.g. forecaster.batch=256")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def step(spark: SparkSession | None, settings: Settings, **given: Any) -> Step:
    """A step on the lake of ``settings`` at AS_OF; without a session it builds one when it first needs it."""
    given.setdefault("say", lambda _: None)
    return Step(
        Lake(spark or (lambda: session.build(settings, "bench")), settings.lake),
        settings,
        AS_OF,
        run_id="bench",
        attempt=1,
        fingerprint="b" * 32,
        **given,
    )


def write(settings: Settings, series: int, seed: int) -> None:
    """Fill gold/windows with ``series`` windows at AS_OF's cutoff, in a session of its own; kept if there already."""
    if Snapshot.exists(settings.lake, TABLE) and Snapshot(settings.lake, TABLE).count() == series:
        return
    spark = session.build(settings, "bench")
    try:
        step(spark, settings).replace(TABLE, rows(spark, settings, series, seed), [cutoffs(settings, AS_OF)[GRAIN]])
    finally:
        spark.stop()


def rows(spark: SparkSession, settings: Settings, series: int, seed: int) -> DataFrame:
    blocks = -(-series // _BLOCK)
    promised = contract(TABLE)
    schema = ", ".join(f"{c.name} {spark_type(c.type).simpleString()}" for c in promised.columns)
    context, horizon, cutoff = settings.windows.context, settings.windows.horizon, cutoffs(settings, AS_OF)[GRAIN]

    def made(given: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in given:
            for block in batch.column(0).to_pylist():
                size = min(_BLOCK, series - block * _BLOCK)
                table = windows(np.random.default_rng([seed, block]), block * _BLOCK, size, context, horizon, cutoff)
                yield table.select(promised.names()).combine_chunks().to_batches()[0]

    files = max(spark.sparkContext.defaultParallelism, -(-blocks // _BLOCKS_IN_FILE))
    return spark.range(0, blocks, 1, files).mapInArrow(made, schema)


def windows(
    generator: np.random.Generator, first: int, count: int, context: int, horizon: int, cutoff: date
) -> pa.Table:
    """``count`` series numbered from ``first``: skewed rates, overdispersed counts, promotions that sell, half are
    younger than the context.
    """
    length = np.minimum(generator.integers(1, 2 * context, count), context).astype(np.int32)
    real = np.arange(context) >= context - length[:, None]
    rate = np.exp(generator.normal(-0.7, 1.4, (count, 1)))
    mailer = _plan(generator, (count, context + horizon), 0.06)
    display = np.where(mailer > 0, _plan(generator, mailer.shape, 0.5), 0).astype(np.float32)
    size = np.exp(generator.normal(0.0, 0.7, (count, 1)))
    lifted = rate * (1.0 + 2.0 * mailer[:, :context] + display[:, :context])
    units = np.where(real, generator.negative_binomial(size, size / (size + lifted)), 0).astype(np.float32)
    price = np.exp(generator.normal(1.0, 0.6, (count, 1))) * (1.0 - 0.3 * (mailer[:, :context] > 0))
    calendar = np.arange(context + horizon)
    columns: dict[str, Any] = {
        "grain": pa.repeat(GRAIN, count),
        "product_id": pa.array([f"p{n:09d}" for n in range(first, first + count)]),
        "store_id": pa.repeat("*", count),
        "cutoff": pa.repeat(pa.scalar(cutoff, pa.date32()), count),
        "bucket": pa.array(generator.integers(0, 1024, count), pa.int32()),
        "age": pa.array(length + generator.integers(0, 50, count) * (length == context), pa.int32()),
        "length": pa.array(length),
        "units": _lists(units),
        "orders": _lists(np.ceil(units * 0.8)),
        "price": _lists(np.where(units > 0, price, 0.0)),
        "discount": _lists(np.where(mailer[:, :context] > 0, 0.3, 0.0) * (units > 0)),
        "available": _lists(np.ones((count, context))),
        "listed": pa.array(np.full(count, horizon), pa.int32()),
        "display": _lists(display),
        "display_main": _lists(display * 0.5),
        "mailer": _lists(mailer),
        "mailer_main": _lists(mailer * 0.3),
        "holiday": _lists(np.tile(calendar % 9 == 0, (count, 1))),
        "month_start": _lists(np.tile(np.where(calendar % 4 == 0, 1.0, 0.0), (count, 1))),
        "year_phase": _lists(np.tile(calendar % 52 / 52, (count, 1))),
    }
    for name, values in _VALUES.items():
        drawn = (values * generator.random(count) ** 2).astype(int)  # some values are far more frequent
        columns[name] = pa.array([f"{name} {n}" for n in drawn])
    return pa.table(columns)


def _plan(generator: np.random.Generator, shape: tuple[int, int], frequent: float) -> Any:
    """Shares of stores, mostly 0, in whole hundredths."""
    chosen = generator.random(shape, np.float32) < frequent
    return np.where(chosen, np.round(generator.random(shape, np.float32), 2), 0).astype(np.float32)


def _lists(values: Any) -> pa.Array:
    values = np.ascontiguousarray(values, np.float32)
    edges = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(edges), pa.array(values.reshape(-1)))
