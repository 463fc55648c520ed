"""The conditions of section ``lists``: where they stand, and whether they can be used, told before anything heavy."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ConfigError
from shelfcast.lake.expressions import references
from shelfcast.lake.store import Lake
from shelfcast.lake.tables import contract
from shelfcast.settings import Lists, Settings

PRODUCTS, USERS = "silver/products", "silver/users"


@dataclass(frozen=True)
class Condition:
    """A condition of the configuration: where it stands, the table it is over, its SQL."""

    key: str
    table: str
    text: str


def conditions(lists: Lists) -> Iterator[Condition]:
    """Every condition of the section."""
    for name, rule in lists.rules().items():
        key = f"lists.exclusions.{name}"
        yield Condition(f"{key}.products", PRODUCTS, rule.products)
        for field in ("only_for", "hidden_from"):
            if getattr(rule, field) is not None:
                yield Condition(f"{key}.{field}", USERS, getattr(rule, field))
    if lists.opted_out is not None:
        yield Condition("lists.opted_out", USERS, lists.opted_out)


def check(lake: Lake, settings: Settings) -> None:
    """Check that every rule can be applied, without reading a table.

    Raises:
        ConfigError: naming the key and what is wrong: no SQL, no such column, no condition, a side nobody fills.
    """
    lists = settings.lists
    found = list(conditions(lists))
    for condition in found:
        _check_condition(lake, condition)
    filled = {f"silver/{i.fills}" for source in settings.sources.values() for i in source.inputs.values()}
    needs = {c.table: c.key for c in reversed(found) if c.key != "lists.opted_out"}
    if lists.caps:
        needs.setdefault(PRODUCTS, f"lists.caps.{next(iter(lists.caps))}")
    for table, key in needs.items():
        if table not in filled and not lake.exists(table):
            raise ConfigError(
                f"{key} needs {table}, which no source fills: add an input with fills: {table.partition('/')[2]}, or "
                "take the rule out"
            )


def _check_condition(lake: Lake, condition: Condition) -> None:
    names = contract(condition.table).names()
    for parts in sorted(references(lake.spark, condition.text, condition.key)):
        column = ".".join(parts)
        if column.lower() not in names:
            close = difflib.get_close_matches(column.lower(), names, n=1, cutoff=0.5)
            near = f"did you mean {close[0]}?" if close else f"it has {', '.join(names)}"
            raise ConfigError(
                f"{condition.key} names column {column}, but {condition.table} has none of that name; {near}"
            )
    try:
        kind = nobody(lake, condition.table).select(F.expr(condition.text)).schema[0].dataType
        if kind.typeName() == "boolean":
            nobody(lake, condition.table).where(F.expr(condition.text))  # refuses aggregates as well
    except PySparkException as error:
        said = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"{condition.key}: {condition.text!r} cannot be used over {condition.table}: {said}"
        ) from error
    if kind.typeName() != "boolean":
        raise ConfigError(
            f"{condition.key}: {condition.text!r} is {kind.simpleString()}, not true or false; compare it"
        )


def nobody(lake: Lake, name: str) -> DataFrame:
    """One row of a table, null throughout."""
    return lake.spark.range(1).select(*(F.lit(None).cast(c.type).alias(c.name) for c in contract(name).columns))
