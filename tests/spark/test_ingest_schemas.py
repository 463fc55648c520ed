"""Raw columns that come, go or change their type from file to file."""

from typing import Any

import pandas as pd
import pytest
from ingest_logs import ORDERS, Shop

from shelfcast.errors import SourceError

SOURCE = {"extends": "orders"}
PARQUET = SOURCE | {"inputs": {"orders": {"files": ["*.parquet"], "format": "parquet", "options": {}}}}


def parquet(shop: Shop, name: str, **columns: Any) -> str:
    path = shop.folder / name
    row = {"order_id": "1", "date": "2024-01-02", "customer": "ann", "product": "A", "quantity": 1, "price": 1.0}
    pd.DataFrame([row | columns]).dropna(axis=1).to_parquet(path)
    return str(path)


def test_a_file_without_a_column_that_events_can_do_without_leaves_it_empty(shop: Shop) -> None:
    shop.write("a.csv", ORDERS + "1,2024-01-02,ann,A,1,2.5\n")
    shop.ingest(SOURCE)
    shop.write("b.csv", "order_id,date,customer,product,quantity\n2,2024-01-03,ann,A,1\n")

    shop.ingest(SOURCE)

    assert shop.rows("silver/events", "order_id", "unit_price") == [("1", 2.5), ("2", None)]
    assert any("b.csv lack(s) price, which earlier files had" in line for line in shop.said)


@pytest.mark.parametrize("column", ["quantity", "product", "date"])
def test_a_file_without_a_column_that_makes_an_event_is_refused_by_name(shop: Shop, column: str) -> None:
    shop.write("a.csv", ORDERS + "1,2024-01-02,ann,A,1,1\n")
    shop.ingest(SOURCE)
    path = shop.write("b.csv", ORDERS.replace(column, "other") + "2,2024-01-03,ann,A,1,1\n")

    with pytest.raises(SourceError, match=rf"names column {column}, but {path} has none of that name"):
        shop.ingest(SOURCE)
    assert shop.rows("silver/events", "order_id") == [("1",)]


def test_a_type_that_changes_between_files_of_one_arrival_is_refused_with_both(shop: Shop) -> None:
    first = parquet(shop, "a.parquet")
    second = parquet(shop, "b.parquet", quantity="one")

    with pytest.raises(SourceError) as caught:
        shop.ingest(PARQUET)

    assert f"file {second}: column quantity is string, but int64 in {first}; write the later files" in str(caught.value)


def test_a_type_that_changes_later_is_refused_with_both_and_a_new_column_of_parquet_is_kept(shop: Shop) -> None:
    parquet(shop, "a.parquet")
    shop.ingest(PARQUET)
    parquet(shop, "b.parquet", order_id="2", colour="red", price=None)
    shop.ingest(PARQUET)
    assert shop.rows("bronze/shop/orders", "order_id", "colour", "price") == [("1", None, 1.0), ("2", "red", None)]
    assert shop.rows("silver/events", "order_id", "unit_price") == [("1", 1.0), ("2", None)]
    path = parquet(shop, "c.parquet", order_id="3", quantity=1.5)

    with pytest.raises(SourceError) as caught:
        shop.ingest(PARQUET)

    assert f"{path}: column quantity is double, but bigint in bronze/shop/orders from files before" in str(caught.value)
    assert "an input of their own" in str(caught.value)
    assert shop.rows("silver/events", "order_id") == [("1",), ("2",)]
