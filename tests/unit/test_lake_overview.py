"""``tables`` and ``show`` read a lake without a JVM."""

from datetime import date

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from shelfcast.errors import ConfigError, TableMissing
from shelfcast.lake import overview, rows
from shelfcast.lake.commits import arrow_schema
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.tables import contract

SUNDAY = date(2017, 11, 26)


def recommendation(user: str, rank: int, product: str, as_of: date = SUNDAY) -> dict:
    return {"as_of": as_of, "user_id": user, "rank": rank, "product_id": product, "score": 1.0 / rank,
            "reason": "repeat", "model_version": "v"}  # fmt: skip


@pytest.fixture
def lake(tmp_path):
    uri = str(tmp_path / "lake")

    def write(table: str, listed: list[dict]) -> None:
        data = pa.Table.from_pylist(listed, schema=arrow_schema(contract(table)))
        write_deltalake(f"{uri}/{table}", data, mode="overwrite", partition_by=["as_of"])

    write("gold/recommendations", [recommendation("u1", 1, "a"), recommendation("u1", 2, "b")])
    Ledger(uri).publish(SUNDAY, {"gold/recommendations": 0}, "r1")
    write("gold/recommendations", [recommendation("u1", 1, "c"), recommendation("u2", 1, "c")])
    return uri


def test_tables_lists_what_exists_with_rows_slices_and_version(lake):
    listed = {entry["table"]: entry for entry in overview.tables(lake)}
    assert sorted(listed) == ["gold/recommendations", "ops/published"]
    entry = listed["gold/recommendations"]
    assert (entry["rows"], entry["slices"], entry["version"], entry["personal"]) == (2, 1, 1, True)


def test_show_reads_the_published_version_and_not_the_newest(lake):
    found = rows.show(lake, "recommendations", [], 10)
    assert (found.table, found.version) == ("gold/recommendations", 0)
    assert [(r["rank"], r["product_id"]) for r in found.rows] == [(1, "a"), (2, "b")]


def test_show_filters_by_typed_values_and_limits(lake):
    assert [r["product_id"] for r in rows.show(lake, "gold/recommendations", ["rank=2"], 10).rows] == ["b"]
    assert len(rows.show(lake, "gold/recommendations", [], 1).rows) == 1


@pytest.mark.parametrize(
    ("table", "condition", "said"),
    [
        ("recomendations", "rank=1", "did you mean"),
        ("recommendations", "rang=1", "did you mean rank?"),
        ("recommendations", "rank", "write column=value"),
        ("recommendations", "rank=first", "'first' is no int32"),
    ],
)
def test_show_says_what_is_wrong_with_a_name_or_value(lake, table, condition, said):
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        rows.show(lake, table, [condition], 10)


def test_an_as_of_nobody_published_is_refused_with_those_that_are(lake):
    with pytest.raises(TableMissing, match="published are 2017-11-26"):
        rows.show(lake, "recommendations", [], 10, date(2017, 1, 1))


def test_figures_show_whether_lists_are_whole(lake):
    figures = overview.figures(lake)["gold/recommendations"]
    assert figures == {
        "as_of": "2017-11-26", "rows": 2, "users": 1, "products_distinct_min": 2, "products_distinct_max": 2,
        "repeated_products": 0, "reasons": {"repeat": 2},
    }  # fmt: skip
