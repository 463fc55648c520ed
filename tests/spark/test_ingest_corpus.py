"""Files as bad as they come: every record ends in silver or quarantine with the sums closed, or one message refuses."""

import gzip
import json
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_logs import ORDERS, Shop

from shelfcast.errors import SourceError
from shelfcast.lake.step import Step
from shelfcast.lake.store import Lake

GOOD = "1,2024-01-02,ann,A,1,1\n"
DAY = "2024-01-02"
CSV: dict[str, tuple[list[str], int]] = {  # lines without their order, how many of these are quarantined
    "nul_bytes": ([f"{DAY},a\0n,A\0,1,1", f"{DAY},\0,A,\0,1"], 1),
    "two_megabytes_in_a_field": ([f"{DAY},{'x' * 2_000_000},A,1,1"], 0),
    "json_in_a_field": ([DAY + ',ann,"{""a"": [1, {""b"": 2}]}",1,1'], 0),
    "quotes_in_ids": ([DAY + ',"O\'Brien ""x""",A,1,1', DAY + ',a"b,A,1,1'], 0),
    "line_break_in_an_id": ([DAY + ',"ann\nlee",A,1,1'], 2),
    "quote_that_never_ends": ([DAY + ',"ann,A,1,1'], 1),
    "sql": ([DAY + ",ann,'; DROP TABLE events; --,1,1"], 0),
    "html": ([DAY + ",ann,<script>alert(1)</script>,1,1"], 0),
    "numbers_that_are_none": ([f"{DAY},ann,A,{text},1" for text in ("many", "0x10", "1,5", "1 0")], 4),
    "numbers_written_otherwise": ([f"{DAY},ann,A,{text},1" for text in ("1e2", " 1 ", "+1", "1.")], 0),
    "nan_and_infinity": ([f"{DAY},ann,A,{text},1" for text in ("NaN", "Infinity", "-Infinity", "1e400")], 4),
    "negative_zero": ([f"{DAY},ann,A,-0.0,1", f"{DAY},ann,A,1,-0.0"], 1),
    "prices_that_are_none": ([f"{DAY},ann,A,1,{text}" for text in ("NaN", "Infinity", "free")], 3),
    "impossible_days": ([f"{day},ann,A,1,1" for day in ("0001-01-01", "9999-12-31", "2024-02-30", "yesterday")], 4),
    "too_few_and_too_many_fields": ([DAY, f"{DAY},ann,A,1,1,1,1"], 2),
    "no_ids": ([f"{DAY},,A,1,1", f"{DAY},ann,,1,1"], 1),
}


def written(shop: Shop) -> dict[str, int]:
    """Writes the files, each with a good line at its end; file → how many of its records are to be quarantined."""
    refused = {}
    for name, (lines, number) in CSV.items():
        numbered = "".join(f"{name}{n},{line}\n" for n, line in enumerate([*lines, f"{DAY},ann,A,1,1"]))
        shop.write(f"{name}.csv", ORDERS + numbered)
        refused[f"{name}.csv"] = number
    for name, lines, number in (
        ("latin_1", ORDERS.encode() + f"l,{DAY},Ren\xe9,A,1,1\n".encode("latin-1"), 0),
        ("byte_order_mark", b"\xef\xbb\xbf" + f"{ORDERS}b,{DAY},ann,A,1,1\n".encode(), 0),
        ("carriage_returns", f"{ORDERS}c,{DAY},ann,A,1,1\n".replace("\n", "\r\n").encode(), 0),
        ("empty_lines", f"{ORDERS}\n\n   \ne,{DAY},ann,A,1,1\n\n".encode(), 0),
        ("header_twice", f"{ORDERS}h,{DAY},ann,A,1,1\n{ORDERS}".encode(), 0),
        ("no_line_break_at_the_end", f"{ORDERS}n,{DAY},ann,A,1,1".encode(), 0),
    ):
        shop.write(f"{name}.csv", lines)
        refused[f"{name}.csv"] = number
    return refused


def source(**inputs: dict[str, Any]) -> dict[str, Any]:
    """One input a file, each like that of ``orders``."""
    columns = {
        "event_time": "to_utc_timestamp(to_timestamp(date), _time_zone)",
        "event_type": "if(cast(quantity AS double) < 0, 'return', 'purchase')",
        "user_id": "customer", "product_id": "product", "order_id": "order_id",
        "quantity": "abs(cast(quantity AS double))", "unit_price": "price",
    }  # fmt: skip
    plain = {"format": "csv", "fills": "events", "columns": columns}
    return {"inputs": {name: {**plain, **changed} for name, changed in inputs.items()}}


def closed(shop: Shop, described: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Ingest; input → what its records have become, with every sum closed."""
    counts = {one["input"]: one for one in shop.ingest(described).counts["inputs"]}
    for name, one in counts.items():
        bronze = shop.step().read(f"bronze/shop/{name}").count()
        refused = shop.step().read("silver/quarantine").where(f"input = '{name}'").count()
        assert (one["read"], one["quarantined"]) == (bronze, refused), name
        assert one["read"] == one["silver"] + one["quarantined"] + one["duplicates"], name
    assert shop.step().read("silver/events").count() == sum(one["silver"] for one in counts.values())
    return counts


def told(title: str, rows: dict[str, str]) -> None:
    print(f"\n{title}")
    for name, outcome in rows.items():
        print(f"  {name:<34} {outcome}")


def test_records_that_a_file_should_not_hold(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    expected = written(shop)
    nested = [
        {"order_id": 1, "date": DAY, "customer": "ann", "product": {"id": "A"}, "quantity": 1, "price": 1},
        {"order_id": [2], "date": DAY, "customer": None, "product": "B", "quantity": "1", "price": "x"},
        {"order_id": "3"},
    ]
    shop.write("nested.jsonl", "\n".join([*map(json.dumps, nested), "[1, 2]", '{"order_id": "4", ', "null", ""]))
    pq.write_table(
        pa.table({
            "order_id": [1, 2, 3, 4], "customer": [7, 8, 9, 9], "product": [1.5, 2.0, float("nan"), 3.0],
            "date": pa.array([date(2024, 1, 2)] * 3 + [None]), "quantity": [Decimal("1.00")] * 4,
            "price": [1.0, float("inf"), 1.0, 1.0],
        }),
        shop.folder / "types.parquet",
    )  # fmt: skip
    inputs = {
        "lines": {"files": ["*.csv"]},
        "nested": {"files": ["nested.jsonl"], "format": "json"},
        "types": {"files": ["types.parquet"], "format": "parquet"},
    }

    counts = closed(shop, source(**inputs))

    read = Counter(file for (file,) in shop.rows("bronze/shop/lines", "_file"))
    quarantined = shop.rows("silver/quarantine", "file", "rules")
    refused = Counter(file for file, _ in quarantined)
    by_file = {file: (read[file], read[file] - refused[file], refused[file]) for file in sorted(read)}
    for file in ("nested.jsonl", "types.parquet"):
        one = counts[file.partition(".")[0]]
        by_file[file] = one["read"], one["silver"], one["quarantined"]
    rules = {file: sorted({one for name, many in quarantined if name == file for one in many}) for file in by_file}
    shown = {
        file: f"{number} read, {silver} silver, {gone} refused {', '.join(rules[file])}"
        for file, (number, silver, gone) in by_file.items()
    }
    with capsys.disabled():
        told("Bad records", shown)
    assert counts["lines"]["duplicates"] == 0
    assert {file: refused[file] for file in read} == expected
    assert by_file["nested.jsonl"] == (6, 1, 5)
    assert by_file["types.parquet"] == (4, 2, 2)


MANY = "".join(f"{n},2024-01-02,ann,A{n * 7919},1,1\n" for n in range(20000))
REFUSED: dict[str, tuple[str, bytes | None, str]] = {  # file, content (None: a folder), what the message says
    "zero_bytes": ("orders.csv", b"", "is empty"),
    "a_folder": ("orders.csv", None, "no file matches *.csv or *.csv.gz"),
    "truncated_gzip": (
        "orders.csv.gz", gzip.compress((ORDERS + MANY).encode(), mtime=0)[:-5000], "it may be truncated",
    ),
    "no_gzip": ("orders.csv.gz", (ORDERS + GOOD).encode(), "orders.csv.gz"),
    "wrong_delimiter": ("orders.csv", (ORDERS + GOOD).replace(",", ";").encode(), "sources.shop.inputs.orders.columns"),
    "utf_16": ("orders.csv", (ORDERS + GOOD).encode("utf-16"), "sources.shop.inputs.orders.columns"),
    "bytes_at_random": ("orders.csv", bytes(range(256)) * 8, "sources.shop.inputs.orders.columns"),
    "a_header_only": ("orders.csv", ORDERS.encode(), "hold(s) no record"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_none(shop: Shop, capsys: pytest.CaptureFixture[str], name: str) -> None:
    file, content, said = REFUSED[name]
    if content is None:
        (shop.folder / file).mkdir()
    else:
        shop.write(file, content)

    with pytest.raises(SourceError) as caught:
        shop.ingest({"extends": "orders"})

    with capsys.disabled():
        told(f"Refused: {name}", {file: str(caught.value).replace(str(shop.folder), "…")[:160]})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value).strip()
    assert not any(shop.step().has(table) for table in ("silver/events", "silver/quarantine", "ops/files"))


_ODD = ["1", DAY, "-1", "0", '"', "''", "\\", "NaN", "\u2028", "\ud7ff", "é", "\t", "NULL", "null"]
_texts = st.one_of(st.text(max_size=8), st.sampled_from(_ODD))


@settings(max_examples=3)
@given(st.lists(st.lists(_texts, min_size=4, max_size=8), min_size=1, max_size=60))
def test_lines_of_anything(tmp_path_factory: pytest.TempPathFactory, spark, configured, lines: list[list[str]]) -> None:
    folder = Path(tmp_path_factory.mktemp("anything"))
    lake = Lake(spark, str(folder / "lake"))
    attempts = iter(range(1, 1000))

    def step(as_of=None, **more: Any) -> Step:
        more.setdefault("settings", configured())
        return Step(lake=lake, as_of=as_of, run_id="r", attempt=next(attempts), **{"say": lambda _: None} | more)

    shop = Shop(folder / "raw", step)
    text = ORDERS + GOOD + "".join(",".join(line) + "\n" for line in lines)
    shop.write("orders.csv", text.encode("utf-8", "surrogatepass"))

    counts = closed(shop, source(orders={"files": ["orders.csv"]}))

    assert counts["orders"]["silver"] >= 1
