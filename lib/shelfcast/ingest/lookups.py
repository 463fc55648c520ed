"""Joins what is known of products, stores and campaigns to a record, as of its day."""

from collections.abc import Callable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.lake.tables import contract

Lookup = Callable[[str], DataFrame | None]
KEYS = {"products": "product_id", "stores": "store_id", "campaigns": "campaign_id"}
_SMALL = 1_000_000  # rows of a lookup that are sent to every executor


def join_lookup(frame: DataFrame, lookup: DataFrame | None, name: str, source: str, day: Column | None) -> DataFrame:
    """Add a struct column ``name`` with the row of ``silver/<name>`` that holds on ``day``; null where none does.

    Args:
        frame: canonical records, with the lookup's key.
        lookup: the silver table; None where the lake has none, then the struct is null.
        day: date that validity is tested against; None: validity does not matter.
    """
    key = KEYS[name]
    if lookup is None or key not in frame.columns:
        return frame.withColumn(name, F.lit(None).cast(contract(f"silver/{name}").schema()))
    rows = lookup.where(F.col("source") == source)
    side = rows.select(F.col(key).alias("_key"), F.struct(*rows.columns).alias(name))
    same = F.col(key) == F.col("_key")
    if day is not None:
        held = F.col(name)
        same &= held.valid_from.isNull() | (held.valid_from <= day)
        same &= held.valid_to.isNull() | (held.valid_to >= day)
    if rows.count() <= _SMALL:
        side = F.broadcast(side)
    return frame.join(side, same, "left").drop("_key")
