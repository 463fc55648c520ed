"""Each file is read once; what was read and has changed is refused, or replaces what it brought."""

from datetime import date

import pytest
from ingest_logs import ORDERS, Shop

from shelfcast.errors import SourceError

SOURCE = {"extends": "orders"}


def test_a_late_file_changes_its_weeks_only_and_a_repeated_event_nothing(shop: Shop) -> None:
    shop.write("jan.csv", ORDERS + "1,2024-01-02,ann,A,1,1\n2,2024-01-09,ann,A,1,1\n")
    first = shop.ingest(SOURCE)

    shop.write("late.csv", ORDERS + "3,2024-01-03,bob,A,1,1\n2,2024-01-09,ann,A,1,1\n")
    second = shop.ingest(SOURCE)
    third = shop.ingest(SOURCE)

    assert shop.rows("silver/events", "order_id", "week_start") == [
        ("1", date(2024, 1, 1)),
        ("2", date(2024, 1, 8)),
        ("3", date(2024, 1, 1)),
    ]
    (counts,) = second.counts["inputs"]
    assert (counts["read"], counts["silver"], counts["duplicates"]) == (2, 1, 1)
    weeks = [outcome.contents["silver/events"] for outcome in (first, second)]
    assert weeks[0].keys() == {"2024-01-01", "2024-01-08"}
    assert weeks[1].keys() == {"2024-01-01"}
    assert weeks[0]["2024-01-01"] != weeks[1]["2024-01-01"]
    assert third.counts == {"inputs": []}, "nothing new, so nothing is read"
    assert third.contents == {}


def test_a_new_column_is_kept_and_earlier_records_have_none(shop: Shop) -> None:
    shop.write("a.csv", ORDERS + "1,2024-01-02,ann,A,1,1\n")
    shop.ingest(SOURCE)
    shop.write("b.csv", ORDERS.strip() + ",Pay by\n2,2024-01-03,ann,A,1,1,card\n")
    shop.ingest(SOURCE)

    assert shop.rows("bronze/shop/orders", "order_id", "Pay_by") == [("1", None), ("2", "card")]


def test_a_changed_file_is_refused_by_name(shop: Shop) -> None:
    path = shop.write("jan.csv", ORDERS + "1,2024-01-02,ann,A,1,1\n")
    shop.ingest(SOURCE)
    shop.write("jan.csv", ORDERS + "1,2024-01-02,ann,A,7,1\n")

    with pytest.raises(SourceError, match=f"{path} was read before and has changed since"):
        shop.ingest(SOURCE)
    assert shop.rows("silver/events", "quantity") == [(1.0,)]


def test_a_changed_file_replaces_what_it_brought_and_nothing_else(shop: Shop) -> None:
    replacing = SOURCE | {"changed_files": "replace"}
    shop.write("jan.csv", ORDERS + "1,2024-01-02,ann,A,1,1\n2,2024-01-09,ann,A,0,1\n")
    shop.write("feb.csv", ORDERS + "3,2024-02-02,ann,A,1,1\n")
    shop.ingest(replacing)
    shop.write("jan.csv", ORDERS + "1,2024-01-16,ann,A,7,1\n")

    outcome = shop.ingest(replacing)

    assert shop.rows("silver/events", "order_id", "event_date", "quantity") == [
        ("1", date(2024, 1, 16), 7.0),
        ("3", date(2024, 2, 2), 1.0),
    ]
    assert shop.rows("silver/quarantine", "rules") == []
    assert shop.rows("bronze/shop/orders", "_file", "order_id") == [("feb.csv", "3"), ("jan.csv", "1")]
    assert {"2024-01-01", "2024-01-15"} <= outcome.contents["silver/events"].keys()


def test_changed_rules_are_applied_to_what_was_read_before(shop: Shop) -> None:
    shop.write("jan.csv", ORDERS + "1,2024-01-02,ann,A,1,1\n2,2024-01-03,ann,A,9,1\n")
    shop.ingest(SOURCE)
    strict = SOURCE | {"inputs": {"orders": {"bounds": {"quantity": [None, 5]}}}}

    shop.ingest(strict)

    assert shop.rows("silver/events", "order_id") == [("1",)]
    assert shop.rows("silver/quarantine", "rules") == [(["absurd_quantity"],)]


def test_equal_lines_of_a_file_keep_positions_of_their_own(shop: Shop) -> None:
    line = "1,2024-01-02,ann,A,1,1\n"
    shop.write("jan.csv", ORDERS + line * 3)

    outcome = shop.ingest(SOURCE)

    positions = [position for (position,) in shop.rows("bronze/shop/orders", "_position")]
    assert [position.partition("-")[2] for position in positions] == ["1", "2", "3"]
    assert len({position.partition("-")[0] for position in positions}) == 1
    assert outcome.counts["inputs"][0]["duplicates"] == 2
