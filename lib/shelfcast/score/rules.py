"""The rules of section ``lists`` as bits of products and users, made in Spark, and as arrays for those who rank.

Exclusion number i is bit i: of a product's ``_marks`` where it speaks of the product, of a user's ``flags`` where it
applies to the user.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.lake.catalogue import holds, valid
from shelfcast.lake.step import Step
from shelfcast.lake.tables import contract
from shelfcast.lake.visible import visible
from shelfcast.models.catalogue import Catalogue, codes_in
from shelfcast.models.rules import Cap, ShopRules, Wait
from shelfcast.score.conditions import PRODUCTS, USERS, nobody
from shelfcast.settings import Exclusion, Lists

MARKS, SOLD = "_marks", "_sold"  # columns of products: bits; whether it is on sale, whatever is excluded
_OPTED_OUT = 62


def products(step: Step, shop: DataFrame, as_of: date) -> DataFrame:
    """The catalogue with ``_sold``, ``_marks`` and the attributes that rules ask for, each with ``_`` before its name.

    What is offered to nobody is no longer ``on_sale``.

    Args:
        shop: ``catalogue.catalogue``.
    """
    lists = step.settings.lists
    texts = [rule.products for rule in lists.rules().values()]
    if not texts and not lists.attributes():
        return shop.withColumn(MARKS, F.lit(0).cast("long")).withColumn(SOLD, F.col("on_sale"))
    marks = _bits(texts)
    known = (
        valid(_side(step, PRODUCTS), as_of)
        .groupBy("product_id")
        .agg(F.bit_or(marks).alias(MARKS), *(F.max(name).alias(f"_{name}") for name in lists.attributes()))
    )
    unknown = F.lit(_of_nobody(step, PRODUCTS, marks))
    marked = shop.join(known, "product_id", "left").withColumn(MARKS, F.coalesce(MARKS, unknown))
    never = F.col(MARKS).bitwiseAND(F.lit(_mask(lists, _always)).cast("long")) == 0
    return marked.withColumn(SOLD, F.col("on_sale")).withColumn("on_sale", F.col("on_sale") & never)


def users(step: Step, seen: DataFrame, as_of: date) -> DataFrame:
    """Every known user with ``flags`` and ``opted_out``: those of ``seen``, and the visible ones of silver/users."""
    lists = step.settings.lists
    texts: list[str | None] = [rule.only_for or rule.hidden_from for rule in lists.rules().values()]
    texts += [None] * (_OPTED_OUT - len(texts)) + [lists.opted_out]
    bits = _bits(texts)
    marks = F.lit(_of_nobody(step, USERS, bits))
    if step.has(USERS):
        registered = visible(_side(step, USERS), as_of).groupBy("user_id")
        seen = seen.join(registered.agg(F.bit_or(F.when(holds(as_of), bits)).alias(MARKS)), "user_id", "full")
        marks = F.coalesce(MARKS, marks)
    only, personal = _mask(lists, lambda rule: rule.only_for is not None), _mask(lists, _personal)
    flags = marks.bitwiseXOR(F.lit(only).cast("long")).bitwiseAND(F.lit(personal).cast("long"))
    opted_out = marks.bitwiseAND(F.lit(1 << _OPTED_OUT)) != 0
    return seen.select("*", flags.alias("flags"), opted_out.alias("opted_out")).drop(MARKS)


def columns(lists: Lists) -> list[str]:
    """What ``products`` adds to a catalogue."""
    return [SOLD, MARKS, *(f"_{name}" for name in lists.attributes())]


def shop_rules(lists: Lists, k: int, table: pa.Table, catalogue: Catalogue, absent: pa.Table | None) -> ShopRules:
    """The rules as arrays.

    Args:
        table: ``products``, in the order of ``catalogue``.
        absent: ``catalogue.absent_by_store``.
    """
    marks = table[MARKS].to_numpy().astype(np.int64)
    waits = tuple(
        Wait((marks >> place) & 1 > 0, _groups(table, rule.same), rule.bought_within_days)
        for place, rule in enumerate(lists.rules().values())
        if rule.bought_within_days is not None
    )
    caps = tuple(Cap(_codes(table, name), most) for name, most in lists.caps.items())
    flags = marks & np.int64(_mask(lists, _personal))
    return ShopRules(flags, lists.mode == "novel", lists.repeats(k), waits, caps, _by_store(catalogue, absent))


def concerned(lists: Lists, table: pa.Table) -> dict[str, int]:
    """Exclusion → how many products on sale it speaks of."""
    marks = table[MARKS].to_numpy().astype(np.int64)[table[SOLD].to_numpy().astype(bool)]
    return {name: int(((marks >> place) & 1).sum()) for place, name in enumerate(lists.rules())}


def _always(rule: Exclusion) -> bool:
    return not _personal(rule) and rule.bought_within_days is None


def _personal(rule: Exclusion) -> bool:
    return rule.only_for is not None or rule.hidden_from is not None


def _mask(lists: Lists, which: Callable[[Exclusion], bool]) -> int:
    return sum(1 << place for place, rule in enumerate(lists.rules().values()) if which(rule))


def _bits(texts: Sequence[str | None]) -> Column:
    """Bit i is set where the i-th condition holds."""
    bits = F.lit(0).cast("long")
    for place, text in enumerate(texts):
        if text is not None:
            bits = bits.bitwiseOR(F.when(F.expr(text), F.lit(1 << place).cast("long")).otherwise(F.lit(0).cast("long")))
    return bits


def _side(step: Step, name: str) -> DataFrame:
    """A side with all columns of its contract, null where the stored table is older; empty where there is none."""
    if not step.has(name):
        return nobody(step.lake, name).where("false")
    stored = step.read(name)
    missing = [column for column in contract(name).columns if column.name not in stored.columns]
    return stored.select("*", *(F.lit(None).cast(column.type).alias(column.name) for column in missing))


def _of_nobody(step: Step, name: str, bits: Column) -> int:
    """The bits of a product or user that the side does not hold."""
    row = nobody(step.lake, name).select(bits).first()
    return int(row[0]) if row is not None else 0


def _codes(table: pa.Table, attribute: str) -> NDArray[Any]:
    """[products] int64 number of the attribute's value, -1 for null."""
    values = table[f"_{attribute}"]
    return codes_in(pc.drop_null(pc.unique(values)), values).astype(np.int64)


def _groups(table: pa.Table, same: str) -> NDArray[Any]:
    """[products] int64 number of those that are alike; one without the attribute is like no other."""
    own = np.arange(table.num_rows)
    if same == "product":
        return own
    codes = _codes(table, same)
    return np.where(codes >= 0, codes, table.num_rows + own)


def _by_store(catalogue: Catalogue, absent: pa.Table | None) -> dict[str, NDArray[Any]]:
    if absent is None:
        return {}
    stores, codes = absent["store_id"].to_numpy().astype(str), catalogue.codes(absent["product_id"])
    order = np.lexsort((codes, stores))
    names, starts = np.unique(stores[order], return_index=True)
    return dict(zip(names.tolist(), np.split(codes[order], starts[1:]), strict=True)) if len(names) else {}
