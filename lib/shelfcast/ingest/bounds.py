"""Plausible ranges of quantities and prices: fixed in the configuration, or fitted once per category and kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.ingest.canonical import Reading
from shelfcast.settings import Bounds

ALL = "*"
_LEAST_SPREAD = 0.5  # of log values, where more than half of them are equal
_ACCURACY = 1000
_MOST = 500_000  # records that a fit takes about


def fitted_columns(reading: Reading) -> list[str]:
    """The columns whose bounds are fitted for this input: those that the configuration does not fix."""
    fitted = reading.cleaning.fitted_bounds
    if fitted is None or reading.given.fills != "events":
        return []
    fixed = {**reading.cleaning.fixed_bounds, **reading.given.bounds}
    return [name for name in fitted.columns if name not in fixed]


def fit(frame: DataFrame, source: str, columns: list[str], how: Bounds, at: datetime, number: int) -> DataFrame:
    """Rows of ops/bounds: exp(median ± width × interquartile range) of the logs, per category and for all (``*``).

    The interquartile range is taken as at least 0.5. Categories with fewer than ``min_records`` get none. Of more than
    half a million records every second, third, … is taken, chosen by a hash of time and product.

    The rows are brought to the driver: records that were joined to a frame made of them would have it computed again.

    Args:
        number: records, counted.
    """
    category = F.expr(how.per).cast("string").alias("category")
    step = 1 + number // _MOST
    if step > 1:
        frame = frame.where(F.pmod(F.xxhash64("event_time", "product_id"), F.lit(step)) == 0)
    logs = frame.select(category, *(F.when(F.col(name) > 0, F.ln(name)).alias(name) for name in columns))
    found = [
        F.struct(
            F.lit(name).alias("column"),
            F.percentile_approx(name, [0.25, 0.5, 0.75], _ACCURACY).alias("q"),
            (F.count(name) * step).alias("records"),
        )
        for name in columns
    ]
    # One pass: the rollup's total is that of all records; those without a category have no row of their own.
    grouped = logs.rollup("category").agg(F.grouping("category").alias("total"), F.array(*found).alias("found"))
    fitted = grouped.where("total = 1 OR category IS NOT NULL").select(
        F.when(F.col("total") == 1, F.lit(ALL)).otherwise(F.col("category")).alias("category"),
        F.explode("found").alias("one"),
    )
    spread = F.greatest(F.col("q")[2] - F.col("q")[0], F.lit(_LEAST_SPREAD)) * how.width
    rows = (
        fitted.select("category", "one.*")
        .where(F.col("records") >= how.min_records)
        .select(
            F.lit(source).alias("source"),
            "column",
            "category",
            F.exp(F.col("q")[1] - spread).alias("lower"),
            F.exp(F.col("q")[1] + spread).alias("upper"),
            "records",
            F.lit(at).alias("fitted_at"),
        )
    )
    return frame.sparkSession.createDataFrame(rows.collect(), rows.schema)  # two for a category of enough records


def mark_outside(frame: DataFrame, reading: Reading, fitted: DataFrame | None) -> DataFrame:
    """Add ``_outside``: the columns whose value lies outside its range, with commas between them.

    What is not positive lies outside of none: it has a rule of its own.

    Args:
        fitted: ops/bounds.
    """
    fixed = {**reading.cleaning.fixed_bounds, **reading.given.bounds}
    marks = [
        F.when(_beyond(F.col(name), F.lit(lower), F.lit(upper)), F.lit(name))
        for name, (lower, upper) in fixed.items()
        if name in frame.columns
    ]
    columns = fitted_columns(reading)
    how = reading.cleaning.fitted_bounds
    if fitted is None or not columns or how is None:
        return frame.withColumn("_outside", F.concat_ws(",", *marks))
    mine = fitted.where((F.col("source") == reading.source) & F.col("column").isin(columns))
    ranges: dict[str, dict[str, tuple[float, float]]] = {ALL: {}}
    for row in mine.collect():
        ranges.setdefault(row["category"], {})[row["column"]] = (row["lower"], row["upper"])
    overall = ranges.pop(ALL)
    frame = _join_ranges(frame.withColumn("_category", F.expr(how.per).cast("string")), ranges, columns)
    for name in columns:
        own, (least, most) = F.col(f"_range_{name}"), overall.get(name, (None, None))
        test = _beyond(F.col(name), F.coalesce(own.lower, F.lit(least)), F.coalesce(own.upper, F.lit(most)))
        marks.append(F.when(test, F.lit(name)))
    marked = frame.withColumn("_outside", F.concat_ws(",", *marks))
    return marked.drop("_category", "_ranges_of", *(f"_range_{name}" for name in columns))


def _join_ranges(
    frame: DataFrame, ranges: Mapping[str, Mapping[str, tuple[float, float]]], columns: Sequence[str]
) -> DataFrame:
    """Add the ranges of the record's category, null where it has none of its own."""
    kinds = ", ".join(f"`_range_{name}` struct<lower: double, upper: double>" for name in columns)
    rows = [(category, *(held.get(name) for name in columns)) for category, held in ranges.items()]
    local = frame.sparkSession.createDataFrame(rows, f"_ranges_of string, {kinds}")
    return frame.join(F.broadcast(local), F.col("_category") == F.col("_ranges_of"), "left")


def _beyond(value: Column, lower: Column, upper: Column) -> Column:
    tests = [value < lower.cast("double"), value > upper.cast("double")]
    return (value > 0) & reduce(lambda left, right: left | right, (F.coalesce(t, F.lit(False)) for t in tests))
