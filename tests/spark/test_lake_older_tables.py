"""Tables that an older version of shelfcast has written, under contracts of its time."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.errors import ContractError
from shelfcast.lake.step import Step
from shelfcast.lake.store import Lake
from shelfcast.lake.tables import CONTRACTS

TABLE = "silver/events"
FIRST, SECOND = date(2017, 1, 2), date(2017, 1, 9)
Make = Callable[..., Step]


@pytest.fixture
def older(spark: SparkSession, lake: Lake) -> Callable[[DataFrame], None]:
    def write(frame: DataFrame) -> None:
        frame.write.format("delta").partitionBy("week_start").save(f"{lake.uri}/{TABLE}")

    return write


def rows(spark: SparkSession, day: date) -> DataFrame:
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    known = {"event_id": str(day), "event_time": at, "event_date": day, "week_start": day, "event_type": "purchase"}
    known |= {"product_id": "a", "store_id": "*", "quantity": 1.0, "discount": 0.5}
    known |= {"source": "shop", "ingest_id": "i", "ingested_at": at}
    names = CONTRACTS[TABLE].names()
    return spark.createDataFrame([tuple(known.get(name) for name in names)], CONTRACTS[TABLE].schema())


def stored(step: Step, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in step.read(TABLE).select("week_start", *columns).collect())


def test_a_column_declared_since_is_null_in_old_rows_and_written_in_new_ones(
    spark: SparkSession, step: Make, older: Callable[[DataFrame], None]
) -> None:
    older(rows(spark, FIRST).drop("discount"))
    assert stored(step(), "discount") == [(FIRST, None)]

    step().replace(TABLE, rows(spark, SECOND), [SECOND])

    assert stored(step(), "quantity", "discount") == [(FIRST, 1.0, None), (SECOND, 1.0, 0.5)]


def test_a_type_that_has_become_wider_is_widened_in_old_rows(
    spark: SparkSession, step: Make, older: Callable[[DataFrame], None]
) -> None:
    older(rows(spark, FIRST).withColumn("discount", F.lit(3)))

    step().replace(TABLE, rows(spark, SECOND), [SECOND])

    assert stored(step(), "discount") == [(FIRST, 3.0), (SECOND, 0.5)]
    assert step().read(TABLE).schema["discount"].dataType.simpleString() == "double"


def test_a_type_that_does_not_fit_says_how_to_go_on_and_nothing_is_written(
    spark: SparkSession, step: Make, older: Callable[[DataFrame], None]
) -> None:
    older(rows(spark, FIRST).withColumn("discount", F.lit("much")))

    with pytest.raises(ContractError) as caught:
        step().replace(TABLE, rows(spark, SECOND), [SECOND])

    assert "column discount is stored as string but arrives as double" in str(caught.value)
    assert "move the lake's folder silver away and run again with --force" in str(caught.value)
    assert stored(step(), "discount") == [(FIRST, "much")]


def test_a_required_column_that_old_rows_lack_is_refused_by_name(
    spark: SparkSession, step: Make, older: Callable[[DataFrame], None]
) -> None:
    older(rows(spark, FIRST).drop("product_id"))

    with pytest.raises(ContractError, match="column product_id is required but not stored; an older version"):
        step().replace(TABLE, rows(spark, SECOND), [SECOND])


def test_a_table_that_is_replaced_whole_takes_todays_columns(spark: SparkSession, step: Make, lake: Lake) -> None:
    old = spark.sql("SELECT 's' AS source, 'quantity' AS `column`, 1 AS lower, 'x' AS gone")
    old.write.format("delta").save(f"{lake.uri}/ops/bounds")
    promised = CONTRACTS["ops/bounds"]
    new = spark.createDataFrame([], promised.schema())

    step().replace("ops/bounds", new)

    assert step().read("ops/bounds").columns == promised.names()
