"""What drove the forecasts of an as-of date, over a sample of its series: shares of each group of inputs.

The sample is drawn by a seeded hash, the same number of series from each class of velocity, so that its size and cost
do not depend on how many series there are; weights make up for the different sampling rates.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.lake.ledger import CONTRIBUTION, Ledger
from shelfcast.lake.step import Step

SERIES = 60  # of each class of velocity
CLASSES = 8  # each sells about twice as much as the one before
_RECENT = 13  # periods that say how much a series sells
_NODES = 16  # of the quadrature: enough for shares, see models.attribution
_PARTS = 1_000_000
_KEY = ("grain", "product_id", "store_id")
_SCHEMA = "promoted boolean, name string, absolute double, signed double, forecast double"


def write(step: Step, windows: DataFrame, uri: str, version: str, loaded: Callable[[str], Any]) -> None:
    """Explain a sample of ``windows`` and store the shares in ops/metrics.

    Args:
        windows: rows of gold/windows at the cutoff; the first grain's are sampled.
        uri: the model's folder.
        loaded: gives a worker its model.
    """
    if step.settings.evaluate.way is not None:
        return
    begun = windows.where((F.col("grain") == step.settings.demand.grains[0]) & (F.col("length") > 0))
    sample = sampled(begun, step.settings.seed).repartition(begun.sparkSession.sparkContext.defaultParallelism)
    found = sample.mapInArrow(_explainer(uri, loaded), _SCHEMA).groupBy("promoted", "name")
    totals = found.agg(*(F.sum(name).alias(name) for name in ("absolute", "signed", "forecast"))).collect()
    rows = [
        {
            "as_of": step.day(), "model": "forecaster", "model_version": version, "metric": metric,
            "segment": segment, "value": value, "baseline": None, "run_id": step.run_id,
        }
        for metric, segment, value in shares([row.asDict() for row in totals])
    ]  # fmt: skip
    Ledger(step.lake.uri).replace_contributions(step.day(), rows)


def sampled(windows: DataFrame, seed: int) -> DataFrame:
    """About SERIES rows of each class of velocity, with what one of them stands for as ``weight``."""
    recent = F.aggregate(F.slice("units", -_RECENT, _RECENT), F.lit(0.0), lambda total, one: total + one) / _RECENT
    doubled = F.floor(F.log2(F.greatest(F.lit(0.0), recent) + 0.05)) + 2
    velocity = F.greatest(F.lit(0.0), F.least(F.lit(CLASSES - 1.0), doubled))
    classed = windows.withColumn("velocity", F.coalesce(velocity, F.lit(0.0)).cast("int"))
    sizes = {row["velocity"]: row["count"] for row in classed.groupBy("velocity").count().collect()}
    rate = _by_class({velocity: min(1.0, SERIES / size) for velocity, size in sizes.items()})
    drawn = F.pmod(F.xxhash64(*_KEY, F.lit(seed)), F.lit(_PARTS)) < rate * _PARTS
    return classed.where(drawn).withColumn("weight", 1.0 / rate).drop("velocity")


def _by_class(values: dict[int, float]) -> Column:
    chosen = F.lit(1.0)
    for velocity, value in values.items():
        chosen = F.when(F.col("velocity") == velocity, F.lit(value)).otherwise(chosen)
    return chosen


def _explainer(
    uri: str, loaded: Callable[[str], Any]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Weighted sums of contributions per group and of forecasts, for series promoted in the horizon and the others."""

    def explain(given: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model = loaded(uri)
        from shelfcast.models.attribution import GROUPS, attributed, promoted

        for batch in given:
            if not batch.num_rows:
                continue
            table = pa.Table.from_batches([batch])
            found = attributed(model, table, nodes=_NODES, summed=True)
            weight, planned = table["weight"].to_numpy(), promoted(table, model.inputs, model.context)
            for known in (True, False):
                rows = planned == known
                each = found.contributions[rows, 0] * weight[rows, None]
                forecast = float((found.forecast[rows, 0] * weight[rows]).sum())
                columns = [[known] * len(GROUPS), GROUPS, np.abs(each).sum(0), each.sum(0), [forecast] * len(GROUPS)]
                yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], _names())

    return explain


def _names() -> list[str]:
    return [column.split()[0] for column in _SCHEMA.split(", ")]


def shares(totals: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, float]]:
    """(metric, segment, value) from sums per group and promoted or not.

    ``contribution`` is a group's share of all absolute contributions, ``contribution_net`` its sum ÷ the forecast's;
    segments are ``group=…`` over all series, and ``group=…, promoted=yes`` or ``no``.
    """
    for ending, kinds in (("", (True, False)), (", promoted=yes", (True,)), (", promoted=no", (False,))):
        rows = [row for row in totals if row["promoted"] in kinds]
        names = list(dict.fromkeys(row["name"] for row in rows))
        sums = {
            name: [
                sum(row[column] for row in rows if row["name"] == name) for column in ("absolute", "signed", "forecast")
            ]
            for name in names
        }
        everything = sum(values[0] for values in sums.values())
        for name, (absolute, signed, forecast) in sums.items():
            if everything > 0 and forecast > 0:
                yield CONTRIBUTION, f"group={name}{ending}", absolute / everything
                yield f"{CONTRIBUTION}_net", f"group={name}{ending}", signed / forecast
