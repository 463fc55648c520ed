"""gold/windows: per active series and cutoff, the history as arrays and what was planned beyond it.

Zero-filling happens here and nowhere else. Series, sales and plans are put under one another, grouped once by series,
and the few periods with sales are scattered into dense arrays by ``dense``.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.features import dense, stockouts
from shelfcast.features.calendar import phases
from shelfcast.features.periods import Grain, periods_since, starts
from shelfcast.features.series import KEY, STATICS
from shelfcast.lake.contract import spark_type
from shelfcast.lake.plans import PLANS
from shelfcast.lake.tables import contract
from shelfcast.settings import Censoring, Settings

BUCKETS = 1024


def first_start(cutoff: date, grain: Grain, context: int) -> date:
    """First day of the oldest of the ``context`` periods that end with ``cutoff``."""
    return cutoff + timedelta(days=1 - context * grain.days)


def spine(series: DataFrame, grain: Grain, cutoff: date, first: date, horizon: int) -> DataFrame:
    """Active and new series of a grain with ``age`` (periods from first sale to cutoff, both counted) and ``listed``.

    Args:
        series: gold/series as it stood at ``cutoff``.
        first: first day of the oldest period of the context, which anchors the periods.
        horizon: periods beyond the cutoff, of which those count as listed that begin before the listing ends.
    """
    newest = periods_since(F.lit(cutoff), first, grain.days)
    age = newest - periods_since(F.col("first_sale"), first, grain.days) + 1
    begin = periods_since(F.col("listed_until"), cutoff + timedelta(days=1), grain.days) + 1
    listed = F.least(F.greatest(F.coalesce(begin, F.lit(horizon)), F.lit(0)), F.lit(horizon))
    wanted = (F.col("grain") == grain.name) & F.col("status").isin("active", "new")
    return series.where(wanted).select(
        *KEY, F.coalesce(age, F.lit(0)).alias("age"), listed.cast("int").alias("listed"), *STATICS
    )


def sales(demand: DataFrame, grain: Grain, cutoff: date, first: date) -> DataFrame:
    """Sales inside the context, each with its position. A period with more returns than sales counts as 0."""
    ended = F.date_add("period_start", grain.days - 1) <= F.lit(cutoff)
    within = (F.col("grain") == grain.name) & (F.col("period_start") >= F.lit(first)) & ended
    values = {
        "units": F.greatest(F.col("units"), F.lit(0.0)),
        "orders": F.col("orders"),
        "price": F.coalesce("price", F.lit(0.0)),
        "discount": F.coalesce("discount_depth", F.lit(0.0)),
    }
    return _positioned(demand.where(within), grain, first, values, "sale")


def plans(covariates: DataFrame, grain: Grain, first: date, periods: int) -> DataFrame:
    """Plans inside context and horizon, each with its position."""
    last = first + timedelta(days=(periods - 1) * grain.days)
    within = (F.col("grain") == grain.name) & F.col("period_start").between(F.lit(first), F.lit(last))
    return _positioned(covariates.where(within), grain, first, {name: F.col(name) for name in PLANS}, "plan")


def _positioned(frame: DataFrame, grain: Grain, first: date, values: dict[str, Column], name: str) -> DataFrame:
    position = periods_since(F.col("period_start"), first, grain.days)
    fields = [value.cast("float").alias(field) for field, value in values.items()]
    return frame.select(*KEY, F.struct(position.alias("position"), *fields).alias(name))


def sparse(parts: DataFrame, tasks: int) -> DataFrame:
    """One row per series of the spine, its sales, plans and periods out of stock as arrays of structs.

    Args:
        parts: spine, sales, plans and empty periods put under one another; series outside the spine are dropped.
        tasks: shuffle partitions, which become the files of the slice.
    """
    return (
        parts.repartition(tasks, *KEY)
        .groupBy(*KEY)
        .agg(
            F.max("age").alias("age"),
            *[F.max(name).alias(name) for name in STATICS],
            F.collect_list("sale").alias("sale"),
            F.collect_list("plan").alias("plan"),
            F.max("listed").alias("listed"),
            F.collect_list("out").alias("out"),
        )
        .where("age IS NOT NULL")
    )


def build(
    series: DataFrame,
    demand: DataFrame,
    covariates: DataFrame | None,
    grain: Grain,
    cutoff: date,
    settings: Settings,
    tasks: int,
    stock: DataFrame | None = None,
) -> DataFrame:
    """Windows of one grain at one cutoff, and the column ``clipped``: entries that outlier clipping changed.

    Args:
        series: gold/series as it stood at ``cutoff``.
        demand: gold/demand.
        covariates: gold/covariates, None without promotions.
        tasks: shuffle partitions, which become files.
        stock: silver/stock, None without it.
    """
    windows = settings.windows
    first = first_start(cutoff, grain, windows.context)
    periods = windows.context + windows.horizon
    parts = spine(series, grain, cutoff, first, windows.horizon).unionByName(
        sales(demand, grain, cutoff, first), allowMissingColumns=True
    )
    planned = "struct<position:int,display:float,display_main:float,mailer:float,mailer_main:float>"
    if covariates is None:
        parts = parts.withColumn("plan", F.lit(None).cast(planned))
    else:
        planned_rows = plans(covariates, grain, first, periods)
        parts = parts.unionByName(planned_rows, allowMissingColumns=True)
    parts = _with_stock(parts, stock, grain, cutoff, first, settings.demand.censoring)
    bucket = F.pmod(F.xxhash64(*KEY), F.lit(BUCKETS)).cast("int")
    grouped = sparse(parts, tasks).select(
        *KEY, F.lit(cutoff).alias("cutoff"), bucket.alias("bucket"), "age", "listed", *STATICS, "sale", "plan", "out"
    )
    last = cutoff + timedelta(days=windows.horizon * grain.days)
    known = phases(starts(first, last, grain.days), grain.days, settings.calendar)
    filled = dense.Filling(
        context=windows.context,
        horizon=windows.horizon,
        outliers=settings.demand.outliers,
        width=settings.demand.outlier_width,
        calendar={"holiday": known.holiday, "month_start": known.month_start, "year_phase": known.year_phase},
        zero_runs=settings.demand.censoring.zero_runs,
        significance=settings.demand.censoring.significance,
        longest=settings.demand.censoring.longest,
    )
    return grouped.mapInArrow(_filler(filled), _schema())


def _with_stock(
    parts: DataFrame, stock: DataFrame | None, grain: Grain, cutoff: date, first: date, censoring: Censoring
) -> DataFrame:
    """Periods out of stock put under the rest, each with its position in ``out``."""
    if stock is None or not censoring.stock:
        return parts.withColumn("out", F.lit(None).cast("struct<position:int,out:float>"))
    empty = stockouts.out_of_stock(stock, grain, first, cutoff, censoring.in_stock)
    marked = F.struct("position", F.lit(1.0).cast("float").alias("out")).alias("out")
    return parts.unionByName(
        empty.select(F.lit(grain.name).alias("grain"), "product_id", "store_id", marked), allowMissingColumns=True
    )


def _filler(filling: dense.Filling) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    names = [*contract("gold/windows").names(), "clipped"]

    def fill(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield filling.fill(batch).select(names)

    return fill


def _schema() -> str:
    promised = contract("gold/windows")
    columns = [f"{column.name} {spark_type(column.type).simpleString()}" for column in promised.columns]
    return ", ".join([*columns, "clipped int"])
