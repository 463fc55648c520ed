"""What must hold before gold/totals is written: every level sums the one below, and sums over horizons their parts."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError

LEVELS = ("chain", "department", "category", "product", "product_store")
TOLERANCE = 1e-6
_NODE = ("department", "category", "product_id", "store_id")
_VALUES = ("units", "revenue")


def check(made: DataFrame, horizon: int, as_of: date) -> int:
    """Check that all levels add up, that cumulative rows do, and that nothing is negative.

    Args:
        made: rows of gold/totals of one as_of.

    Returns:
        the number of rows.

    Raises:
        ReconciliationError: naming a key; nothing has been written then.
    """
    count = _check(_nodes(made, horizon), "lack a horizon, fall below 0 or differ from their cumulative row", as_of)
    _check(_levels(made), "differ from the sum of the level below", as_of)
    return count


def _check(judged: DataFrame, fault: str, as_of: date) -> int:
    """Sums ``rows`` of judged nodes; raises if any is ``wrong``."""
    told = F.concat_ws(" ", "period", "level", *_NODE)
    found = judged.agg(
        F.sum("rows").alias("rows"),
        F.count_if("wrong").alias("wrong"),
        F.first(F.when(F.col("wrong"), told), ignorenulls=True).alias("one"),
    ).first()
    if found is not None and found["wrong"]:
        raise ReconciliationError(
            f"table gold/totals, as_of {as_of}: {found['wrong']} totals {fault}, for instance {found['one']}; nothing "
            "was written. Score the forecasts of this as-of again; if it stays, a table changed while they were summed"
        )
    return int(found["rows"] or 0) if found is not None else 0


def _nodes(made: DataFrame, horizon: int) -> DataFrame:
    """Per node its rows and whether its horizons are whole."""
    entries = F.array_sort(F.collect_list(F.struct("cumulative", "horizon", *_VALUES))).alias("entries")
    nodes = made.groupBy("period", "level", *_NODE).agg(entries, F.count("*").alias("rows"))
    apart = [
        f"exists(sequence(1, {horizon}), h -> {_differs(_upto(value), f'get(entries, {horizon} + h - 1).{value}')})"
        for value in _VALUES
    ]
    sound = "entry.units >= 0 AND entry.units < double('infinity') AND coalesce(entry.revenue, 0D) >= 0"
    wrong = f"size(entries) != {2 * horizon} OR exists(entries, entry -> NOT ({sound})) OR " + " OR ".join(apart)
    return nodes.withColumn("wrong", F.coalesce(F.expr(wrong), F.lit(True)))


def _upto(value: str) -> str:
    return f"aggregate(slice(entries, 1, h), 0D, (sum, entry) -> sum + coalesce(entry.{value}, 0D))"


def _differs(one: str, other: str) -> str:
    return f"abs({one} - coalesce({other}, 0D)) > {TOLERANCE} * greatest(1D, abs({one}))"


def _levels(made: DataFrame) -> DataFrame:
    """Per node that has a level below it what it says and what that level's nodes sum to.

    Every row is looked at twice: as itself and as a part of its parent.
    """
    rank = F.array_position(F.array(*[F.lit(name) for name in LEVELS]), F.col("level"))
    itself = made.select(
        "period", rank.alias("rank"), *_NODE, "horizon", "cumulative", *_VALUES, F.lit(1).alias("sign")
    )
    parents = [_starred(name, depth) for depth, name in enumerate(_NODE, start=2)]
    below = itself.where("rank > 1").select(
        "period",
        (F.col("rank") - 1).alias("rank"),
        *parents,
        "horizon",
        "cumulative",
        *_VALUES,
        F.lit(-1).alias("sign"),
    )
    signed = [F.sum(F.col("sign") * F.coalesce(name, F.lit(0.0))).alias(name) for name in _VALUES]
    sizes = [F.sum(F.abs(F.coalesce(name, F.lit(0.0)))).alias(f"{name}_size") for name in _VALUES]
    sums = (
        itself.unionByName(below)
        .groupBy("period", "rank", *_NODE, "horizon", "cumulative")
        .agg(*signed, *sizes, F.count_if(F.col("sign") > 0).alias("rows"), F.count_if(F.col("sign") < 0).alias("parts"))
    )
    lowest = itself.groupBy("period").agg(F.max("rank").alias("lowest"))
    gaps = [F.abs(name) > TOLERANCE * F.greatest(F.lit(1.0), f"{name}_size") for name in _VALUES]
    wrong = (F.col("rows") != 1) | ((F.col("rank") < F.col("lowest")) & ((F.col("parts") == 0) | gaps[0] | gaps[1]))
    level = F.element_at(F.array(*[F.lit(name) for name in LEVELS]), F.col("rank").cast("int"))
    return sums.join(F.broadcast(lowest), "period").select(
        "period", level.alias("level"), *_NODE, "rows", wrong.alias("wrong")
    )


def _starred(name: str, depth: int) -> Column:
    """A key column of the parent: ``*`` in the column that tells apart nodes of rank ``depth``, if it is one."""
    return F.when(F.col("rank") == depth, F.lit("*")).otherwise(F.col(name)).alias(name)
