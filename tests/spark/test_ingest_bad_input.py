"""A log that cannot be used is named, with what is wrong, and leaves no table behind."""

import gzip
import re
from typing import Any

import pandas as pd
import pytest
from ingest_logs import ORDERS, Shop

from shelfcast.errors import ConfigError, ShelfcastError, SourceError

LINES = "1,2024-01-02,ann,A,1,1\n2,2024-01-03,ann,B,1,1\n"


def refused(shop: Shop, source: dict[str, Any], kind: type[ShelfcastError] = SourceError) -> str:
    """The message of a failed ingest; nothing may have been written."""
    with pytest.raises(kind) as caught:
        shop.ingest({"extends": "orders"} | source)
    assert not any(shop.step().has(table) for table in ("silver/events", "silver/quarantine", "ops/files"))
    return str(caught.value)


def test_a_file_without_a_named_column(shop: Shop) -> None:
    path = shop.write("orders.csv", "order_id,date,customer,product,pieces,price\n" + LINES)

    message = refused(shop, {"inputs": {"orders": {"columns": {"quantity": "piece"}}}})

    assert "sources.shop.inputs.orders.columns." in message
    assert str(path) in message
    assert not shop.step().has("bronze/shop/orders")


def test_the_nearest_column_is_offered(shop: Shop) -> None:
    shop.write("orders.csv", "order_id,date,customer,products,quantity,price\n" + LINES)

    assert "names column product, but" in (message := refused(shop, {}))
    assert "did you mean products?" in message


def test_a_column_of_another_type_throughout(shop: Shop) -> None:
    shop.write("orders.csv", ORDERS + "1,02.01.2024,ann,A,1,1\n2,03.01.2024,ann,B,1,1\n")

    message = refused(shop, {})

    assert "sources.shop.inputs.orders.columns.event_time" in message
    assert "gives no timestamp in any of 2 records" in message


def test_an_expression_that_is_no_sql(shop: Shop) -> None:
    shop.write("orders.csv", ORDERS + LINES)

    message = refused(shop, {"inputs": {"orders": {"columns": {"quantity": "quantity +"}}}}, ConfigError)

    assert "sources.shop.inputs.orders.columns.quantity: 'quantity +' is no Spark SQL expression" in message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"columns": {"quantity": "reflect('java.lang.System', 'exit', 3)"}}, "columns.quantity: .* by reflect,"),
        ({"where": "if(system.builtin.Java_Method('a', 'b') = 'x', true, false)"}, "where: .* by java_method"),
        ({"identity": ["(SELECT max(value) FROM text.`/etc/passwd`)"]}, r"identity\[0\]: .* holds a query"),
        ({"rules": {"own": {"refuses": "it", "when": "quantity IN (SELECT 1)"}}}, "rules.own: .* holds a query"),
    ],
)  # fmt: skip
def test_an_expression_that_does_more_than_compute(shop: Shop, given: dict[str, Any], said: str) -> None:
    shop.write("orders.csv", ORDERS + LINES)

    assert re.search(
        r"sources\.shop\.inputs\.orders\." + said, refused(shop, {"inputs": {"orders": given}}, ConfigError)
    )


def test_a_log_with_a_header_only(shop: Shop) -> None:
    path = shop.write("orders.csv", ORDERS)

    assert f"{path} hold(s) no record" in refused(shop, {})


def test_a_truncated_gzip(shop: Shop) -> None:
    lines = "".join(f"{n},2024-01-02,ann,A{n * 7919},1,1\n" for n in range(20000))
    path = shop.write("orders.csv.gz", gzip.compress((ORDERS + lines).encode())[:-5000])

    message = refused(shop, {})

    assert f"file {path} cannot be read" in message
    assert "it may be truncated" in message
    assert not shop.step().has("bronze/shop/orders")


def test_a_truncated_parquet_file(shop: Shop) -> None:
    path = shop.folder / "orders.parquet"
    pd.DataFrame({"order_id": range(1000)}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])

    message = refused(shop, {"inputs": {"orders": {"files": ["orders.parquet"], "format": "parquet"}}})

    assert f"file {path} is no whole Parquet file" in message


def test_a_log_in_which_every_record_is_refused_says_by_which_rules(shop: Shop) -> None:
    shop.write("orders.csv", ORDERS + "1,2024-01-02,ann,A,0,1\n")

    assert "all 1 records were refused (non_positive_quantity: 1)" in refused(shop, {})


def test_a_log_of_one_user_is_a_log(shop: Shop) -> None:
    shop.write("orders.csv", ORDERS + LINES)

    shop.ingest({"extends": "orders"})

    assert shop.rows("silver/events", "product_id") == [("A",), ("B",)]


def test_broken_lines_leave_only_their_hash_length_and_position(shop: Shop) -> None:
    shop.write("orders.csv", ORDERS + LINES + "3,2024-01-02,secret\n")

    shop.ingest({"extends": "orders"})

    ((corrupt,),) = [row for row in shop.rows("bronze/shop/orders", "_corrupt") if row[0]]
    assert corrupt.startswith("hash ")
    assert corrupt.endswith(", length 19")
    assert "secret" not in str(shop.rows("bronze/shop/orders", "*"))
    assert "secret" not in str(shop.rows("silver/quarantine", "record"))
