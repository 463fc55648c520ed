"""Joins what is known of products, stores and campaigns to a record, as of its day."""

from collections.abc import Callable, Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from shelfcast.lake.tables import contract

Lookup = Callable[[str], DataFrame | None]
KEYS = {"products": "product_id", "stores": "store_id", "campaigns": "campaign_id"}
_VALIDITY = ("valid_from", "valid_to")
_SMALL = 1_000_000  # rows of a lookup that are sent to every executor


def join_lookup(
    frame: DataFrame, lookup: DataFrame | None, name: str, source: str, day: Column | None, fields: Iterable[str]
) -> DataFrame:
    """Add a struct column ``name`` with the row of ``silver/<name>`` that holds on ``day``; null where none does.

    Args:
        frame: canonical records, with the lookup's key.
        lookup: the silver table; None where the lake has none, then the struct is null.
        day: date that validity is tested against; None: validity does not matter.
        fields: columns of the lookup that are used; each record carries those, so the others stay behind.
    """
    key = KEYS[name]
    promised = contract(f"silver/{name}").schema()
    wanted = [field.name for field in promised if field.name in {one.lower() for one in fields}]
    if lookup is None or key not in frame.columns:
        return frame.withColumn(name, F.lit(None).cast(StructType([promised[one] for one in wanted or [key]])))
    rows = lookup.where(F.col("source") == source)
    validity = [F.col(one).alias(f"_{one}") for one in _VALIDITY if day is not None]
    side = rows.select(F.col(key).alias("_key"), F.struct(*(wanted or [key])).alias(name), *validity)
    number, keys, dated = rows.agg(
        F.count("*"), F.count_distinct(key), F.count_if(F.coalesce(*_VALIDITY).isNotNull())
    ).collect()[0]
    same = F.col(key) == F.col("_key")
    if day is not None and dated:
        same &= F.col("_valid_from").isNull() | (F.col("_valid_from") <= day)
        same &= F.col("_valid_to").isNull() | (F.col("_valid_to") >= day)
    elif number == keys:
        # Changes nothing, but Spark now knows that no record is multiplied: it joins only where a column is needed.
        side = side.dropDuplicates(["_key"])
    if number <= _SMALL:
        side = F.broadcast(side)
    return frame.join(side, same, "left").drop("_key", *(f"_{one}" for one in _VALIDITY))
