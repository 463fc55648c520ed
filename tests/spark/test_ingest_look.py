"""Of equal events one goes to silver, whichever input, file, ingest or week the others come with."""

from collections import Counter

from ingest_logs import ORDERS, Shop
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from shelfcast.ingest.fates import hashes, identifier


def test_identities_tell_nulls_places_and_texts_apart(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [("a", None), (None, "a"), ("a", ""), ("", "a"), (None, None), ("", ""), ("aa", None), ("a", None)],
        "one string, two string",
    )

    ids = [row[0] for row in frame.select(identifier(*hashes([F.col("one"), F.col("two")]))).collect()]

    assert len(set(ids)) == 7
    assert ids[0] == ids[7]
    assert {len(one) for one in ids} == {22}


def test_inputs_of_one_source_share_their_duplicates_and_keep_their_accounts(shop: Shop) -> None:
    shop.write("web/a.csv", ORDERS + "1,2024-01-02,ann,A,1,1\n2,2024-01-03,ann,B,1,1\n2,2024-01-03,ann,B,1,1\n")
    shop.write("till/b.csv", ORDERS + "2,2024-01-03,ann,B,1,1\n3,2024-01-09,bob,A,0,1\n4,2024-01-09,bob,A,1,1\n")
    inputs = {"orders": {"files": ["web/*.csv"]}, "till": shop_kind() | {"files": ["till/*.csv"]}}

    outcome = shop.ingest({"extends": "orders", "inputs": inputs})

    assert [row[0] for row in shop.rows("silver/events", "order_id")] == ["1", "2", "4"]
    accounts = {one["input"]: one for one in outcome.counts["inputs"]}
    read = {name: one["read"] for name, one in accounts.items()}
    assert read == {"orders": 3, "till": 3}
    fates = Counter[str]()
    for one in accounts.values():
        fates.update({name: one[name] for name in ("silver", "quarantined", "duplicates")})
        assert one["read"] == one["silver"] + one["quarantined"] + one["duplicates"]
    assert fates == {"silver": 3, "quarantined": 1, "duplicates": 2}
    assert accounts["till"]["rules"] == {"non_positive_quantity": 1}
    assert shop.rows("silver/quarantine", "input", "get_json_object(record, '$.order_id')") == [("till", "3")]


def shop_kind() -> dict[str, object]:
    """The shipped kind ``orders`` as an input of its own."""
    return {
        "format": "csv",
        "fills": "events",
        "columns": {
            "event_time": "to_utc_timestamp(to_timestamp(date), _time_zone)",
            "event_type": "if(cast(quantity AS double) < 0, 'return', 'purchase')",
            "user_id": "customer",
            "product_id": "product",
            "order_id": "order_id",
            "quantity": "abs(cast(quantity AS double))",
            "unit_price": "price",
        },
    }


def test_an_identity_without_time_finds_its_duplicate_in_another_week(shop: Shop) -> None:
    source = {"extends": "orders", "inputs": {"orders": {"identity": ["order_id", "product_id"]}}}
    shop.write("one.csv", ORDERS + "1,2024-01-02,ann,A,1,1\n")
    shop.ingest(source)
    shop.write("two.csv", ORDERS + "1,2024-03-05,ann,A,5,1\n2,2024-03-05,ann,A,1,1\n")

    second = shop.ingest(source)

    assert shop.rows("silver/events", "order_id", "quantity") == [("1", 1.0), ("2", 1.0)]
    (counts,) = second.counts["inputs"]
    assert (counts["silver"], counts["duplicates"]) == (1, 1)


def test_a_user_who_does_too_much_on_one_day_loses_that_day_only(shop: Shop) -> None:
    busy = "".join(f"{number},2024-01-02,ann,A{number},1,1\n" for number in range(6))
    shop.write("a.csv", ORDERS + busy + "7,2024-01-03,ann,A,1,1\n8,2024-01-02,bob,A,1,1\n")

    outcome = shop.ingest({"extends": "orders"}, cleaning={"bot_events_per_day": 5})

    assert [row[0] for row in shop.rows("silver/events", "order_id")] == ["7", "8"]
    assert outcome.counts["inputs"][0]["rules"] == {"bot_like": 6}
