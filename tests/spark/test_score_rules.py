"""Rules of the section ``lists``: from SQL over the sides to lists that obey them, and errors that name the key."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from listed_shop import AS_OF, Scored, Steps, bought, days_ago, interactions, lists, side
from pyspark.sql import DataFrame, SparkSession

from shelfcast.errors import ConfigError, ReconciliationError
from shelfcast.lake.store import Lake
from shelfcast.score import conditions, recommendations, rules
from shelfcast.score.lists_close import Books
from shelfcast.settings import Settings

MORE = [bought("dan", product, 6) for product in ("gin", "toy", "iron", "ham", "cigars")]
DEPARTMENTS = {
    "milk": "food", "bread": "food", "tea": "food", "jam": "food", "ham": "food",
    "gin": "spirits", "toy": "toys", "iron": "home", "cigars": "tobacco",
}  # fmt: skip
EXCLUSIONS = (
    "lists.exclusions.tobacco.products=department = 'tobacco'",
    "lists.exclusions.spirits={products: \"department = 'spirits'\", only_for: \"age >= '21'\"}",
    "lists.exclusions.toys={products: \"department = 'toys'\", hidden_from: kids = '0'}",
    "lists.exclusions.durable={products: department = 'home', bought_within_days: 30}",
)


@pytest.fixture
def scored(spark: SparkSession, step: Steps, configured: Callable[..., Settings], tmp_path: Path) -> Scored:
    return Scored(spark, step, configured, tmp_path)


def products(spark: SparkSession) -> DataFrame:
    rows = [{"product_id": p, "department": d, "category": d[:2]} for p, d in DEPARTMENTS.items()]
    other = {"source": "other", "product_id": "cigars", "brand": "a"}  # a second source that knows less
    return side(spark, "silver/products", *rows, other)


def users(spark: SparkSession) -> DataFrame:
    return side(
        spark, "silver/users",
        {"user_id": "ann", "age": "35", "kids": "0"}, {"user_id": "bob", "age": "18", "kids": "2"},
        {"user_id": "bob", "age": "60", "valid_to": days_ago(1)}, {"user_id": "cid", "age": "50", "opted_out": True},
        {"user_id": "eve", "age": "24", "opted_out": False},
    )  # fmt: skip


def test_each_user_is_offered_what_the_exclusions_leave(scored: Scored, spark: SparkSession) -> None:
    sides = {"silver/products": products(spark), "silver/users": users(spark)}
    found = lists(scored(*EXCLUSIONS, more=MORE, sides=sides, k=10))
    food = ["bread", "ham", "jam", "milk", "tea"]
    assert {user: sorted(items) for user, items in found.items()} == {
        "ann": sorted([*food, "gin", "iron"]),
        "bob": sorted([*food, "iron", "toy"]),
        "dan": sorted([*food, "toy"]),  # bought the iron lately; no age is known
        "dee": sorted([*food, "iron", "toy"]),
        "eve": sorted([*food, "gin", "iron", "toy"]),
    }
    assert (scored.counts["opted_out"], scored.counts["users"], scored.counts["short_lists"]) == (1, 5, 5)
    assert (scored.counts["on_sale"], scored.counts["offered"]) == (9, 8)
    assert scored.counts["exclusions"] == {"tobacco": 1, "spirits": 1, "toys": 1, "durable": 1}
    assert any("1 users want no recommendations" in line for line in scored.said)
    assert any("only 8 products may be offered" in line for line in scored.said)


def test_lists_keep_to_caps_and_counts_and_to_the_stock_of_the_users_store(scored: Scored, spark: SparkSession) -> None:
    counts = [("ham", "s2", 0.0), ("ham", "s1", 9.0), ("toy", "*", 0.0)]
    rows = [{"product_id": p, "store_id": s, "on_hand": n, "valid_from": days_ago(1)} for p, s, n in counts]
    stock = side(spark, "silver/stock", *rows)
    sides = {"silver/products": products(spark), "silver/stock": stock}
    found = scored("lists.mode=repeat", "lists.caps.department=3", more=MORE, sides=sides, k=6)
    food = {product for product, department in DEPARTMENTS.items() if department == "food"}
    assert {user: len(food & set(items)) for user, items in lists(found).items()} == dict.fromkeys(
        ["ann", "bob", "cid", "dan", "dee"], 3
    )
    assert found.groupby("user_id")["product_id"].nunique().tolist() == [6] * 5
    assert "toy" not in set(found["product_id"])
    assert set(found[found["product_id"] == "ham"]["user_id"]) <= {"ann", "dan"}  # all others come to s2
    reasons = found.groupby("user_id")["reason"].agg(list).to_dict()
    assert reasons["dan"][:4] == ["repeat"] * 4
    assert "repeat" not in reasons["dan"][4:]
    assert [reasons[user].count("repeat") for user in ("ann", "bob", "cid", "dee")] == [2, 2, 2, 0]


def test_rules_that_leave_nothing_to_be_offered_are_refused(scored: Scored, spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match=r"leaves none of the 4 products on sale at 2024-03-31 .*\(all: 4\)"):
        scored("lists.exclusions.all.products=department IS NULL", "lists.exclusions.none.products=brand = 'x'")
    assert any("lists.exclusions.none speaks of none of the 4 products" in line for line in scored.said)


def test_a_shop_that_sold_nothing_of_late_says_so_and_gives_no_lists(scored: Scored, spark: SparkSession) -> None:
    ended = [{"product_id": product, "listed_until": days_ago(1)} for product in DEPARTMENTS]
    assert scored(sides={"silver/products": side(spark, "silver/products", *ended)}).empty
    assert any("only 0 products may be offered" in line for line in scored.said)
    assert scored.counts["rows"] == 0


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["lists.exclusions.x.products=departement = 'home'"],
         "products names column departement, but silver/products has none of that name; did you mean department?"),
        (["lists.opted_out=consent = 'no'"], "lists.opted_out names column consent, but silver/users has none"),
        (["lists.exclusions.x={products: 'true', only_for: products.brand = 'a'}"],
         "lists.exclusions.x.only_for names column products.brand"),
        (["lists.exclusions.x.products=department = "], "lists.exclusions.x.products: 'department =' is no Spark SQL"),
        (["lists.exclusions.x.products=department"], "'department' is string, not true or false"),
        (["lists.exclusions.x.products=nosuch(brand)"], "'nosuch(brand)' cannot be used over silver/products"),
        (["lists.exclusions.x.products=max(brand) = 'a'"], "cannot be used over silver/products"),
        (["lists.exclusions.x.products=brand = 'a'", "sources.completejourney.inputs.products.fills=stores"],
         "lists.exclusions.x.products needs silver/products, which no source fills: add an input with fills: products"),
        (["lists.caps.brand=2", "sources.completejourney.inputs.products.fills=stores"], "lists.caps.brand needs"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_applied_is_refused_before_a_table_is_read(
    lake: Lake, configured: Callable[..., Settings], sets: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        conditions.check(lake, configured(*sets))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert capsys.readouterr().err == ""


def test_the_default_and_every_kind_of_exclusion_can_be_applied(
    lake: Lake, configured: Callable[..., Settings]
) -> None:
    conditions.check(lake, configured())
    conditions.check(lake, configured(*EXCLUSIONS, "lists.caps.brand=2"))


def test_users_that_no_side_knows_have_null_columns(
    spark: SparkSession, step: Steps, configured: Callable[..., Settings]
) -> None:
    opted_in = configured(*EXCLUSIONS, "lists.opted_out=opted_out IS NOT FALSE")
    now = step(as_of=AS_OF, settings=opted_in)
    seen = spark.createDataFrame([("dan",)], "user_id string")

    def found() -> dict[str, tuple[int, bool]]:
        return {r["user_id"]: (r["flags"], r["opted_out"]) for r in rules.users(now, seen, AS_OF).collect()}

    assert found() == {"dan": (0b0010, True)}  # spirits are the second exclusion; nobody knows that dan is of age
    older = users(spark).drop("opted_out")  # of a lake from before the column
    older.write.format("delta").save(f"{now.lake.uri}/silver/users")
    assert found() == {
        "ann": (0b0100, True), "bob": (0b0010, True), "cid": (0, True), "eve": (0, True), "dan": (0b0010, True),
    }  # fmt: skip
    now.replace("silver/users", users(spark))
    assert {user: out for user, (_, out) in found().items()} == {
        "ann": True, "bob": True, "cid": True, "eve": False, "dan": True,
    }  # fmt: skip


def test_what_a_user_bought_before_the_newest_events_is_kept_apart(spark: SparkSession, step: Steps) -> None:
    now = step(as_of=AS_OF)
    events = [bought("ann", "iron", 90), ("ann", "toy", days_ago(80), "view", "s1"), bought("ann", "milk", 70)]
    now.replace("gold/interactions", interactions(spark, [*events, bought("ann", "milk", 3), bought("bob", "tea", 2)]))
    model = {"wanted": ["purchase"], "event_types": ["purchase", "view"], "history": 2}
    rows = {r["user_id"]: r for r in recommendations.histories(now, AS_OF, model).collect()}
    assert rows["ann"]["items"] == ["milk", "milk"]
    assert rows["ann"]["earlier_items"] == ["iron"]
    assert rows["ann"]["earlier_days"] == [(days_ago(90) - date(1970, 1, 1)).days]
    assert (rows["bob"]["items"], rows["bob"]["earlier_items"]) == (["tea"], [])


def test_a_list_against_the_rules_stops_the_step(
    spark: SparkSession, step: Steps, configured: Callable[..., Settings]
) -> None:
    settings = configured("score.k=2", *EXCLUSIONS, "lists.caps.category=1", "lists.mode=novel")
    now = step(as_of=AS_OF, settings=settings)
    now.replace("gold/interactions", interactions(spark, [bought("ann", "iron", 9), bought("ann", "jam", 400)]))
    now.replace("silver/products", products(spark))
    sold = spark.createDataFrame([(p, True) for p in DEPARTMENTS], "product_id string, on_sale boolean")
    offered = rules.products(now, sold, AS_OF)
    someone = spark.createDataFrame([("ann", "s1", 0b0110)], "user_id string, store_id string, flags long")
    absent = spark.createDataFrame([("s1", "ham")], "store_id string, product_id string")
    books = Books(now, AS_OF, someone, offered, absent, ["purchase"], 2)

    def refused(*items: str) -> str:
        rows = [("ann", rank, item, "novel") for rank, item in enumerate(items, 1)]
        with pytest.raises(ReconciliationError) as caught:
            books.check(spark.createDataFrame(rows, "user_id string, rank int, product_id string, reason string"))
        return str(caught.value)

    assert "product cigars is not on sale, or excluded" in refused("cigars", "milk")
    assert "user ann is offered product toy, which lists.exclusions.toys hides" in refused("toy", "milk")
    assert "user ann is offered product ham, which the user's store has not" in refused("ham")
    assert "user ann is offered product jam, which the user bought before" in refused("jam")
    assert "2 products of category fo, lists.caps.category is 1" in refused("milk", "tea")
    assert books.check(
        spark.createDataFrame(
            [("ann", 1, "tea", "novel")], "user_id string, rank int, product_id string, reason string"
        )
    ) == {"users": 1, "rows": 1, "short_lists": 1, "reason_novel": 1}  # all else is food, hidden, or bought
    mixed = step(as_of=AS_OF, settings=configured("score.k=2", *EXCLUSIONS))
    books = Books(mixed, AS_OF, someone, offered, absent, ["purchase"], 2)
    assert "product iron, which the user bought, or one like it, in the last 30 days" in refused("iron", "tea")
    assert "the list of user ann is short, though product" in refused("tea")
