"""The comparison of two lakes finds what differs."""

from pathlib import Path
from typing import Any

import lakes_compared
import pyarrow as pa
from deltalake import write_deltalake

SERIES = {
    "product_id": ["a", "b", "c"],
    "rate": [0.1, 0.2, float("nan")],
    "weeks": [[1.0, 2.0], [3.0], []],
    "ingest_id": ["x", "x", "y"],
}


def lake(place: Path, order: list[int] | None = None, **changed: Any) -> str:
    table = pa.table(SERIES | changed)
    write_deltalake(str(place / "gold/series"), table.take(order) if order else table)
    return str(place)


def differs(tmp_path: Path, **changed: Any) -> list[str]:
    compared = lakes_compared.exactly(lake(tmp_path / "one"), lake(tmp_path / "other", [2, 0, 1], **changed))
    return [one.differs for one in compared]


def test_neither_order_nor_the_run_that_wrote_a_row_counts(tmp_path):
    assert differs(tmp_path, ingest_id=["z", "z", "z"]) == [""]


def test_the_last_bit_of_a_number_counts(tmp_path):
    assert differs(tmp_path, rate=[0.1, 0.2 + 2**-55, float("nan")]) == ["rate in 1 rows"]


def test_numbers_in_lists_count(tmp_path):
    assert differs(tmp_path, weeks=[[1.0, 2.0], [4.0], [5.0]]) == ["weeks in 2 rows"]


def test_a_missing_row_and_a_missing_table_are_told(tmp_path):
    one = lake(tmp_path / "one")
    fewer = {name: values[:2] for name, values in SERIES.items()}
    write_deltalake(str(tmp_path / "other/gold/series"), pa.table(fewer))
    write_deltalake(str(tmp_path / "other/silver/events"), pa.table({"event_id": ["e"]}))

    told = {found.what: found.differs for found in lakes_compared.exactly(one, str(tmp_path / "other"))}

    assert told == {"gold/series": "3 rows and 2", "silver/events": f"is missing in {one}"}
