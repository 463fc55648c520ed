"""Tiny silver frames for the tests of the features room: every column of the contract, only what matters given."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from shelfcast.lake.tables import contract

ARRIVED = datetime(2024, 1, 1, tzinfo=UTC)
Row = Mapping[str, Any]


def frame(spark: SparkSession, table: str, rows: Iterable[Row]) -> DataFrame:
    """Rows of a table; columns not given are null, arrival columns are filled."""
    promised = contract(table)
    arrival = {"source": "log", "ingest_id": "one", "ingested_at": ARRIVED}
    listed = [tuple({**arrival, **row}.get(name) for name in promised.names()) for row in rows]
    nullable = promised.schema()
    for field in nullable.fields:
        field.nullable = True
    return spark.createDataFrame(listed, nullable)


def event(day: date, product: str, quantity: float = 1.0, **more: Any) -> dict[str, Any]:
    """A purchase at noon by user u in store s at 2.00 apiece."""
    row = {
        "event_time": datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        "event_date": day,
        "week_start": day - timedelta(days=day.weekday()),
        "event_type": "purchase",
        "user_id": "u",
        "product_id": product,
        "store_id": "s",
        "quantity": quantity,
        "unit_price": 2.0,
        "discount": 0.0,
        **more,
    }
    row.setdefault("event_id", "/".join(str(value) for value in row.values()))
    return row


def plan(product: str, store: str, week: date, **more: Any) -> dict[str, Any]:
    """A week's promotion known 28 days ahead."""
    return {
        "product_id": product,
        "store_id": store,
        "valid_from": week,
        "valid_to": week + timedelta(days=6),
        "known_from": week - timedelta(days=28),
        **more,
    }


def rows(found: DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """Sorted tuples of some columns."""
    return sorted((tuple(row) for row in found.select(*columns).collect()), key=str)
