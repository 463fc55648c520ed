"""Each shipped source reads a log in its own schema."""

import gzip
from datetime import date

import pandas as pd
import pytest
from ingest_logs import Shop

from shelfcast.stages import INGEST

EVENT = ("event_time", "event_type", "product_id", "store_id", "quantity", "unit_price")


def test_rees46_reads_nested_compressed_csv_and_hashes_users(shop: Shop) -> None:
    head = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
    lines = (
        "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde\n"
        "2019-10-01 00:00:04 UTC,remove_from_cart,3900821,205301,appliances.environment,aqua,33.20,554748717,93aa\n"
    )
    shop.write("2019/oct.csv.gz", gzip.compress((head + lines).encode()))

    shop.ingest({"extends": "rees46", "inputs": {"events": {"files": ["**/*.csv.gz"]}}})

    assert shop.rows("silver/events", *EVENT) == [
        ("2019-10-01 00:00:00.000", "view", "44600062", "*", 1.0, 35.79),
        ("2019-10-01 00:00:04.000", "uncart", "3900821", "*", 1.0, 33.2),
    ]
    assert shop.rows("silver/products", "product_id", "department", "category", "brand") == [
        ("3900821", "appliances", "appliances.environment", "aqua"),
        ("44600062", None, "2103807459595387724", "shiseido"),
    ]
    users = [user for (user,) in shop.rows("silver/events", "user_id")]
    assert all(len(user) == 32 for user in users), users
    bronze = str(shop.rows("bronze/shop/events", "user_id", "user_session", "_position"))
    assert not any(private in bronze for private in ("541312140", "72d76fde"))
    assert shop.step().lake.uri + ".identity.key" in "".join(shop.said)


def test_taobao_reads_csv_without_a_header(shop: Shop) -> None:
    shop.write("UserBehavior.csv", "1,2268318,2520377,pv,1511544070\n1,2268318,2520377,buy,1511572885\n")

    shop.ingest({"extends": "taobao"})

    assert shop.rows("silver/events", "event_time", "event_date", "event_type", "product_id") == [
        ("2017-11-24 17:21:10.000", date(2017, 11, 25), "view", "2268318"),
        ("2017-11-25 01:21:25.000", date(2017, 11, 25), "purchase", "2268318"),
    ]
    assert shop.rows("silver/products", "product_id", "category") == [("2268318", "2520377")]


def test_retailrocket_reads_milliseconds_and_the_latest_category(shop: Shop) -> None:
    shop.write(
        "events.csv",
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\n1433222276276,599528,transaction,356475,4000\n",
    )
    head = "timestamp,itemid,property,value\n"
    shop.write(
        "item_properties_part1.csv", head + "1435460400000,355908,categoryid,1338\n1435460400000,355908,888,n5\n"
    )
    shop.write("item_properties_part2.csv", head + "1441508400000,355908,categoryid,1114\n")

    outcome = shop.ingest({"extends": "retailrocket"})

    assert shop.rows("silver/events", "event_time", "event_type", "product_id", "order_id") == [
        ("2015-06-02 05:02:12.117", "view", "355908", None),
        ("2015-06-02 05:17:56.276", "purchase", "356475", "4000"),
    ]
    assert shop.rows("silver/products", "product_id", "category") == [("355908", "1114")]
    products = next(counts for counts in outcome.counts["inputs"] if counts["input"] == "products")
    assert (products["read"], products["silver"], products["superseded"]) == (2, 1, 1)


def test_amazon_reviews_reads_json_lines_and_drops_names(shop: Shop) -> None:
    shop.write(
        "reviews.json",
        '{"reviewerID": "A30TL5EWN6DFXT", "asin": "120401325X", "reviewerName": "christina", "helpful": [0, 0], '
        '"reviewText": "They look good", "overall": 4.0, "unixReviewTime": 1400630400}\n{"reviewerID": "A3\n',
    )

    shop.ingest({"extends": "amazon_reviews"})

    assert shop.rows("silver/events", "event_date", "event_type", "product_id") == [
        (date(2014, 5, 21), "purchase", "120401325X")
    ]
    assert shop.rows("silver/reviews", "product_id", "rating", "text", "known_from") == [
        ("120401325X", 4.0, "They look good", date(2014, 5, 21))
    ]
    assert "reviewerName" not in shop.step().read("bronze/shop/events").columns
    refused = shop.rows("silver/quarantine", "input", "rules", "record")
    assert [(name, rules) for name, rules, _ in refused] == [("events", ["unparsable"]), ("reviews", ["unparsable"])]
    assert all("length 18" in record and "A3" not in record for _, _, record in refused)


def test_orders_reads_other_column_names_by_a_short_yaml(shop: Shop) -> None:
    shop.write(
        "exports/january.csv",
        "No;Bought at;Client;Article;Pieces;Price\n"
        "1;31.01.2024 23:30;Ann;A1;2;1,50\n2;31.01.2024 10:00;Bob;A2;-1;3,00\n",
    )

    shop.ingest({
        "extends": "orders", "time_zone": "America/New_York", "currency": "USD",
        "inputs": {"orders": {
            "files": ["exports"], "options": {"sep": ";"},
            "columns": {
                "event_time": "to_utc_timestamp(to_timestamp(Bought_at, 'dd.MM.yyyy HH:mm'), _time_zone)",
                "event_type": "if(cast(Pieces AS int) < 0, 'return', 'purchase')",
                "user_id": "Client", "product_id": "Article", "order_id": "No",
                "quantity": "abs(cast(Pieces AS int))", "unit_price": "replace(Price, ',', '.')",
            },
        }},
    })  # fmt: skip

    columns = ("event_time", "event_date", "week_start", "event_type", "quantity", "unit_price", "currency")
    assert shop.rows("silver/events", *columns) == [
        ("2024-01-31 15:00:00.000", date(2024, 1, 31), date(2024, 1, 29), "return", 1.0, 3.0, "USD"),
        ("2024-02-01 04:30:00.000", date(2024, 1, 31), date(2024, 1, 29), "purchase", 2.0, 1.5, "USD"),
    ]
    assert "Ann" not in str(shop.rows("bronze/shop/orders", "*"))


@pytest.fixture
def journey(shop: Shop) -> Shop:
    """Three baskets and every side of the Complete Journey, in its schema."""

    def parquet(name: str, **columns: list[object]) -> None:
        path = shop.folder / "data" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame(columns).to_parquet(path)

    parquet(
        "transactions", household_id=[900, 900, 901], store_id=[330, 330, 406], basket_id=[1, 1, 2],
        product_id=[10, 11, 10], quantity=[2, 1, 0], sales_value=[3.0, 20.0, 0.0], retail_disc=[0.5, 0.0, 0.0],
        coupon_disc=[0.0] * 3, coupon_match_disc=[0.5, 0.0, 0.0], week=[1] * 3,
        transaction_timestamp=pd.to_datetime(["2017-01-02 04:59:59", "2017-01-02 04:59:59", "2017-01-02 05:00:00"]),
    )  # fmt: skip
    parquet(
        "products", product_id=[10, 11], manufacturer_id=[2, 69], department=["GROCERY", "FUEL"],
        brand=["National"] * 2, product_category=["FRZN ICE", None], product_type=["ICE", None],
        package_size=["22 LB", None],
    )  # fmt: skip
    parquet(
        "demographics", household_id=[900], age=["65+"], income=["35-49K"], home_ownership=["Homeowner"],
        marital_status=["Married"], household_size=["2"], household_comp=["2 Adults No Kids"], kids_count=["0"],
    )  # fmt: skip
    parquet(
        "promotions", product_id=[10, 10, 10], store_id=[330, 330, 406], display_location=["3", "3", "0"],
        mailer_location=["0", "0", "A"], week=[1, 1, 2],
    )  # fmt: skip
    dates = pd.to_datetime(["2017-03-03"])
    parquet("campaign_descriptions", campaign_id=[1], campaign_type=["Type B"], start_date=dates, end_date=dates)
    parquet("campaigns", campaign_id=[1], household_id=[900])
    parquet("coupons", coupon_upc=[55], product_id=[10], campaign_id=[1])
    parquet("coupon_redemptions", household_id=[900], coupon_upc=[55], campaign_id=[1], redemption_date=dates)
    return shop


def test_completejourney_fills_events_and_every_side(journey: Shop) -> None:
    outcome = journey.ingest({"extends": "completejourney", "package": None, "root": "."})

    written = {table for table in outcome.contents if not table.startswith(("bronze/", "ops/"))}
    assert written <= set(INGEST.writes)
    columns = ("user_id", "product_id", "event_date", "week_start", "quantity", "unit_price", "discount", "order_id")
    assert journey.rows("silver/events", *columns) == [
        ("900", "10", date(2017, 1, 1), date(2016, 12, 26), 2.0, 1.5, 0.5, "1")
    ]
    assert journey.rows("silver/quarantine", "file", "position", "rules") == [
        ("data/transactions.parquet", "1", ["out_of_scope"]),
        ("data/transactions.parquet", "2", ["non_positive_quantity"]),
    ]
    plan = ("store_id", "display", "display_main", "mailer", "mailer_main", "valid_from", "valid_to", "known_from")
    assert journey.rows("silver/promotions", *plan) == [
        ("330", "3", True, None, False, date(2016, 12, 26), date(2017, 1, 1), date(2016, 11, 28)),
        ("406", None, False, "A", False, date(2017, 1, 2), date(2017, 1, 8), date(2016, 12, 5)),
    ]
    assert journey.rows("silver/products", "product_id", "department") == [("10", "GROCERY"), ("11", "FUEL")]
    assert journey.rows("silver/users", "user_id", "age") == [("900", "65+")]
    started = date(2017, 3, 3)
    assert journey.rows("silver/campaigns", "campaign_id", "valid_from") == [("1", started)]
    assert journey.rows("silver/exposures", "user_id", "campaign_id", "known_from") == [("900", "1", started)]
    assert journey.rows("silver/coupons", "coupon_id", "product_id", "known_from") == [("55", "10", started)]
    assert journey.rows("silver/redemptions", "coupon_id", "user_id", "known_from") == [("55", "900", started)]
    promotions = next(counts for counts in outcome.counts["inputs"] if counts["input"] == "promotions")
    assert (promotions["read"], promotions["silver"], promotions["duplicates"]) == (3, 2, 1)
