"""A person is erased: from every table, from reports, from earlier versions, and from files that arrive again."""

import json
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import pyarrow.compute as pc
import pytest
from ingest_logs import ORDERS, SMALL, Shop

from shelfcast.cli import main
from shelfcast.config import load
from shelfcast.errors import ConfigError, TableMissing
from shelfcast.ingest.identity import load_key
from shelfcast.lake.deleting import Deletion
from shelfcast.lake.ledger import ERASE, Ledger
from shelfcast.lake.locks import leases
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.table_files import TableFiles
from shelfcast.lake.tables import CONTRACTS
from shelfcast.privacy.erasing import erase, remains
from shelfcast.privacy.persons import stored_forms
from shelfcast.privacy.traces import traces

SOURCE = {
    "extends": "orders",
    "changed_files": "replace",
    "inputs": {
        "orders": {"files": ["orders/*.csv"]},
        "customers": {
            "files": ["customers.csv"], "format": "csv", "fills": "users",
            "columns": {"user_id": "upper(customer)", "income": "band"},
        },
    },
}  # fmt: skip
PERSON, INCOME, ORDER = "person-4711", "income-of-4711", "order-of-4711"
JANUARY = f"{ORDER},2024-01-02,{PERSON},A,1,1\n{ORDER},2024-01-09,{PERSON},B,0,1\n2,2024-01-02,bob,A,1,1\n"
DAY = date(2024, 1, 14)


class Planted:
    """A lake with a person in every layer, and another one."""

    def __init__(self, shop: Shop, lake) -> None:
        self.shop, self.lake = shop, lake
        shop.write("orders/january.csv", ORDERS + JANUARY)
        shop.write("orders/february.csv", ORDERS + "3,2024-02-02,bob,B,1,1\n")
        shop.write("customers.csv", f"customer,band\n{PERSON},{INCOME}\nbob,low\n")
        shop.ingest(SOURCE)
        self.settings = load([shop.folder / "shop.yaml"], SMALL, lake=lake.uri).settings
        self.key = load_key(self.settings, lake.uri, print)
        self.forms = stored_forms(PERSON, self.key)
        self.users = [self.forms[1], stored_forms("bob", self.key)[1]]
        self._gold()
        report = Path(lake.uri, "reports", f"{DAY}.html")
        report.parent.mkdir()
        report.write_text("the list of one user, without a name")

    def _gold(self) -> None:
        step, spark = self.shop.step(), self.lake.spark
        at = datetime(2024, 1, 2, tzinfo=UTC)
        week = [(user, date(2024, 1, 1), 1, "*", ["A"], ["purchase"], [at], [at.date()], [1.0]) for user in self.users]
        schema = CONTRACTS["gold/interactions"].schema()
        step.replace("gold/interactions", spark.createDataFrame(week, schema), [date(2024, 1, 1)])
        lists = [(DAY, user, 1, "A", 1.0, "novel", "m") for user in self.users]
        schema = CONTRACTS["gold/recommendations"].schema()
        step.replace("gold/recommendations", spark.createDataFrame(lists, schema), [DAY])
        Ledger(self.lake.uri).publish(DAY, {"gold/recommendations": self.lake.version("gold/recommendations")}, "r")

    def erase(self, **how):
        said: list[str] = []
        return erase(self.lake, self.settings, PERSON, said.append, **how)

    def rows(self) -> dict[str, list[tuple]]:
        """Every row of every table that speaks of persons, as text."""
        named = ["bronze/shop/orders", "bronze/shop/customers"]
        named += [name for name, one in CONTRACTS.items() if one.personal and self.lake.exists(name)]
        return {name: sorted(map(str, Snapshot(self.lake.uri, name).arrow().to_pylist())) for name in named}

    def seen(self) -> list[str]:
        """Whose lists readers of the published day see."""
        version = Ledger(self.lake.uri).published(DAY)["gold/recommendations"]
        found = Snapshot(self.lake.uri, "gold/recommendations", version).arrow(["user_id"], pc.field("as_of") == DAY)
        return found["user_id"].to_pylist()

    def current(self) -> set[str]:
        """The files that the newest versions consist of."""
        stored = {name: TableFiles(Ledger(self.lake.uri), name).files() for name in self.rows()}
        return {f"{name}/{path}" for name, files in stored.items() for paths in files.values() for path in paths}

    def told(self) -> list:
        """What any file in the lake tells of the person, attributes that were joined among it."""
        return traces(self.lake.uri, [*self.forms, self.forms[1].upper(), INCOME, ORDER], ["user_id", "customer"])


@pytest.fixture
def planted(shop, lake) -> Planted:
    return Planted(shop, lake)


def test_nothing_of_the_person_is_left_and_everything_of_others(planted) -> None:
    before = planted.rows()
    told = {trace.file for trace in planted.told()}
    assert all(any(file.startswith(f"{name}/") for file in told) for name in before), "in every table"
    assert traces(planted.lake.uri, [PERSON], ["user_id", "customer"]) == [], "the id itself is stored nowhere"

    would = planted.erase(dry_run=True)
    assert planted.rows() == before
    assert not planted.lake.exists("ops/erased")
    done = planted.erase(now=True)

    assert (would.rows, would.raw_files, would.reports) == (done.rows, done.raw_files, done.reports)
    assert planted.told() == []
    assert remains(planted.lake, planted.settings, PERSON, print) == []
    assert done.rows == {
        "silver/quarantine": 1, "silver/events": 1, "silver/users": 1, "gold/interactions": 1,
        "gold/recommendations": 1, "bronze/shop/orders": 2, "bronze/shop/customers": 1,
    }  # fmt: skip
    assert done.raw_files == ["shop/customers: customers.csv", "shop/orders: orders/january.csv"]
    assert (done.reports, done.withdrawn, done.gone_by) == (1, [], None)
    assert not list(Path(planted.lake.uri, "reports").iterdir())
    own = (*planted.forms, planted.forms[1].upper())
    assert planted.rows() == {
        name: [row for row in rows if not any(form in row for form in own)] for name, rows in before.items()
    }
    assert planted.seen() == [planted.users[1]]
    assert leases(planted.lake.uri) == []


def test_a_file_that_brings_the_person_again_brings_the_others_only(planted) -> None:
    planted.erase(now=True)
    planted.shop.write("orders/january.csv", ORDERS + JANUARY + "4,2024-01-03,bob,A,1,1\n")
    planted.shop.write("customers.csv", f"customer,band\n{PERSON},{INCOME}\nbob,high\n")

    outcome = planted.shop.ingest(SOURCE)

    assert planted.told() == []
    assert "bronze/shop/orders: 2 record(s) of erased persons left out" in planted.shop.said
    assert "bronze/shop/customers: 1 record(s) of erased persons left out" in planted.shop.said
    assert planted.shop.rows("silver/events", "order_id", "user_id") == [
        (order, planted.users[1]) for order in ("2", "3", "4")
    ]
    counts = {one["input"]: (one["read"], one["silver"]) for one in outcome.counts["inputs"]}
    assert counts == {"orders": (3, 3), "customers": (1, 1)}


def test_cut_short_it_is_run_again_and_earlier_versions_are_told_until_they_go(planted, monkeypatch) -> None:
    done: list[str] = []
    run = Deletion.run

    def failing(one: Deletion, lake, run_id: str) -> None:
        if len(done) == 2:
            raise OSError("the disk is full")
        done.append(one.table)
        run(one, lake, run_id)

    monkeypatch.setattr(Deletion, "run", failing)
    with pytest.raises(OSError, match="the disk is full"):
        planted.erase()
    assert [one.status for one in Ledger(planted.lake.uri).records() if one.step == ERASE] == ["failed"]
    assert leases(planted.lake.uri) == []
    monkeypatch.undo()

    rest = planted.erase()
    assert "silver/quarantine" not in rest.rows
    assert rest.rows["bronze/shop/orders"] == 2
    assert rest.gone_by == datetime.now(UTC).date() + timedelta(days=planted.settings.maintenance.retain_days + 1)
    left = {trace.file for trace in planted.told()}
    assert left
    assert not left & planted.current(), "files of earlier versions only"

    last = planted.erase(now=True)
    assert (last.rows, last.raw_files) == ({}, [])
    assert planted.told() == []


def test_a_short_id_that_is_kept_is_found_in_columns_of_ids_only(shop, lake) -> None:
    shop.write("orders.csv", ORDERS + "7,2024-01-02,7,7,7,7\n8,2024-01-02,70,7,7,7\n")
    shop.ingest({"extends": "orders", "inputs": {"orders": {"identities": {"customer": "keep"}}}})
    settings = load([shop.folder / "shop.yaml"], SMALL, lake=lake.uri).settings

    found = {(trace.file.split("/part-")[0], trace.place) for trace in remains(lake, settings, "7", print)}
    assert {place for _, place in found} == {"customer", "user_id"}
    erase(lake, settings, "7", print, now=True)

    assert remains(lake, settings, "7", print) == []
    assert shop.rows("silver/events", "user_id", "product_id") == [("70", "7")]


def test_the_command_erases_and_checks_and_prints_no_id(planted, capsys, monkeypatch) -> None:
    conf = ["--conf", str(planted.shop.folder / "shop.yaml"), "--lake", planted.lake.uri, "--json"]
    monkeypatch.setattr("sys.stdin", StringIO(f"{PERSON}\n"))
    assert main(["erase", PERSON, "--check", *conf]) == 1
    assert main(["erase", "-", "--now", *conf]) == 0
    assert main(["erase", PERSON, "--check", *conf]) == 0

    printed = capsys.readouterr()
    found, done, left = (json.loads(document) for document in printed.out.replace("}\n{", "}\n\0{").split("\0"))
    assert {one["place"] for one in found["traces"]} >= {"user_id", "customer"}
    assert done["rows"]["silver/events"] == 1
    assert left["traces"] == []
    assert "places still name the person" in printed.err
    assert not any(form in printed.out + printed.err for form in planted.forms)


def test_an_unknown_person_and_an_unknown_source_are_told(planted, lake) -> None:
    with pytest.raises(TableMissing, match=r"no table of the lake .* has a row about that person"):
        erase(lake, planted.settings, "nobody", print)
    assert not lake.exists("ops/erased")
    with pytest.raises(ConfigError, match="table bronze/shop/customers may hold records of the person"):
        erase(lake, load(sets=SMALL, lake=lake.uri).settings, PERSON, print)
