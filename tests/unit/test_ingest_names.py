"""Raw column names become names that Delta stores."""

from hypothesis import given
from hypothesis import strategies as st

from shelfcast.ingest.lines import columns_of
from shelfcast.ingest.names import ddl_fields, storable
from shelfcast.settings import Input


def test_forbidden_characters_marks_and_repeated_names_are_replaced() -> None:
    assert storable(["\ufefforder id", "Price (EUR)", "a", "A", "", "_file"]) == [
        "order_id", "Price_EUR_", "a", "A_2", "c4", "x_file",
    ]  # fmt: skip


@given(st.lists(st.text(max_size=8), max_size=12))
def test_every_column_gets_a_name_of_its_own(names: list[str]) -> None:
    stored = [name.lower() for name in storable(names)]
    assert len(set(stored)) == len(names)


def test_declared_fields_keep_types_with_commas() -> None:
    assert ddl_fields("user, price decimal(9,2), tags array<struct<a:int,b:int>>") == [
        ("user", "string"), ("price", "decimal(9,2)"), ("tags", "array<struct<a:int,b:int>>"),
    ]  # fmt: skip


def test_a_header_is_split_by_the_configured_separator_and_quote() -> None:
    given_ = Input(files=["x"], fills="events", columns={}, options={"sep": ";"})
    assert columns_of('"a;b";c', given_) == ["a_b", "c"]
