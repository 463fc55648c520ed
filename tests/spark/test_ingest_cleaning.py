"""What is refused, by which rule, and that every record is accounted for."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_logs import ORDERS, Shop
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError
from shelfcast.ingest.accounts import Account
from shelfcast.ingest.bounds import fit
from shelfcast.ingest.canonical import Reading
from shelfcast.ingest.fates import settle
from shelfcast.ingest.identity import hmac_sha256
from shelfcast.settings import Bounds

SHOP = {"extends": "orders", "inputs": {"orders": {"bounds": {"quantity": [None, 100], "unit_price": [None, 50]}}}}


def test_each_rule_refuses_its_record_and_the_record_is_kept_whole(shop: Shop) -> None:
    later = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%d")
    shop.write(
        "orders.csv",
        ORDERS
        + "1,2024-01-01 10:00:00,ann,A,2,1.5\n"
        + "2,2024-01-01 10:00:00,ann,A,many,1.5\n"  # unparsable
        + "3,2024-01-01 10:00:00,ann,,1,1.5\n"  # missing_key
        + f"4,{later},ann,A,1,1.5\n"  # impossible_time
        + "5,1970-01-01,ann,A,1,1.5\n"  # impossible_time
        + "6,2024-01-01 10:00:00,ann,A,0,1.5\n"  # non_positive_quantity
        + "7,2024-01-01 10:00:00,ann,A,101,60\n"  # absurd_quantity, absurd_price
        + "8,2024-01-01 10:00:00,ann,A,1\n"  # unparsable: a cell is missing
        + "9,2024-01-01 10:00:00,,A,,1.5\n",  # accepted: quantity and user may be unknown
    )

    outcome = shop.ingest(SHOP)

    assert shop.rows("silver/events", "order_id", "quantity", "user_id is null") == [
        ("1", 2.0, False),
        ("9", 1.0, True),
    ]
    refused = {
        (order, tuple(rules))
        for order, rules in shop.rows("silver/quarantine", "get_json_object(record, '$.order_id')", "rules")
    }
    assert refused == {
        ("2", ("unparsable",)),
        ("3", ("missing_key",)),
        ("4", ("impossible_time",)),
        ("5", ("impossible_time",)),
        ("6", ("non_positive_quantity",)),
        ("7", ("absurd_quantity", "absurd_price")),
        (None, ("unparsable",)),
    }
    (counts,) = outcome.counts["inputs"]
    assert (counts["read"], counts["silver"], counts["quarantined"]) == (9, 2, 7)
    assert counts["rules"]["impossible_time"] == 2
    assert counts["imputed"] == {"quantity": 1, "store_id": 2}


def test_a_user_with_too_many_events_a_day_is_refused_on_that_day_only(shop: Shop) -> None:
    lines = [f"{n},2024-01-01 10:00:{n:02d},robot,A,1,1\n" for n in range(5)]
    shop.write("orders.csv", ORDERS + "".join(lines) + "9,2024-01-02,robot,A,1,1\n10,2024-01-01,ann,A,1,1\n")

    shop.ingest({"extends": "orders"}, cleaning={"bot_events_per_day": 4})

    assert shop.rows("silver/events", "order_id") == [("10",), ("9",)]
    assert Counter(str(rules) for (rules,) in shop.rows("silver/quarantine", "rules")) == {"['bot_like']": 5}


def test_of_versions_of_an_event_the_highest_stays_and_equal_ones_are_duplicates(shop: Shop) -> None:
    head = ORDERS.strip() + ",version\n"
    shop.write("a.csv", head + "1,2024-01-01,ann,A,1,1,1\n1,2024-01-01,ann,A,3,1,10\n")
    shop.write("b.csv", head + "1,2024-01-01,ann,A,2,1,9\n1,2024-01-01,ann,A,3,1,10\n")

    versions = {"identity": ["order_id", "product_id"], "sequence_by": "cast(raw.version AS int)"}
    outcome = shop.ingest({"extends": "orders", "inputs": {"orders": versions}})

    assert shop.rows("silver/events", "quantity") == [(3.0,)]
    (counts,) = outcome.counts["inputs"]
    assert (counts["read"], counts["silver"], counts["superseded"], counts["duplicates"]) == (4, 1, 2, 1)


def test_bounds_are_fitted_per_category_on_the_first_files_and_kept(shop: Shop) -> None:
    lines = [f"{n},2024-01-01 10:{n:02d}:00,ann,A,{1 + n % 3},1\n" for n in range(40)]
    shop.write("a.csv", ORDERS + "".join(lines) + "99,2024-01-01,ann,A,5000,1\n")
    bounds = {"columns": ["quantity"], "per": "products.category", "width": 5.0, "min_records": 10}
    shop.ingest({"extends": "orders"}, cleaning={"fitted_bounds": bounds})
    fitted = shop.rows("ops/bounds", "column", "category", "round(upper)")

    dearer = [line.replace(",A,", ",A,100") for line in lines]
    shop.write("b.csv", ORDERS + "".join(dearer) + "200,2024-01-01,ann,A,2,1\n")
    shop.ingest({"extends": "orders"}, cleaning={"fitted_bounds": bounds})

    assert [row[:2] for row in fitted] == [("quantity", "*")]
    assert 50 < fitted[0][2] < 5000, "twice e to the 5 × the interquartile range of the logs"
    assert shop.rows("ops/bounds", "column", "category", "round(upper)") == fitted
    assert len(shop.rows("silver/quarantine", "record")) == 1 + 40


def test_bounds_are_the_median_and_a_multiple_of_the_interquartile_range_of_logs(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("x", float(2**n)) for n in range(5)], "category string, quantity double")
    how = Bounds(columns=["quantity"], per="category", width=1.0, min_records=5)

    rows = fit(frame, "shop", ["quantity"], how, datetime(2024, 1, 1, tzinfo=UTC), 10).where("category = 'x'").collect()

    assert [(round(row["lower"], 6), round(row["upper"], 6), row["records"]) for row in rows] == [(1.0, 16.0, 5)]


def test_the_keyed_hash_is_hmac_sha256(spark: SparkSession) -> None:
    frame = spark.sql("SELECT 'what do ya want for nothing?' AS text UNION ALL SELECT null")

    rows = frame.select(hmac_sha256(F.col("text"), b"Jefe").alias("hash")).collect()

    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"  # RFC 4231, test case 2
    assert [row["hash"] for row in rows] == [expected, None]


def test_a_record_lost_or_multiplied_stops_the_step(shop: Shop) -> None:
    made = shop.step()
    reading = Reading(
        "shop", "orders", made.settings.sources["completejourney"],
        made.settings.sources["completejourney"].inputs["transactions"], "monday", made.settings.cleaning,
    )  # fmt: skip

    with pytest.raises(ReconciliationError, match="source shop, input orders: 2 records were read, but 1 silver"):
        Account(reading, 2, Counter(silver=1)).check()


@settings(max_examples=5)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans(), st.integers(0, 1)), min_size=1, max_size=12
    )
)
def test_every_record_meets_exactly_one_fate(spark: SparkSession, records: list[tuple[str, int, bool, int]]) -> None:
    frame = _settleable(spark, records)

    rows = (
        settle(frame, ["content"], versions=True, newest=False).select("_position", "_id", "_rules", "_fate").collect()
    )

    assert sorted(int(row["_position"]) for row in rows) == list(range(len(records)))
    accepted = {key for key, _, good, _ in records if good}
    assert Counter(row["_id"] for row in rows if row["_fate"] == "silver") == Counter(dict.fromkeys(accepted, 1))
    assert {row["_fate"] for row in rows if row["_rules"]} <= {"quarantined"}
    assert all(row["_rules"] for row in rows if row["_fate"] == "quarantined")


def _settleable(spark: SparkSession, records: list[tuple[str, int, bool, int]]) -> DataFrame:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        (key, sequence, "" if good else "a_rule", content, "f", str(position), at)
        for position, (key, sequence, good, content) in enumerate(records)
    ]
    schema = (
        "_id string, _sequence int, _rules string, content int, _file string, _position string, ingested_at timestamp"
    )
    return spark.createDataFrame(rows, schema)
