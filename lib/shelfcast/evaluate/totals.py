"""Totals against what then happened: units and revenue of products, categories and the chain, beside plain averages.

What counts as truth are the products that were forecast; one that sold for the first time belongs to no total.
"""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.evaluate.forecast_metrics import MODEL, Figure
from shelfcast.evaluate.truth import Span, events_between
from shelfcast.lake.measures import SOLD, units
from shelfcast.lake.step import Step

AVERAGE = "window_average_8"
_AVERAGED = 8  # periods
_CELL = ("department", "category", "horizon")
_MEASURES = ("units", "revenue")
_LEVELS = {"chain": ["horizon"], "category": list(_CELL)}


def figures(step: Step, events: DataFrame, known: Span) -> list[Figure]:
    """WAPE, bias and how often the 80 % band held, of units and of revenue, per level of gold/totals.

    Revenue by product is measured as well; that of units is what the forecasts themselves are measured by. Empty for a
    grain that totals are not made from, where none have been made, and where ways of knowing plans are compared.

    Args:
        events: ``silver/events``.
        known: horizons that have arrived, of one grain.
    """
    period, _, entity = known.grain.partition(".")
    finest = entity == "product" or f"{period}.product" not in step.settings.demand.grains
    if not finest or step.settings.evaluate.way is not None or not step.has("gold/totals"):
        return []
    made = step.read("gold/totals").where(
        (F.col("as_of") == F.lit(step.day()))
        & (F.col("period") == period)
        & ~F.col("cumulative")
        & F.col("horizon").isin(list(known.starts))
    )
    products = made.where("level = 'product'").select(*_CELL, "product_id", *_MEASURES)
    cells = summed(products, sold(events, known), averages(step.read("gold/demand"), known)).toPandas()
    bands = made.where("level IN ('chain', 'category')").drop("as_of", "period", "cumulative", "target_start")
    return [] if cells.empty else list(measured(cells, bands.toPandas()))


def sold(events: DataFrame, known: Span) -> DataFrame:
    """product_id, horizon, and what was sold and paid, returns taken off."""
    starts = F.create_map(*[F.lit(part) for h, start in known.starts.items() for part in (start, h)])
    period = F.col("week_start") if known.days > 1 else F.col("event_date")
    paid = units() * F.coalesce("unit_price", F.lit(0.0))
    return (
        events_between(events, known.cutoff, known.end)
        .where(F.col("event_type").isin(*SOLD))
        .select("product_id", starts[period].alias("horizon"), units().alias("units"), paid.alias("paid"))
        .where(F.col("horizon").isNotNull())
        .groupBy("product_id", "horizon")
        .agg(F.sum("units").alias("units_sold"), F.sum("paid").alias("revenue_sold"))
    )


def averages(demand: DataFrame, known: Span) -> DataFrame:
    """product_id and its mean units and revenue of the last 8 periods up to the cutoff."""
    since = known.cutoff - timedelta(days=_AVERAGED * known.days - 1)
    here = (F.col("grain") == known.grain) & F.col("period_start").between(F.lit(since), F.lit(known.cutoff))
    recent = F.col("week_start").between(F.lit(since - timedelta(days=6)), F.lit(known.cutoff))
    means = [(F.sum(name) / _AVERAGED).alias(f"{name}_average") for name in _MEASURES]
    return demand.where(here & recent).groupBy("product_id").agg(*means)


def summed(products: DataFrame, happened: DataFrame, average: DataFrame) -> DataFrame:
    """Per department, category and horizon the sums of forecasts, averages, truth, and of products' absolute errors."""
    joined = products.join(happened, ["product_id", "horizon"], "left").join(average, "product_id", "left").fillna(0.0)
    sums = [F.sum(name + kind).alias(name + kind) for name in _MEASURES for kind in ("", "_sold", "_average")]
    errors = [
        F.sum(F.abs(F.col(name + kind) - F.col(f"{name}_sold"))).alias(f"{name}{kind}_error")
        for name in _MEASURES
        for kind in ("", "_average")
    ]
    return joined.groupBy(*_CELL).agg(*sums, *errors)


def measured(cells: pd.DataFrame, bands: pd.DataFrame) -> Iterator[Figure]:
    """Figures from ``summed`` and the rows of gold/totals of the chain and its categories, both collected."""
    for name in _MEASURES:
        if name == "revenue" and not cells["revenue_sold"].any():
            continue
        metric = "total" if name == "units" else name
        if name == "revenue":
            errors = {MODEL: cells["revenue_error"].sum(), AVERAGE: cells["revenue_average_error"].sum()}
            yield from _errors(metric, "product", errors, cells["revenue_sold"].sum())
        for level, keys in _LEVELS.items():
            nodes = cells.groupby(keys, as_index=False).sum(numeric_only=True)
            truth = nodes[f"{name}_sold"]
            gaps = {MODEL: nodes[name] - truth, AVERAGE: nodes[f"{name}_average"] - truth}
            whole = truth.sum()
            yield from _errors(metric, level, {model: gap.abs().sum() for model, gap in gaps.items()}, whole)
            for model, gap in gaps.items():
                yield _figure(model, f"{metric}_bias", level, _share(gap.sum(), whole))
            yield _figure(
                MODEL, f"{metric}_coverage", level, _coverage(nodes, bands[bands["level"] == level], name, keys)
            )


def _errors(metric: str, level: str, errors: dict[str, float], whole: float) -> Iterator[Figure]:
    for model, error in errors.items():
        yield _figure(model, f"{metric}_wape", level, _share(error, whole))


def _coverage(nodes: pd.DataFrame, bands: pd.DataFrame, name: str, keys: list[str]) -> float | None:
    """Share of the totals that lay between the 10 and 90 % quantiles."""
    low, high = (name_ if name == "units" else f"revenue_{name_}" for name_ in ("q10", "q90"))
    joined = nodes[[*keys, f"{name}_sold"]].merge(bands[[*keys, low, high]], on=keys)
    if joined.empty or joined[low].isna().any():
        return None
    return float(np.mean((joined[f"{name}_sold"] >= joined[low]) & (joined[f"{name}_sold"] <= joined[high])))


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None


def _figure(model: str, metric: str, level: str, value: float | None) -> Figure:
    baseline = AVERAGE if model == MODEL and not metric.endswith("coverage") else None
    return Figure(model, metric, f"level={level}", value, baseline)
