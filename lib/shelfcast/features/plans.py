"""A log of plans packed small in one pass: per product and validity, a bit per store.

Promotions can outnumber sales tenfold and repeat their keys. Setting a store's bit twice changes nothing, so packing
removes repetitions exactly, and only a row per product, validity and 64 stores goes through a shuffle.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from shelfcast.features.periods import ALL_STORES, period_start
from shelfcast.lake.plans import PLANS
from shelfcast.lake.step import content_id

EVERYWHERE = -1  # the word of plans for all stores
_STORES_A_WORD = 64


def store_bits(promotions: DataFrame) -> DataFrame:
    """A place for each store in words of 64 bits: store_id, word, place (0 to 63), mask.

    Stores are numbered by first appearance, so that a new one moves no other.
    """
    first = (
        promotions.where(F.col("store_id") != ALL_STORES)
        .groupBy("store_id")
        .agg(F.min("known_from").alias("known_from"), F.min("valid_from").alias("valid_from"))
    )
    number = F.row_number().over(Window.orderBy("known_from", "valid_from", "store_id")) - 1
    numbered = first.select("store_id", number.alias("number"))
    return numbered.select(
        "store_id",
        F.floor(F.col("number") / _STORES_A_WORD).cast("int").alias("word"),
        (F.col("number") % _STORES_A_WORD).alias("place"),
        F.expr(f"shiftleft(1L, number % {_STORES_A_WORD})").alias("mask"),
    )


def pack(promotions: DataFrame, stores: DataFrame) -> DataFrame:
    """Per product, validity and word: one long per entry of PLANS, and ``present``, with a bit per store.

    Args:
        promotions: visible silver/promotions.
        stores: from ``store_bits``.
    """
    flags = {
        "display": F.col("display").isNotNull(),
        "display_main": F.coalesce("display_main", F.lit(False)),
        "mailer": F.col("mailer").isNotNull(),
        "mailer_main": F.coalesce("mailer_main", F.lit(False)),
    }
    bit = F.coalesce("mask", F.lit(1).cast("long"))
    none = F.lit(0).cast("long")
    return (
        promotions.join(F.broadcast(stores), "store_id", "left")
        .groupBy(
            "product_id", "valid_from", "valid_to", "known_from", F.coalesce("word", F.lit(EVERYWHERE)).alias("word")
        )
        .agg(
            F.bit_or(bit).alias("present"),
            *[F.bit_or(F.when(flag, bit).otherwise(none)).alias(name) for name, flag in flags.items()],
        )
    )


def fingerprints(packed: DataFrame, weeks: Mapping[date, date], anchor: date) -> dict[str, str]:
    """Week (text) → hash of the plans that can count in it.

    Args:
        packed: from ``pack``.
        weeks: first day of a week → last day on which a plan must be known to count in it.
        anchor: first day of any week.

    Only a row per distinct (first week, last week, known_from) reaches the driver, with two order-free sums of hashes.
    """
    digest = F.xxhash64("product_id", "word", "present", *PLANS, "valid_from", "valid_to")
    rows = (
        packed.groupBy(_week("valid_from", anchor), _week("valid_to", anchor), "known_from")
        .agg(
            F.sum(digest.bitwiseAND(F.lit(0xFFFFFFFF))).alias("low"),
            F.sum(F.shiftrightunsigned(digest, 32)).alias("high"),
        )
        .collect()
    )
    found: dict[date, list[str]] = defaultdict(list)
    for row in rows:
        starts, ends, known_from = row["valid_from"], row["valid_to"], row["known_from"]
        for week, deadline in weeks.items():
            touches = (starts is None or starts <= week) and (ends is None or week <= ends)
            if touches and (known_from is None or known_from <= deadline):
                found[week].append(f"{starts} {ends} {known_from} {row['low']} {row['high']}")
    return {week.isoformat(): content_id(sorted(found[week])) for week in weeks}


def in_periods(packed: DataFrame, starts: Sequence[date], days: int, horizon: int) -> DataFrame:
    """Packed plans per product, period and word: the periods of ``days`` days that begin on ``starts``.

    A plan counts in each period it touches, if it was known at the cutoff that has the period as its longest horizon.
    A missing valid_from or valid_to reaches to the end of the span.
    """
    first, last = min(starts), max(starts)
    begins = period_start(F.greatest(F.coalesce("valid_from", F.lit(first)), F.lit(first)), first, days)
    ends = F.least(F.coalesce("valid_to", F.lit(last)), F.date_add(F.lit(last), days - 1))
    further = F.floor(F.date_diff(ends, begins) / days).cast("int")
    spread = packed.withColumn("begins", begins).withColumn("ends", ends).where("begins <= ends")
    spread = spread.withColumn("step", F.explode(F.sequence(F.lit(0), further)))
    known_by = F.date_sub("period_start", 1 + days * (horizon - 1))
    return (
        spread.withColumn("period_start", F.date_add("begins", F.col("step") * days))
        .where(F.col("period_start").isin(*[F.lit(start) for start in starts]))
        .where(F.col("known_from").isNull() | (F.col("known_from") <= known_by))
        .groupBy("product_id", "period_start", "word")
        .agg(*[F.bit_or(name).alias(name) for name in ("present", *PLANS)])
    )


def _week(name: str, anchor: date) -> Column:
    return period_start(F.col(name), anchor, 7).alias(name)
